import json
import math

import numpy as np
import pytest
import torch
from scipy.stats import truncnorm

from contrafact.generators import BigGAN
from contrafact.generators.biggan import Norm
from contrafact.generators.checkpoints import convert, load_generator
from tests.generators.recorded import TOLERANCE, Recorded, assert_equal_to_original

pytestmark = pytest.mark.filterwarnings("ignore:.*does not say all about its network")

NAMES = ["hugging_face", "brock", "brock_hierarchical", "brock_unshared", "brock_deep"]


def _write(folder, recorded, state=None):
    """The checkpoint as its program keeps it; returns what a person would name."""
    folder.mkdir(exist_ok=True)
    state = recorded.state if state is None else state
    if recorded.name.endswith("hugging_face"):
        (folder / "config.json").write_text(json.dumps(recorded.meta["config"]))
        torch.save(state, folder / "pytorch_model.bin")
        return folder
    torch.save(state, folder / "G_ema.pth")
    return folder / "G_ema.pth"


@pytest.fixture(params=NAMES)
def recorded(request):
    return Recorded(f"biggan_{request.param}")


def _with_class(generator, recorded):
    return torch.cat((recorded["latent"], generator.embed(recorded["label"])), dim=1)


def test_outputs_and_gradients_equal_the_originals(recorded, tmp_path):
    generator = load_generator(_write(tmp_path / "folder", recorded))
    assert isinstance(generator, BigGAN)
    assert_equal_to_original(generator, recorded, latent=_with_class(generator, recorded))


def test_a_fixed_class_leaves_the_noise_as_latent(recorded, tmp_path):
    path = _write(tmp_path / "folder", recorded)
    generator = load_generator(path, {"label": int(recorded["label"][1])})
    assert (generator.latent_dim, generator.space, generator.num_classes) == (generator.z_dim, "z", 0)
    expected = (recorded["image"][1:] + 1) / 2
    assert float((generator(recorded["latent"][1:]) - expected).abs().max()) <= TOLERANCE
    convert(path, tmp_path / "fixed.safetensors", {"label": 2})
    assert load_generator(tmp_path / "fixed.safetensors").label == 2


def test_statistics_follow_the_truncation_as_in_the_original(tmp_path):
    recorded = Recorded("biggan_hugging_face")
    generator = load_generator(_write(tmp_path / "folder", recorded))
    latent = _with_class(generator, recorded)
    for truncation, key in ((0.5, "half"), (0.2, "fifth")):
        expected = (recorded[key] + 1) / 2
        truncated = generator.truncated(truncation)
        assert float((truncated(latent) - expected).abs().max()) <= TOLERANCE
        assert float((generator(latent) - expected).abs().max()) > 10 * TOLERANCE
        changed = load_generator(tmp_path / "folder", {"truncation": truncation})
        assert torch.equal(changed(latent), truncated(latent))


def test_one_truncation_decides_noise_and_statistics(tmp_path):
    generator = load_generator(_write(tmp_path / "folder", Recorded("biggan_hugging_face")), {"label": 1})
    draw = lambda g, **more: g.sample(3, torch.Generator().manual_seed(0), **more)  # noqa: E731
    half = generator.truncated(0.5)
    assert torch.equal(draw(half), 0.5 * draw(generator))
    with pytest.raises(
        ValueError, match=r"truncates its images as well as its latents, and is set to 1; for 0\.5 take"
    ):
        draw(generator, truncation=0.5)
    assert torch.equal(draw(half, truncation=0.5), draw(half))
    convert(tmp_path / "folder", tmp_path / "half.safetensors", {"label": 1, "truncation": 0.5})
    assert torch.equal(load_generator(tmp_path / "half.safetensors")(draw(half)), half(draw(half)))


def test_one_row_of_statistics_serves_every_truncation(tmp_path):
    generator = load_generator(_write(tmp_path / "folder", Recorded("biggan_brock")), {"label": 1})
    draws = [generator.sample(3, torch.Generator().manual_seed(0), truncation=t) for t in (1.0, 0.5)]
    assert torch.equal(draws[1], 0.5 * draws[0])


def test_weights_named_alone_find_their_configuration(tmp_path):
    recorded = Recorded("biggan_hugging_face")
    folder = _write(tmp_path / "folder", recorded)
    generator = load_generator(folder / "pytorch_model.bin")
    assert_equal_to_original(generator, recorded, latent=_with_class(generator, recorded))
    torch.save(recorded.state, tmp_path / "alone.bin")
    with pytest.raises(ValueError, match=r"needs its config\.json beside the weights; give the folder"):
        load_generator(tmp_path / "alone.bin")


def test_a_foreign_configuration(tmp_path):
    folder = _write(tmp_path / "folder", Recorded("biggan_hugging_face"))
    (folder / "config.json").write_text('{"layers": 3}')
    with pytest.raises(ValueError, match=r"config\.json is not Hugging Face's BigGAN configuration"):
        load_generator(folder)


