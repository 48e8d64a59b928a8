"""The generators in the package: each says where it came from, and its score comes out again."""

import pytest
import torch

from contrafact.bench.shipped import sample_distance
from contrafact.core.generator import architecture
from contrafact.data.load import load_dataset
from contrafact.generators.checkpoints import WEIGHTS, load_generator, shipped_names


def test_the_promised_ones_are_there():
    assert {"shapes3d", "shapes3d-64", "dsprites"} <= set(shipped_names())


def test_one_that_another_generator_makes_the_images_of_has_a_name_that_says_what_it_is():
    assert type(load_generator("shapes3d-vae")) is type(load_generator("shapes3d")) is architecture("vae")
    assert type(load_generator("shapes3d-64")) is architecture("stylegan2")


@pytest.mark.parametrize("name", shipped_names())
def test_says_what_made_it_and_its_score_comes_out_again(name):
    assert (WEIGHTS / f"{name}.safetensors").stat().st_size < 4_000_000
    generator = load_generator(name)
    note = generator.note
    made_by = {"sharp_generator": "docs/examples/sharp_generator.py:SharpGenerator"}.get(note["method"], note["method"])
    assert note["command"].startswith(f"contrafact fit {made_by} --data {note['trained_on']} ")
    if note["method"] == "vae":
        assert note["active_latents"] == sum(kl > 0.1 for kl in note["kl_per_latent"]) >= 8
    if note["method"] == "stylegan2":
        assert note["images_seen"] > 10_000
    dataset = load_dataset(note["trained_on"], size=generator.image_shape[-1])
    if dataset.source != note["from"]:
        pytest.skip("the published file is installed here; the score is on the embedded images")
    assert sample_distance(generator, dataset) == pytest.approx(note["sample_distance"], rel=0.02)


@pytest.mark.parametrize("name", shipped_names())
def test_samples_differ_as_much_as_the_images_do(name):
    """A collapsed or blurred generator has less variance per pixel than its data."""
    generator = load_generator(name)
    dataset = load_dataset(generator.note["trained_on"], size=generator.image_shape[-1])
    samples = generator(generator.sample(500, torch.Generator().manual_seed(1)))
    images = dataset.batch(torch.randint(len(dataset), (500,), generator=torch.Generator().manual_seed(1)))
    assert samples.var(dim=0).mean() > 0.85 * images.var(dim=0).mean()
