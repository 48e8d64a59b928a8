import numpy as np
import pytest
import torch

from contrafact.core.pictures import to_bytes
from contrafact.report.sheets import comfortable_factor, contact_sheet, dataset_sheet, generator_sheet, sheet
from tests.report.tiny_runs import Flowers, Stripes


def cells_found(picture, image, factor):
    """How often ``image`` (H, W, 3), enlarged, stands in ``picture`` with white to its left and above it."""
    large = np.kron(image, np.ones((factor, factor, 1), dtype=np.uint8))
    height, width, _ = large.shape
    pixels = np.asarray(picture)
    white = (pixels == 255).all(axis=-1)
    starts = np.argwhere(~white[1:, 1:] & white[:-1, 1:] & white[1:, :-1]) + 1
    return sum(np.array_equal(pixels[y : y + height, x : x + width], large) for y, x in starts)


@pytest.mark.parametrize(("side", "factor"), [(28, 3), (32, 3), (64, 2), (128, 1), (1024, 1), (4, 24)])
def test_small_images_are_enlarged_to_be_seen(side, factor):
    assert comfortable_factor(side, side) == factor


def test_contact_sheet_shows_every_image_once():
    images = torch.rand(7, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    picture = contact_sheet(images, columns=3, captions=[f"image {i}" for i in range(7)], title="seven", upscale=4)
    assert [cells_found(picture, pixels, 4) for pixels in to_bytes(images)] == [1] * 7


def test_contact_sheet_picks_columns():
    images = torch.rand(8, 1, 10, 10)
    wide = contact_sheet(images, upscale=1)
    assert wide.width > 1.5 * wide.height


def test_captions_and_labels_make_room():
    pixels = to_bytes(torch.rand(2, 3, 3, 8, 8))
    bare = sheet(pixels, upscale=2)
    labelled = sheet(pixels, "title", ["one", "two\nsecond line"], ["a", "b", "c"], ["x"] * 6, upscale=2)
    assert labelled.width > bare.width
    assert labelled.height > bare.height
    assert (np.asarray(labelled).min(axis=-1) < 120).any()  # there is dark text on it


@pytest.mark.parametrize("labels", [{"row_labels": ["a"]}, {"column_labels": ["a"]}, {"captions": ["a"] * 7}])
def test_labels_must_fit(labels):
    with pytest.raises(ValueError, match="labels do not fit a grid of 2 rows and 3 columns"):
        sheet(to_bytes(torch.rand(2, 3, 3, 8, 8)), **labels)


def test_contact_sheet_refuses():
    with pytest.raises(ValueError, match=r"got shape \(0, 3, 4, 4\)"):
        contact_sheet(torch.zeros(0, 3, 4, 4))
    with pytest.raises(ValueError, match=r"one caption per image \(2\), got 1"):
        contact_sheet(torch.zeros(2, 3, 4, 4), captions=["a"])
    with pytest.raises(ValueError, match="columns must be a whole number of at least 1"):
        contact_sheet(torch.zeros(2, 3, 4, 4), columns=0)
    with pytest.raises(ValueError, match="upscale must be a whole number of at least 1"):
        contact_sheet(torch.zeros(2, 3, 4, 4), upscale=0)


def test_factor_dataset_gets_a_row_per_factor(rooms):
    rng = np.random.default_rng(3)
    picture = dataset_sheet(rooms, np.random.default_rng(3), columns=4)
    start = rooms.sample(1, rng)[0]
    for k, size in enumerate(rooms.factor_sizes):
        for value in np.linspace(0, size - 1, min(4, size)).round():
            factors = start.copy()
            factors[k] = value
            assert cells_found(picture, to_bytes(rooms.images(factors[None]))[0], 6) >= 1


def test_labelled_and_plain_datasets():
    labelled = dataset_sheet(Flowers(["rose", "tulip", "lily"]), np.random.default_rng(0), columns=5)
    plain = dataset_sheet(Flowers(), np.random.default_rng(0), columns=5)
    assert labelled.height < plain.height  # three rows against four
    drawn = set(np.random.default_rng(0).integers(12, size=20).tolist())
    shown = {i for i in range(12) if cells_found(plain, to_bytes(Flowers().batch([i]))[0], 12)}
    assert shown == drawn


def test_generator_sheet_shows_the_samples():
    generator = Stripes()
    generator.weight.mul_(0.2)  # nothing becomes white, which the search takes for paper
    rng = torch.Generator().manual_seed(5)
    expected = to_bytes(generator(generator.sample(6, rng)))
    picture = generator_sheet(generator, torch.Generator().manual_seed(5), count=6)
    assert all(cells_found(picture, pixels, 24) >= 1 for pixels in expected)


def test_generator_sheet_makes_large_images_few_at_a_time():
    sizes = []

    class Large(Stripes):
        def forward(self, latent):
            sizes.append(len(latent))
            return torch.zeros(len(latent), 1, 256, 256)

    generator_sheet(Large(image_shape=(1, 256, 256)), torch.Generator().manual_seed(0))
    assert sizes == [4, 4, 4]
