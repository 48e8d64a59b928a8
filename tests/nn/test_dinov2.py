"""DINOv2 against the authors' program: features that facebookresearch/dinov2 (its Python on torch 2.13.0) gave for
small networks of drawn weights. transformers 5 gave the same for its names of the same tensors, where positions fit.
"""

import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from contrafact.metrics import fid
from contrafact.nn.dinov2 import dinov2

KINDS = {
    "plain": {"side": 5},
    "registers": {"side": 5, "registers": 4},
    "gated": {"side": 5, "gated": True, "hidden": 88},
    "native": {"side": 16},
}
# The first four features of one image, the last two of another, and the mean of all without their signs.
RECORDED = {
    "plain": [-2.578916, -0.341459, 0.378212, 1.505026, 0.535012, -0.272315, 0.747256],
    "registers": [-2.576257, -0.340949, 0.378280, 1.508067, 0.543668, -0.272002, 0.747403],
    "gated": [-1.046025, -0.462539, 2.536392, -0.199661, -0.758134, -1.032301, 0.757247],
    "native": [-2.388750, -0.336729, 0.383826, 1.510667, 0.593363, -0.279066, 0.748407],
}


def shapes(side, registers=0, gated=False, width=64, hidden=128):
    """Names and shapes of the authors' file, of two blocks."""
    found = {"cls_token": (1, 1, width), "mask_token": (1, width), "pos_embed": (1, 1 + side**2, width)}
    found |= {"patch_embed.proj.weight": (width, 3, 14, 14), "patch_embed.proj.bias": (width,)}
    if registers:
        found["register_tokens"] = (1, registers, width)
    linear = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
    linear |= (
        {"mlp.w12": (2 * hidden, width), "mlp.w3": (width, hidden)}
        if gated
        else {"mlp.fc1": (hidden, width), "mlp.fc2": (width, hidden)}
    )
    for block in ("blocks.0.", "blocks.1."):
        found |= {f"{block}{name}.weight": shape for name, shape in linear.items()}
        found |= {f"{block}{name}.bias": shape[:1] for name, shape in linear.items()}
        found |= {f"{block}{name}.{part}": (width,) for name in ("norm1", "norm2") for part in ("weight", "bias")}
        found |= {f"{block}{name}.gamma": (width,) for name in ("ls1", "ls2")}
    return found | {"norm.weight": (width,), "norm.bias": (width,)}


def draw(kind):
    rng = np.random.default_rng(0)
    return {
        name: torch.from_numpy(rng.normal(size=shape).astype(np.float32) * 0.2)
        + float("norm" in name and name.endswith("weight"))
        for name, shape in sorted(shapes(**KINDS[kind]).items())
    }


def renamed(weights):
    """As transformers names them."""
    named = {}
    for name, value in weights.items():
        for pattern, other in (
            (r"^patch_embed\.proj", "embeddings.patch_embeddings.projection"),
            (r"^pos_embed", "embeddings.position_embeddings"),
            (r"^(\w+_tokens?)$", r"embeddings.\1"),
            (r"^blocks", "encoder.layer"),
            (r"attn\.proj", "attention.output.dense"),
            (r"ls(\d)\.gamma", r"layer_scale\1.lambda1"),
            (r"mlp\.w12", "mlp.weights_in"),
            (r"mlp\.w3", "mlp.weights_out"),
            (r"^norm", "layernorm"),
        ):
            name = re.sub(pattern, other, name)
        if ".attn.qkv." in name:
            for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                named[name.replace("attn.qkv", f"attention.attention.{part}")] = third.contiguous()
        else:
            named[name] = value
    return named


IMAGES = torch.from_numpy(np.random.default_rng(1).random((2, 3, 224, 224)).astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_the_authors_program(kind, tmp_path):
    torch.save(draw(kind), tmp_path / "dinov2.pth")
    features = dinov2(tmp_path / "dinov2.pth")(IMAGES)
    assert features.shape == (2, 64)
    seen = [*features[0, :4].tolist(), *features[1, -2:].tolist(), features.abs().mean().item()]
    assert seen == pytest.approx(RECORDED[kind], abs=1e-4)


@pytest.mark.parametrize(("kind", "prefix"), [("registers", ""), ("gated", "dinov2."), ("native", "")])
def test_a_folder_of_transformers_is_the_same_network(kind, prefix, tmp_path):
    weights = draw(kind)
    torch.save(weights, tmp_path / "dinov2.pth")
    save_file({prefix + name: value for name, value in renamed(weights).items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    assert torch.equal(dinov2(tmp_path)(IMAGES), dinov2(tmp_path / "dinov2.pth")(IMAGES))


def test_a_distance_by_its_features_carries_its_name(tmp_path):
    torch.save(draw("registers"), tmp_path / "dinov2.pth")
    network = dinov2(tmp_path / "dinov2.pth")
    grey = torch.rand((6, 1, 20, 20), generator=torch.Generator().manual_seed(0))
    result = fid(grey, grey**2, extractor=f"dinov2:{tmp_path / 'dinov2.pth'}")
    assert result.protocol == "fid_dinov2-6414-registers_real6_generated6"
    colour = torch.nn.functional.interpolate(grey, (224, 224), mode="bicubic", antialias=True).repeat(1, 3, 1, 1)
    squares = torch.nn.functional.interpolate(grey**2, (224, 224), mode="bicubic", antialias=True).repeat(1, 3, 1, 1)
    expected = fid(network(colour.clamp(0, 1)).double(), network(squares.clamp(0, 1)).double()).score
    assert result.score == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no DINOv2 weights at .*; give a .pth of the authors or transformers' folder"),
        (b"neither", "does not hold DINOv2's weights"),
        ({"weight": torch.zeros(3)}, "does not hold DINOv2's weights .*cls_token"),
        ("narrow", "does not hold DINOv2's weights .*a width of 60"),
        ("less", "does not hold DINOv2's weights .*ls2.gamma"),
    ],
)
def test_other_files_are_refused(content, message, tmp_path):
    file = tmp_path / "dinov2.pth"
    if content == "narrow":
        content = draw("plain") | {"cls_token": torch.zeros(1, 1, 60)}
    elif content == "less":
        content = {name: value for name, value in draw("plain").items() if name != "blocks.1.ls2.gamma"}
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(ValueError, match=message):
        dinov2(file)


def test_images_of_two_channels_are_refused(tmp_path):
    torch.save(draw("plain"), tmp_path / "dinov2.pth")
    with pytest.raises(ValueError, match="images of 1 or 3 channels, got 2"):
        dinov2(tmp_path / "dinov2.pth")(torch.zeros(1, 2, 8, 8))
