import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.core.directions import CurvedDirections, GlobalDirections
from contrafact.core.pictures import to_bytes
from contrafact.generators.analytic import Analytic
from contrafact.report.planes import plane, plane_chart, plane_sheet, rate_chart, strongest, write_plane
from tests.report.test_sheets import cells_found
from tests.report.tiny_runs import Stripes


def colours(images):
    """Two attributes a picture of the scene shows by itself: mean red and mean blue."""
    return images.mean(dim=(2, 3))[:, [0, 2]]


@pytest.mark.parametrize("batch_size", [4, 1000])
@pytest.mark.parametrize("curved", [False, True])
def test_a_plane_is_a_loop_over_its_points(batch_size, curved):
    torch.manual_seed(0)
    scene = Analytic("room", size=16)
    directions = CurvedDirections(8, 3, 8) if curved else GlobalDirections.of(torch.randn(3, 8))
    directions.requires_grad_(False)
    latent = torch.randn(8)
    mapped = plane(scene, directions, latent, 2, 0, colours, span=2.0, steps=5, pictures=3, batch_size=batch_size)
    assert (mapped.axes, mapped.magnitudes.tolist()) == (("direction 2", "direction 0"), [-2.0, -1.0, 0.0, 1.0, 2.0])
    for up, across in np.ndindex(5, 5):
        moved = directions(latent[None], 2, float(mapped.magnitudes[across]))
        image = scene(directions(moved, 0, float(mapped.magnitudes[up])))
        assert mapped.values[:, up, across] == pytest.approx(colours(image)[0].numpy(), abs=1e-5)
        if up % 2 == 0 and across % 2 == 0:
            torch.testing.assert_close(mapped.pictures[up // 2, across // 2], image[0], atol=1e-5, rtol=0)


@pytest.fixture
def linear():
    """Attributes that are the two coordinates, a constant and their sum: every chart is known beforehand."""
    stripes = Stripes(latent_dim=3, image_shape=(1, 1, 3))
    stripes.weight.copy_(torch.eye(3))

    def read(images):
        x, y = images[:, 0, 0, 0], images[:, 0, 0, 1]
        return torch.stack((0.1 * (x + y), y, torch.ones_like(x), x), dim=1)

    axes = GlobalDirections.of(torch.eye(3)[:2], names=["right", "high"])
    return plane(stripes, axes, torch.zeros(3), "right", "high", read, list("syox"), steps=30, pictures=4)


def test_attributes_that_follow_an_axis_come_first(linear):
    order = [linear.attributes[a] for a in strongest(linear)]
    assert sorted(order[:2]) == ["x", "y"]
    assert order[2:] == ["s", "o"]
    figure = plane_chart(linear, [1, 3, 0, 2])
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles == [
        "y\n0% across, 100% up",
        "x\n100% across, 0% up",
        "s\n50% across, 50% up",
        "o\n0% across, 0% up",
    ]
    drawn = [axes.get_images()[0] for axes in figure.axes if axes.get_title(loc="left")][1]
    np.testing.assert_array_equal(drawn.get_array(), linear.values[3])
    assert drawn.origin == "lower"


def test_rates_of_a_linear_plane_are_its_own_steps(linear):
    left, right = rate_chart(linear, places=2, points=5).axes
    assert len(left.lines) == 3 * 4
    assert (right.get_xlabel(), right.get_ylabel()) == ("x", "y")
    for in_plane, by_value in zip(left.lines, right.lines, strict=True):
        np.testing.assert_allclose(in_plane.get_xydata(), by_value.get_xydata(), atol=1e-5)
    horizontal, vertical, diagonal = (left.lines[i].get_xydata() for i in (0, 4, 8))
    assert np.ptp(horizontal[:, 1]) == np.ptp(vertical[:, 0]) == 0
    np.testing.assert_allclose(np.diff(diagonal[:, 0]), np.diff(diagonal[:, 1]))
    spacing = np.concatenate([np.diff(line.get_xydata(), axis=0) for line in left.lines[:4]])
    np.testing.assert_allclose(spacing, np.broadcast_to(spacing[0], spacing.shape), atol=1e-12)


def test_pictures_stand_as_on_the_axes(linear):
    scene = Analytic("sprite", size=16)
    mapped = plane(scene, GlobalDirections.of(torch.eye(8)), torch.zeros(8), 0, 1, colours, steps=4, pictures=2)
    whole = plane_sheet(mapped)
    pixels = np.asarray(whole)
    for up, across in np.ndindex(2, 2):
        image = to_bytes(mapped.pictures[up, across])
        assert cells_found(whole, image, 6) == 1
        large = np.kron(image, np.ones((6, 6, 1), np.uint8))
        low = pixels[-14 - 96 : -14] if up == 0 else pixels[-14 - 2 * 96 - 4 : -14 - 96 - 4]
        at = slice(-14 - 96, -14) if across == 1 else slice(-14 - 2 * 96 - 4, -14 - 96 - 4)
        np.testing.assert_array_equal(low[:, at], large)


def test_files(linear, tmp_path):
    paths = write_plane(linear, tmp_path / "out")
    assert [p.name for p in paths] == ["plane.png", "plane_images.png", "plane_rates.png"]
    for path in paths:
        with Image.open(path) as picture:
            picture.verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"second": 0}, "two different directions span a plane, got 'direction 0' twice"),
        ({"second": "smile"}, "unknown direction 'smile'"),
        ({"span": 0.0}, "span is in standard deviations and must be positive, got 0.0"),
        ({"steps": 1}, "expected at least 2 steps"),
        ({"pictures": 9}, "2 to 5 pictures, got 5 and 9"),
        ({"attributes": ["red"]}, "the reader returns 2 attributes, but 1 names were given"),
        ({"read": lambda images: images}, r"got 25 images and returned an array of shape \(25, 3, 16, 16\)"),
        ({"read": lambda images: colours(images) * np.nan}, "one row of finite numbers per image"),
        ({"directions": GlobalDirections.of(torch.eye(3))}, "live in 3 latent dimensions but the generator has 8"),
    ],
)
def test_refusals(change, message):
    arguments = {
        "generator": Analytic("sprite", size=16),
        "directions": GlobalDirections.of(torch.eye(8)),
        "latent": torch.zeros(8),
        "first": 0,
        "second": 1,
        "read": colours,
        "steps": 5,
        "pictures": 3,
    }
    with pytest.raises(ValueError, match=message):
        plane(**{**arguments, **change})


def test_too_few_points_for_lines(linear):
    with pytest.raises(
        ValueError, match="5×5 places with lines of an odd number of points, here 9, need two attributes and at"
    ):
        rate_chart(linear, places=5, points=9)