def test_old_files_lack_the_right_singular_vector(tmp_path):
    """Without ``weight_v`` it follows from ``weight_u``; at a converged pair both give the same."""
    recorded = Recorded("biggan_hugging_face")
    state = {}
    for name, tensor in recorded.state.items():
        if name.endswith("weight_u"):
            stem = name.removesuffix("_u")
            left, _, right = torch.linalg.svd(recorded.state[f"{stem}_orig"].flatten(1), full_matrices=False)
            state |= {name: left[:, 0], f"{stem}_v": right[0]}
        else:
            state.setdefault(name, tensor)
    whole = load_generator(_write(tmp_path / "whole", recorded, state))
    old = load_generator(
        _write(tmp_path / "old", recorded, {k: v for k, v in state.items() if not k.endswith("weight_v")})
    )
    latent = _with_class(whole, recorded)
    assert torch.allclose(whole(latent), old(latent), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("hugging_face", "generator.layers.3.snconv1x1_phi.weight_orig"),
        ("hugging_face", "generator.layers.1.bn_2.running_vars"),
        ("brock", "blocks.1.0.bn2.stored_mean"),
        ("brock", "blocks.0.1.theta.weight"),
        ("brock_deep", "output_layer.2.weight"),
    ],
)
def test_missing_keys_are_named(name, key, tmp_path):
    recorded = Recorded(f"biggan_{name}")
    path = _write(tmp_path / "folder", recorded, {k: v for k, v in recorded.state.items() if k != key})
    with pytest.raises(ValueError, match="the BigGAN checkpoint lacks"):
        load_generator(path)


def test_shapes_that_do_not_fit(tmp_path):
    recorded = Recorded("biggan_brock")
    path = _write(tmp_path / "folder", recorded, {**recorded.state, "output_layer.0.gain": torch.zeros(3)})
    with pytest.raises(ValueError, match="shapes do not fit together"):
        load_generator(path)


def test_bounded_noise_has_the_cut_off_normals_quantiles():
    generator = BigGAN.tiny()
    z = torch.tensor([[-5.0, -1.0, 0.0, 2.5]])
    quantiles = 0.5 * (1 + np.vectorize(math.erf)(z.numpy() / math.sqrt(2)))
    expected = torch.from_numpy(truncnorm.ppf(quantiles, -2, 2)).float()
    label = torch.tensor([1])
    assert torch.allclose(generator.map(z, label)[:, :4], expected, atol=1e-5)
    assert torch.allclose(generator.truncated(0.5).map(z, label)[:, :4], 0.5 * expected, atol=1e-5)
    assert torch.equal(generator.map(z, label)[:, 4:], generator.embed(label))


def test_rows_of_statistics_between_two_truncations():
    norm = Norm(1, 0, rows=3, eps=0.0).requires_grad_(False)
    norm.means.copy_(torch.tensor([[0.0], [10.0], [20.0]]))
    x = torch.zeros(1, 1, 1, 1)
    assert float(norm(x, None, 0.5)) == -10.0
    assert float(norm(x, None, 1.0)) == -20.0
    # A quarter of the way from 0.5 to 1.0 the original weighs the nearer row by that quarter.
    assert float(norm(x, None, 0.625)) == pytest.approx(-(0.25 * 10 + 0.75 * 20))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": []}, "the number of layers"),
        ({"conditioning": "none"}, "unknown conditioning 'none'"),
        ({"conditioning": "hierarchical", "z_dim": 5}, "of 5 dimensions does not split into 3 parts"),
        ({"attention": [2]}, r"attention must name blocks from 0 to 1, got \[2\]"),
        ({"truncation": 1.5}, r"truncation must lie in \[0, 1\], got 1.5"),
        ({"label": 7}, "label must be a class from 0 to 4, got 7"),
        ({"classes": 0}, "classes"),
    ],
)
def test_bad_arguments(changes, message):
    arguments = {"layers": [(True, 16, 8), (True, 8, 8)], "z_dim": 4, "embed_dim": 3, "classes": 5}
    with pytest.raises(ValueError, match=message):
        BigGAN(**{**arguments, **changes})


def test_another_activation_stands_wherever_the_rectifier_did():
    """One block by hand: normalise, activate, upsample, convolve, twice; beside it the bypass."""
    torch.manual_seed(0)
    generator = BigGAN([(True, 4, 3)], 4, 3, 5, activation="swish").freeze()
    block, x, condition = generator.blocks[0], torch.randn(2, 4, 4, 4), torch.randn(2, 3)

    def activated(maps, norm):
        gain, offset = 1 + norm.gain(condition), norm.offset(condition)
        maps = maps / math.sqrt(1 + 1e-5) * gain[:, :, None, None] + offset[:, :, None, None]
        return maps / (1 + torch.exp(-maps))

    grow = torch.nn.Upsample(scale_factor=2)
    hidden = block.convs[0](grow(activated(x, block.norms[0])))
    expected = block.convs[1](activated(hidden, block.norms[1])) + grow(block.bypass(x))
    assert torch.allclose(block(x, condition, 1.0), expected, atol=1e-5)
    latent = generator.sample(2, torch.Generator().manual_seed(0), torch.tensor([0, 1]))
    seen = generator.features(latent, "blocks.0") / math.sqrt(1 + 1e-5)
    last = generator.to_image(seen / (1 + torch.exp(-seen)))
    assert torch.allclose(generator(latent), (last.tanh() + 1) / 2, atol=1e-5)
