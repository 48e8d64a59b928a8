"""Generators whose images are no squares of three colours go through every command; pictures have their shape."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

import contrafact as cf
from contrafact.cli import main
from contrafact.core.pictures import to_bytes

MINE = '''
import torch
from torch import nn
import contrafact as cf


class Blob(nn.Module):
    """A blob whose place, width and colours the latent moves; opacity last."""

    def __init__(self, c, h, w):
        super().__init__()
        self.shape = (c, h, w)
        rng = torch.Generator().manual_seed(0)
        self.mix = nn.Parameter(torch.linalg.qr(torch.randn(6, 6, generator=rng))[0])

    def forward(self, z):
        c, h, w = self.shape
        f = (z @ self.mix)[:, :, None, None]
        y, x = torch.linspace(-1, 1, h)[:, None], torch.linspace(-w / h, w / h, w)
        d = (y - 0.4 * f[:, 0]) ** 2 + (x - 0.5 * f[:, 1]) ** 2
        blob = torch.exp(-d / (0.15 * torch.exp(0.5 * f[:, 2])))
        return 2 * blob[:, None] * torch.cat((torch.sigmoid(f[:, 3:6]), 0 * f[:, :1] + 1), 1)[:, :c] - 1


def wide():
    return cf.wrap(Blob(3, 24, 40), 6)


def see_through():
    return cf.wrap(Blob(4, 16, 16), 6)


def tall_and_grey():
    return cf.wrap(Blob(1, 32, 20), 6)
'''
SHAPES = {"wide": (3, 24, 40), "see_through": (4, 16, 16), "tall_and_grey": (1, 32, 20)}
DISCO = "--encoder-width 0.1 --num-queries 4 --num-positives 4 --num-negatives 4 --directions-per-step 3"


def run(words):
    assert main(words.split()) == 0, words


@pytest.fixture(params=SHAPES)
def fitted(request, tmp_path, monkeypatch):
    """A run on such a generator, and a photograph of its."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    name, shape = request.param, SHAPES[request.param]
    generator = f"--generator mine.py:{name}"
    run(f"fit disco {generator} --num-directions 3 --code-dim 3 --steps 3 {DISCO} --out run")
    made = cf.load_generator(f"mine.py:{name}")
    assert made.image_shape == shape
    image = made(made.sample(1, seed=3)).detach()
    pixels = to_bytes(image[:, :3])[0]
    if shape[0] == 4:
        pixels = np.concatenate((pixels, to_bytes(image[:, 3:])[0][..., :1]), axis=-1)
    Image.fromarray(pixels[..., 0] if shape[0] == 1 else pixels).save("photo.png")
    return generator, shape, image


def test_pictures_have_the_generators_shape(fitted):
    generator, (channels, height, width), image = fitted
    run(f"traverse run {generator} --samples 1 --frames 3")
    run(f"plane run {generator} 0 1 --steps 5 --pictures 3 --out plane")
    run(f"edit run {generator} --latent 0 --direction 0 --by 2 --out edited")
    run(f"invert photo.png {generator} --steps 40 --starts 4 --network none --out inverted")
    run(f"edit run {generator} --latents inverted/latents.safetensors --direction 0 --by 2 --out again")
    for path in ("edited/seed-0_edited.png", "inverted/photo_reconstruction.png", "again/photo_edited.png"):
        with Image.open(path) as picture:
            assert picture.size == (width, height)
            assert picture.mode == ("RGBA" if channels == 4 else "RGB")
    with Image.open("run/figures/direction_00.png") as strip:
        assert strip.width / strip.height > 2 * width / height
    latent = cf.editing.latents.load_latents("inverted/latents.safetensors").latents
    found = cf.load_generator(generator.split()[1])(latent)
    assert float((found.reshape_as(image) - image).square().mean()) < 0.01


@pytest.mark.slow
def test_pages_of_them(fitted):
    generator = fitted[0]
    run(f"report run {generator} --samples 1")
    run(f"compare run run {generator} --samples 1 --frames 3 --out compared")
    run(f"explore run {generator} --export page.html")
    assert os.path.getsize("run/report.html") > 10_000


def test_a_distance_of_photographs_sees_what_shows():
    from contrafact.editing.similarity import _colours

    clear = torch.cat((torch.rand(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)), dim=1)
    assert torch.equal(_colours(clear), torch.ones(1, 3, 4, 4))
    assert torch.equal(_colours(clear[:, :1]), clear[:, :1].expand(-1, 3, -1, -1))


def test_pictures_of_two_channels_are_none(tmp_path):
    from contrafact.editing.photographs import read_photographs

    with pytest.raises(ValueError, match="pictures have one, three or four channels, but the generator's images"):
        read_photographs([tmp_path / "x.png"], (2, 8, 8))
