"""What an exported page holds, and why some cannot be made; the browser's part is in test_export_browser."""

import base64
import gzip
import re

import numpy as np
import pytest
import torch
from torch import nn

from contrafact.app import assets, export
from contrafact.app.export import export_page, seed_latents
from contrafact.app.graph import UNROLLED, EditedPicture, picture_graph
from contrafact.app.runtime import ADDRESS, load_runtime
from contrafact.app.session import Session
from contrafact.cli import main
from contrafact.core.directions import CurvedDirections, GlobalDirections, LayeredDirections
from contrafact.core.generator import Generator, sample_latents
from contrafact.core.whitened_directions import WhitenedDirections
from contrafact.editing.latents import edit
from contrafact.generators.checkpoints import load_generator
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.report.subject import Subject
from tests.report.tiny_runs import Stripes

onnx = pytest.importorskip("onnx")


class Dice(Generator):
    """Draws noise of its own for every picture."""

    latent_dim = prior_dim = 3
    image_shape = (1, 4, 4)
    weight = nn.Parameter(torch.zeros(1))

    def forward(self, latent):
        return torch.rand(len(latent), 1, 4, 4) + latent.sum()


class Branching(Dice):
    """Takes another path where the numbers are large, which no graph can."""

    def forward(self, latent):
        return latent.new_zeros(len(latent), 1, 4, 4) if latent.sum() > 0 else latent.new_ones(len(latent), 1, 4, 4)


def session_of(generator, directions=None):
    directions = directions or GlobalDirections.of(torch.eye(generator.latent_dim)[:2])
    return Session(Subject(generator.freeze(), directions.requires_grad_(False), None, None, "direction"))


@pytest.mark.parametrize(("kind", "reason"), [(Dice, "draws noise of its own"), (Branching, "cannot be turned into")])
def test_a_generator_that_is_no_graph_is_named_with_what_else_to_do(kind, reason):
    with pytest.raises(ValueError, match=rf"the generator generator \({kind.__name__}\).*{reason}.*serve the page"):
        picture_graph(kind().freeze(), GlobalDirections.of(torch.eye(3)))


def test_too_many_networks_of_directions_are_refused():
    many = CurvedDirections(5, UNROLLED + 1, hidden_dim=4)
    with pytest.raises(ValueError, match="at most 64 do; choose some"):
        picture_graph(load_generator("shapes3d"), many)


def test_a_page_too_large_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MOST_BYTES", 1_000_000)
    session = session_of(load_generator("shapes3d"))
    with pytest.raises(ValueError, match=r"about 4 MB.*--fp16.*contrafact explore without --export"):
        export_page(session, tmp_path / "page.html")
    with pytest.raises(ValueError, match=r"about 2 MB[^-]*serve it"):
        export_page(session, tmp_path / "page.html", fp16=True)


def test_a_page_is_html(tmp_path):
    with pytest.raises(ValueError, match=r"must be called \*\.html, got 'page\.pdf'"):
        export_page(session_of(StyleGAN2(8, 4, channels=[2, 2])), tmp_path / "page.pdf")


def test_another_package_is_refused_before_it_is_read(tmp_path):
    wrong = tmp_path / "onnxruntime-web-1.30.0.tgz"
    with pytest.raises(ValueError, match=f"does not exist; expected the package {ADDRESS}"):
        load_runtime(wrong)
    wrong.write_bytes(b"anything")
    with pytest.raises(ValueError, match="its SHA-512 differs"):
        load_runtime(wrong)
    with open(wrong, "wb") as file:
        file.truncate(33_106_585)
    with pytest.raises(ValueError, match="its SHA-512 differs"):
        load_runtime(wrong)


def test_the_command_writes_the_page(runtime, tmp_path, disco_folder, capsys):
    out = tmp_path / "page.html"
    assert main(["explore", str(disco_folder), "--export", str(out), "--fp16"]) == 0
    assert "open it in a browser" in capsys.readouterr().out
    text = out.read_text("utf-8")
    assert not re.search(r"(src|href)=\"?(https?:)?//", text)
    assert "import(" not in assets.bundle(assets.EXPORTED)


