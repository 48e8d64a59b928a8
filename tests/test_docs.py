"""Every Python block of the docs is run as printed: what a page names exists, and its blocks work one after the other.

The blocks of a page share a namespace, as for a reader who follows it. What a page takes from its reader (files,
arrays, a module) a prelude makes, small; long trainings are cut by substitutions, each of which must be on the page.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import contrafact as cf
from contrafact.core.artefact import save_artefact
from contrafact.core.directions import GlobalDirections
from contrafact.generators.biggan import BigGAN
from contrafact.methods.disco import DisCo

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
WRITTEN = [
    page for page in sorted(DOCS.rglob("*.md")) if page.relative_to(DOCS).parts[0] not in ("_build", "reference")
]
PAGES = [page.relative_to(DOCS).as_posix() for page in WRITTEN if BLOCK.search(page.read_text())]

SHORTER = {
    "editing.md": {"steps=200": "steps=2"},
    "methods/latentclr.md": {
        'preset("biggan")': 'preset("biggan", steps=2, model="global", batch_size=2)',
        '"label": 16': '"label": 1',
        '"label": 849': '"label": 2',
    },
    "metrics/rescoring.md": {"num_latents=200": "num_latents=8"},
    "methods/moco.md": {
        "MoCo(encoder=my_network": "MoCo(encoder=my_network, steps=2, batch_size=8, queue_length=16",
        '"cifar10", path="..."': '"pictures"',
    },
}


def matrices():
    """Codes and factors that somebody has."""
    rng = np.random.default_rng(0)
    factors, factors_test = rng.integers(4, size=(200, 2)), rng.integers(4, size=(100, 2))
    return {
        "codes": factors + rng.normal(size=factors.shape) * 0.1,
        "factors": factors,
        "codes_test": factors_test + rng.normal(size=factors_test.shape) * 0.1,
        "factors_test": factors_test,
    }


def generators():
    """A network somebody trained: noise (N, 100, 1, 1) to images in -1..1."""
    return {"my_gan": nn.Sequential(nn.ConvTranspose2d(100, 3, 32), nn.Tanh()).eval()}


def checkpoint():
    """Another program's BigGAN, converted."""
    torch.manual_seed(0)
    save_artefact(BigGAN.tiny(), "biggan.safetensors")
    return {}


def network():
    """Somebody's encoder, and a folder of pictures."""
    Path("pictures").mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(256, size=(16, 64, 64, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(f"pictures/{number}.png")
    return {"my_network": nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten())}


def run():
    """The run of the quick start, and images."""
    cf.methods.DisCo.preset("quick").fit(cf.load_generator("shapes3d"), "runs/first")
    return {"images": torch.rand(2, 3, 16, 16)}


def judged():
    """Directions that were found, and a judge of images that needs no other package."""
    cf.methods.LatentCLR(num_directions=8, steps=1, batch_size=2).fit(cf.load_generator("shapes3d"), "runs/faces")
    judge = Path("docs/examples/face_judges.py")
    judge.parent.mkdir(parents=True)
    judge.write_text("def judge(images):\n    return images.mean((2, 3))[:, :2]\n")
    return {}


def directions():
    """What `contrafact name` and `contrafact export` of the page have written by then."""
    latent_dim = cf.load_generator("shapes3d").latent_dim
    save_artefact(GlobalDirections(latent_dim, 2, names=["wall hue", "floor hue"]), "hues.safetensors")
    return {}


PRELUDES = {
    "editing.md": directions,
    "generators.md": generators,
    "methods/latentclr.md": checkpoint,
    "methods/moco.md": network,
    "quickstart.md": matrices,
    "report.md": run,
    "metrics/rescoring.md": judged,
    "metrics/factor_vae_score.md": lambda: {name: matrices()[name] for name in ("codes", "factors")},
    "scoring.md": lambda: {**matrices(), "kl": np.array([2.0, 1.5])},  # of two latents in use
}


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run_in_the_order_of_the_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Image.Image, "show", lambda image: image.load())
    monkeypatch.setitem(DisCo.presets, "quick", {**DisCo.presets["quick"], "steps": 2})
    text = (DOCS / page).read_text()
    shown = "".join(BLOCK.findall(text))
    names = {"__name__": "page", **PRELUDES.get(page, dict)()}
    assert all(name in shown for name in names if name != "__name__")
    for block in BLOCK.findall(text):
        for long, short in SHORTER.get(page, {}).items():
            block = block.replace(long, short)
        exec(compile(block, page, "exec"), names)


def test_preludes_and_cuts_belong_to_what_the_pages_show():
    assert set(PRELUDES) | set(SHORTER) <= set(PAGES)
    for page, cuts in SHORTER.items():
        shown = "".join(BLOCK.findall((DOCS / page).read_text()))
        assert [long for long in cuts if long not in shown] == []


PICTURE = re.compile(r"!\[([^\]]{20,})\]\(([^)]+)\)")


@pytest.mark.parametrize("name", cf.methods.CATALOG)
def test_a_methods_page_shows_what_it_gives(name):
    page = DOCS / "methods" / f"{name}.md"
    shown = PICTURE.findall(page.read_text())
    assert shown, "draw one by docs/methods/pictures.py"
    for _, place in shown:
        with Image.open(page.parent / place) as picture:
            picture.verify()
