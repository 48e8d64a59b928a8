import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import Generator, sample_latents
from contrafact.core.pictures import to_bytes
from contrafact.core.whitened_directions import WhitenedDirections
from contrafact.generators import wrap
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.report.figures import (
    STILL,
    Sweep,
    animation,
    latent_axes,
    magnitude_labels,
    magnitude_range,
    pixel_change,
    sample_sheet,
    strip,
    sweep,
    sweep_run,
    traversal,
    traversal_sheet,
    write_traversal,
)
from tests.report.test_sheets import cells_found
from tests.report.tiny_runs import Stripes


@pytest.fixture
def stripes():
    return Stripes(latent_dim=3)


def directions_of(*vectors, scale=1.0):
    return GlobalDirections.of(torch.tensor(vectors, dtype=torch.float32), scale)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_traversal_is_every_direction_sample_and_magnitude(stripes, batch_size):
    directions = directions_of([1, 0, 0], [0, 3, 4], scale=0.5)
    latents = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    magnitudes = [-2.0, 0.0, 1.5]
    frames = traversal(stripes, directions, latents, magnitudes, batch_size=batch_size)
    assert frames.shape == (2, 4, 3, 1, 4, 6)
    unit = torch.tensor([[1.0, 0, 0], [0, 0.6, 0.8]])
    for d, s, m in np.ndindex(2, 4, 3):
        expected = ((latents[s] + 0.5 * magnitudes[m] * unit[d]) @ stripes.weight).view(1, 4, 6)
        torch.testing.assert_close(frames[d, s, m], expected)


def test_traversal_of_some_directions_in_the_order_asked_for(stripes):
    directions, latents = directions_of([1, 0, 0], [0, 1, 0], [0, 0, 1]), torch.zeros(1, 3)
    every = traversal(stripes, directions, latents, [-1.0, 0.0, 1.0])
    some = traversal(stripes, directions, latents, [-1.0, 0.0, 1.0], indices=[2, 0])
    torch.testing.assert_close(some, every[[2, 0]])


def test_traversal_averages_large_images_down():
    generator = Stripes(latent_dim=2, image_shape=(1, 4, 8))
    full = traversal(generator, directions_of([1, 0]), torch.ones(1, 2), [0.0, 1.0])
    small = traversal(generator, directions_of([1, 0]), torch.ones(1, 2), [0.0, 1.0], max_side=4)
    expected = full.unfold(-2, 2, 2).unfold(-2, 2, 2).mean(dim=(-1, -2))
    torch.testing.assert_close(small, expected)


def test_traversal_of_a_layer_range():
    generator = Stripes(latent_dim=2, num_layers=4)
    directions = GlobalDirections(2, 1, layers=(1, 2), num_layers=4)
    torch.nn.init.constant_(directions.weight, 1.0)
    frames = traversal(generator, directions, torch.zeros(1, 2), [0.0, 1.0])
    # One layer of four moves, so the mean latent moves a quarter of the way.
    expected = (torch.full((1, 2), 0.5**0.5 / 4) @ generator.weight).view(1, 4, 6)
    torch.testing.assert_close(frames[0, 0, 1], expected)


def test_directions_of_another_generator_are_refused(stripes):
    with pytest.raises(ValueError, match="live in 2 latent dimensions but the generator has 3"):
        traversal(stripes, directions_of([1, 0]), torch.zeros(1, 3), [0.0])


def test_change_of_a_linear_generator(stripes):
    # At the middle of the grey range nothing is clamped: |frame - base| is |m| · |row of the weight|.
    weight = stripes.weight / 100
    stripes.weight.copy_(weight)
    base = torch.full((1, 1, 3, 1, 4, 6), 0.5)
    step = torch.tensor([-2.0, 0.0, 1.0]).view(1, 1, 3, 1, 1, 1) * weight[0].view(1, 4, 6)
    mean, largest = pixel_change(base + step)
    assert mean == pytest.approx([1.5 * float(weight[0].mean())])
    assert largest == pytest.approx([2 * float(weight[0].max())], rel=1e-4)


def test_change_is_what_a_person_sees():
    frames = torch.full((1, 1, 3, 1, 2, 2), 1.0)
    frames[:, :, 2] = 9.0  # brighter than white is still white
    assert pixel_change(frames)[0].tolist() == [0.0]