def test_a_graph_in_half_the_bytes_makes_nearly_the_same_picture():
    from onnx.reference import ReferenceEvaluator

    generator = StyleGAN2.tiny()
    generator.fix_label(0)
    directions = CurvedDirections(12, 2, hidden_dim=8, layers=(1, 3), num_layers=6).requires_grad_(False)
    whole, half = (picture_graph(generator.freeze(), directions, small) for small in (False, True))
    assert len(half) < 0.85 * len(whole)
    latent = generator.sample(1, seed=3)
    moved = directions(directions(latent, 0, 1.5), 1, -1.0)
    expected = (generator(moved).clamp(0, 1) * 255)[0].movedim(0, -1).detach().numpy()
    given = {
        "latent": latent[:, None].expand(-1, 6, -1).contiguous().numpy(),
        "magnitudes": np.float32([1.5, -1.0]),
        "layers": np.float32([0, 1, 1, 0, 0, 0]),
    }
    assert b".py" not in whole
    for content, most in ((whole, 0.51), (half, 3)):
        model = onnx.load_model_from_string(content)
        named = [value.name for value in model.graph.input]
        picture, kept, _ = ReferenceEvaluator(model).run(None, {name: given[name] for name in named})
        assert np.abs(picture[..., :3] - expected).max() <= most
        assert (picture[..., 3] == 255).all()
        np.testing.assert_allclose(kept, moved.numpy(), atol=1e-5 if most < 1 else 1e-2)


def test_a_vector_per_layer_moves_inside_a_page_as_outside():
    generator = StyleGAN2.tiny()
    generator.fix_label(0)
    vectors = torch.randn(70, 6, 12, generator=torch.Generator().manual_seed(0))  # more than networks could be
    directions = LayeredDirections.of(vectors, 0.3).requires_grad_(False)
    latent, magnitudes = generator.sample(1, seed=3), torch.zeros(70)
    magnitudes[[2, 69]] = torch.tensor([1.5, -1.0])
    layers = torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    _, moved, _ = EditedPicture(generator, directions)(latent[:, None].expand(-1, 6, -1), magnitudes, layers)
    torch.testing.assert_close(moved, edit(generator, directions, latent, [(2, 1.5), (69, -1.0)], layers=(1, 4)))


@pytest.mark.parametrize("kind", ["curved", "circles"])
def test_steps_that_depend_on_the_latent_see_the_layers_they_act_on(kind):
    """A photograph's latent has other numbers in every layer, and the second step starts where the first has led."""
    generator, rng = StyleGAN2.tiny(), torch.Generator().manual_seed(0)
    generator.fix_label(0)
    if kind == "curved":
        directions = CurvedDirections(12, 2, hidden_dim=8)
    else:
        axes = torch.randn(3, 12, generator=rng)
        directions = WhitenedDirections.of(axes, groups=[[0, 2], [1]], center=torch.randn(12, generator=rng))
    directions.requires_grad_(False)
    latent = torch.randn(1, 6, 12, generator=rng)
    for layers in ((0, 6), (1, 4)):
        mask = torch.tensor([float(layers[0] <= layer < layers[1]) for layer in range(6)])
        _, moved, _ = EditedPicture(generator, directions)(latent, torch.tensor([1.5, -1.0]), mask)
        expected = edit(generator, directions, latent, [(0, 1.5), (1, -1.0)], layers=layers)
        torch.testing.assert_close(moved, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("truncation", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("make", [lambda: load_generator("fashion-mnist"), StyleGAN2.tiny, Stripes])
def test_latents_of_seeds_are_those_that_edit_draws(make, truncation):
    generator = make()
    drawn, mean = seed_latents(generator, 3)
    for seed in range(3):
        rng = torch.Generator().manual_seed(seed)
        expected = sample_latents(generator, 1, rng, truncation)[0]
        torch.testing.assert_close(mean[seed] + truncation * (drawn[seed] - mean[seed]), expected)


def test_modules_stand_in_the_order_in_which_they_need_each_other():
    for names in (assets.EXPORTED, assets.MODULES):
        script = assets.bundle(names)
        assert not re.search(r"^(import|export) ", script, re.MULTILINE)
        declared = re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", script, re.MULTILINE)
        declared += re.findall(r"^(?:const|let) \w+ = [^;(]*, (\w+) =", script, re.MULTILINE)
        assert sorted(declared) == sorted(set(declared)), "two modules give one name to two things"
    with pytest.raises(ValueError, match=r"state\.js needs latents\.js"):
        assets.bundle(("state.js",))


def test_blocks_of_a_page_are_what_was_packed():
    page = export._page({"title": "a </script> & <b>"}, {"graph": b"some bytes"})
    assert page.count("</script>") == 3
    packed = re.search(r'id="data-graph">(.*?)<', page)[1]
    assert gzip.decompress(base64.b64decode(packed)) == b"some bytes"