def test_sweep_sorts_by_change(stripes):
    stripes.weight.mul_(torch.tensor([0.001, 0.3, 0.05])[:, None])
    directions = directions_of([1, 0, 0], [0, 1, 0], [0, 0, 1])
    latents = torch.tensor([[0.0, 2.0, 0.0]])
    swept = sweep(stripes, directions, latents, magnitude_range(5, 1.0))
    assert swept.indices == (1, 2, 0)
    assert swept.names == ("direction 1", "direction 2", "direction 0")
    assert (np.diff(swept.change) < 0).all()
    assert swept.change.tolist() == pytest.approx(pixel_change(swept.frames)[0].tolist())
    assert swept.moving == 2
    assert pixel_change(swept.frames)[1][2] < STILL < pixel_change(swept.frames)[1][1]


def test_copies_are_named_whichever_way_round_they_point(stripes):
    """The same stripe twice, once backwards and weaker; and half of one stripe with half of another, which is none."""
    stripes.weight.copy_(torch.eye(3).repeat_interleave(8, dim=1))
    directions = directions_of([1, 0, 0], [-0.999, 0.03, 0.03], [0, 1, 0], [0.7, 0, 0.7])
    swept = sweep(stripes, directions, torch.full((2, 3), 0.5), magnitude_range(3, 0.4))
    same = dict(zip(swept.names, swept.copy_of, strict=True))
    assert {same["direction 0"], same["direction 1"]} in ({None, "direction 0"}, {None, "direction 1"})
    assert (same["direction 2"], same["direction 3"]) == (None, None)
    assert sum("\nlike direction" in label for label in swept.labels) == 1


def test_a_small_object_that_changes_is_no_dead_direction():
    class Dot(Stripes):
        def forward(self, latent):
            images = torch.zeros(len(latent), 1, 32, 32)
            images[:, 0, 0, 0] = 0.5 + latent[:, 0]  # one pixel of 1,024
            images[:, 0, 1:] = 0.5 + 0.01 * latent[:, 1, None, None]  # all others, but by two grey levels
            return images

    swept = sweep(Dot(2, (1, 32, 32)), directions_of([0, 1], [1, 0]), torch.zeros(1, 2), magnitude_range(3, 0.5))
    assert (swept.indices, swept.moving) == ((1, 0), 1)
    assert swept.change[0] < swept.change[1]


def test_sweep_keeps_the_strongest_of_many(stripes):
    strength = torch.tensor([0.01, 0.3, 0.05])
    stripes.weight.mul_(strength[:, None])
    directions = directions_of([1, 0, 0], [0, 1, 0], [0, 0, 1])
    swept = sweep(stripes, directions, torch.full((1, 3), 0.8), magnitude_range(3, 0.5), most=2)
    assert (swept.indices, swept.found, len(swept.frames)) == ((1, 2), 3, 2)


def test_latent_axes_move_one_code_by_one_standard_deviation():
    class Wide(Stripes):
        def map(self, z, label=None, truncation=1.0):
            return 3.0 * z

    axes = latent_axes(Wide(latent_dim=3))
    moved = axes(torch.zeros(3, 3), torch.arange(3), 2.0)
    torch.testing.assert_close(moved, 6.0 * torch.eye(3), atol=0.1, rtol=0)
    assert axes.names == ["code 0", "code 1", "code 2"]
    split = Wide(latent_dim=4)
    split.parts = {"hue": (0, 1), "residual": (2, 4)}
    assert latent_axes(split).names == ["hue", "code 1", "residual 0", "residual 1"]


def test_conditional_generators_get_classes():
    class Conditional(Generator):
        latent_dim = prior_dim = 2
        num_classes = 3
        image_shape = (1, 2, 2)

        def map(self, z, label=None, truncation=1.0):
            self.check_condition(label, truncation)
            return z * 0 + label[:, None]

        def forward(self, latent):
            return latent.sum(dim=1).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)

    latents = sample_latents(Conditional(), 100, torch.Generator().manual_seed(0))
    assert latents.unique().tolist() == [0, 1, 2]


@pytest.mark.parametrize("frames", [2, 4, 1])
def test_frames_must_have_a_middle(frames):
    with pytest.raises(ValueError, match=f"frames must be odd and at least 3.*got {frames}"):
        magnitude_range(frames, 1.0)


@pytest.mark.parametrize("span", [0.0, -1.0, float("nan"), float("inf")])
def test_span_must_be_positive(span):
    with pytest.raises(ValueError, match="span is in standard deviations and must be positive"):
        magnitude_range(3, span)


def test_magnitude_labels_are_short():
    assert magnitude_labels(magnitude_range(9, 2.5))[:5] == ["−2.5 σ", "−1.88 σ", "−1.25 σ", "−0.62 σ", "0"]
    assert magnitude_labels(np.array([-10.0, 0, 10])) == ["−10 σ", "0", "+10 σ"]
    assert magnitude_labels(np.array([-0.004, 0.004])) == ["0", "0"]


def test_run_with_directions_finds_the_dead_one_last(finished):
    swept = sweep_run(finished, samples=2, frames=3, span=2.0)
    assert swept.kind == "direction"
    assert swept.indices[-1] == 0
    assert swept.change[-1] == pytest.approx(0.0, abs=1e-6)
    assert swept.moving == finished.directions.num_directions - 1


def test_run_without_directions_sweeps_its_codes(finished_codes):
    swept = sweep_run(finished_codes, samples=1, frames=3)
    assert swept.kind == "code"
    assert sorted(swept.names) == ["code 0", "code 1", "code 2", "code 3"]


def test_same_seed_same_frames(finished):
    first, again, other = (sweep_run(finished, 2, 3, seed=seed).frames for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_run_without_a_generator_says_so(finished_encoder):
    with pytest.raises(ValueError, match="yields encoder, but no generator"):
        sweep_run(finished_encoder)


@pytest.fixture
def plain_sweep():
    frames = torch.rand(8, 2, 5, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return Sweep(
        frames=frames,
        magnitudes=magnitude_range(5, 2.0),
        names=tuple(f"direction {d}" for d in range(8)),
        indices=tuple(range(8)),
        change=np.linspace(0.5, 0.1, 8),
        moving=8,
        found=100,
    )


def test_strip_and_overview_grow_with_their_rows(plain_sweep):
    one, overview = strip(plain_sweep, 3), traversal_sheet(plain_sweep)
    cell = 6 * 16 + 4
    assert overview.height - one.height == (8 - 2) * cell
    assert one.width >= 5 * cell


def test_cells_of_a_strip_are_the_generators_images(finished):
    """From latents to pixels by hand, one image at a time."""
    swept = sweep_run(finished, samples=2, frames=3, span=2.0, only=["angle"], seed=7)
    picture = strip(swept, 0)
    generator, vectors = finished.generator, finished.directions.vectors()
    scale = finished.directions.scale
    for latent in generator.sample(2, torch.Generator().manual_seed(7)):
        for magnitude in (-2.0, 0.0, 2.0):
            moved = latent + magnitude * scale * vectors[finished.directions.names.index("angle")]
            assert cells_found(picture, to_bytes(generator(moved[None]))[0], 6) >= 1


def test_directions_by_samples_shows_both_ends(plain_sweep):
    picture = sample_sheet(plain_sweep)
    for d in range(8):
        for s in range(2):
            for m in (0, 4):
                assert cells_found(picture, to_bytes(plain_sweep.frames[d, s, m]), 16) == 1
            assert cells_found(picture, to_bytes(plain_sweep.frames[d, s, 1]), 16) == 0
    for s in range(2):
        assert cells_found(picture, to_bytes(plain_sweep.frames[0, s, 2]), 16) == 2


def test_latents_of_every_layer_are_swept(tmp_path):
    generator = StyleGAN2.tiny().freeze()
    directions = GlobalDirections.of(torch.randn(2, 12), 0.5)
    directions.layers, directions.num_layers = (1, 3), 6
    latents = torch.randn(2, 6, 12)
    frames = traversal(generator, directions, latents, [-1.0, 0.0, 2.0])
    moved = latents.clone()
    moved[1, 1:3] += 2.0 * 0.5 * directions.vectors()[1]
    torch.testing.assert_close(frames[1, 1, 2], generator(moved)[1], atol=1e-4, rtol=0)


def test_animation_goes_there_and_back(plain_sweep):
    frames = animation(plain_sweep)
    assert len(frames) == 2 * 5 - 2
    arrays = [np.asarray(frame) for frame in frames]
    for step in range(1, 4):
        np.testing.assert_array_equal(arrays[step], arrays[-step])
    assert not np.array_equal(arrays[0], arrays[4])
    assert animation(plain_sweep, 2)[0].height < frames[0].height


def test_thinned_keeps_ends_and_middle(plain_sweep):
    thin = plain_sweep.thinned(2)
    assert thin.magnitudes.tolist() == [-2.0, 0.0, 2.0]
    torch.testing.assert_close(thin.frames, plain_sweep.frames[:, :, [0, 2, 4]])


def test_write_traversal_writes_pictures(finished, tmp_path):
    paths = write_traversal(finished, tmp_path / "out", samples=2, frames=3)
    names = [path.name for path in paths]
    assert names[:2] == ["traversal.png", "traversal.gif"]
    assert sorted(names[2:]) == [*(f"direction_{d:02}.png" for d in range(9)), "samples.png"]
    for path in paths:
        with Image.open(path) as picture:
            picture.verify()
    with Image.open(paths[1]) as loop:
        assert loop.n_frames == 8  # 5 magnitudes there and back


def test_write_traversal_goes_to_the_run_by_default(finished_codes):
    paths = write_traversal(finished_codes, samples=1, frames=3)
    assert paths[0] == finished_codes.folder / "figures" / "traversal.png"
    assert (finished_codes.folder / "figures" / "code_03.png").exists()


def test_write_traversal_refuses_even_frames(finished):
    with pytest.raises(ValueError, match="frames must be odd"):
        write_traversal(finished, frames=4)


def test_a_circle_is_turned_around_and_says_radians():
    """Two of three white vectors are a circle, in a generator that shows the three coordinates as grey levels."""
    module = torch.nn.Sequential(
        torch.nn.Sigmoid(), torch.nn.Unflatten(1, (3, 1, 1)), torch.nn.Upsample(scale_factor=8)
    )
    generator = wrap(module, 3, image_range=(0, 1)).freeze()
    directions = WhitenedDirections.of(torch.eye(3), torch.eye(3), torch.zeros(3), [[0], [1, 2]], ["size", "hue"])
    latents = torch.tensor([[0.5, 2.0, 0.0]])
    smooth = sweep(generator, directions, latents, magnitude_range(9, generator.figure_span))
    swept = smooth.thinned(2)
    hue, size = swept.names.index("hue"), swept.names.index("size")
    for m, part in enumerate((-1, -0.5, 0, 0.5, 1)):
        angle, step = part * 0.9 * np.pi, part * generator.figure_span
        turned = torch.tensor([0.5, 2 * np.cos(angle), 2 * np.sin(angle)]).sigmoid()
        moved = torch.tensor([0.5 + step, 2.0, 0.0]).sigmoid()
        torch.testing.assert_close(swept.frames[hue, 0, m, :, 0, 0], turned.float(), atol=1e-5, rtol=0)
        torch.testing.assert_close(swept.frames[size, 0, m, :, 0, 0], moved.float(), atol=1e-5, rtol=0)
    assert swept.step_labels(hue) == ["−2.83 rad", "−1.41 rad", "0", "+1.41 rad", "+2.83 rad"]
    assert swept.step_labels(size)[0].endswith(" σ")
    assert swept.labels[hue].splitlines()[2] == "turns ±2.83 rad"
    assert len(swept.labels[size].splitlines()) == 2
    half = sweep(generator, directions, latents, magnitude_range(3, generator.figure_span / 2))
    assert half.step_labels(half.names.index("hue"))[-1] == "+1.41 rad"
    wide = sweep(generator, directions, latents, magnitude_range(9, 2 * generator.figure_span))
    turned = wide.frames[wide.names.index("hue"), 0]
    assert wide.step_labels(wide.names.index("hue"))[::4] == ["−2.83 rad", "0", "+2.83 rad"]
    assert all(float((turned[m] - turned[m + 1]).abs().max()) > 0.01 for m in range(8))  # it stands still nowhere
    with pytest.raises(ValueError, match="magnitudes are of 3 directions, but 2 are swept"):
        traversal(generator, directions, latents, np.ones((3, 5)))
