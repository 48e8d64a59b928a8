import dataclasses

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from contrafact.core.directions import GlobalDirections
from contrafact.core.method import load_run
from contrafact.core.pictures import to_bytes
from contrafact.core.run import Run
from contrafact.core.whitened_directions import WhitenedDirections
from contrafact.generators.analytic import Analytic
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.methods.random import Random
from contrafact.report.comparison import (
    Contender,
    _row_labels,
    compare,
    comparison_block,
    contenders_of,
    match_directions,
    write_comparison,
)
from contrafact.report.figures import traversal
from tests.report.test_sheets import cells_found


@pytest.fixture(scope="module")
def scene():
    return Analytic("sprite", size=16)


def contender(scene, label, order, signs=None, names=None):
    """The scene's true directions in another order, some of them reversed."""
    vectors = scene.true_directions()[order] * torch.tensor(signs or [1.0] * len(order))[:, None]
    return Contender(label, scene, GlobalDirections.of(vectors, names=names))


def test_the_same_directions_in_another_order_are_found_and_turned(scene):
    first = contender(scene, "first", list(range(8)))
    other = contender(scene, "other", [3, 0, 7, 1, 2, 6, 5, 4], [1.0, -1, 1, 1, -1, 1, -1, 1])
    compared = compare([first, other], [0, 2, 3], samples=2, frames=3, span=2.0)
    found = [(match.index, match.sign) for _, match in compared.matches]
    assert found == [(1, -1), (4, -1), (0, 1)]
    assert [match.alike for _, match in compared.matches] == pytest.approx([1.0] * 3, abs=1e-5)
    torch.testing.assert_close(compared.frames[:, 1], compared.frames[:, 0], atol=1e-5, rtol=0)


def test_frames_are_the_generators_images_of_the_same_latents(scene):
    first, other = contender(scene, "a", [0, 1, 2]), contender(scene, "b", [4, 5, 6])
    compared = compare([first, other], ["direction 1"], samples=2, frames=3, span=1.5, seed=4)
    latents = scene.sample(2, torch.Generator().manual_seed(4))
    for rank, who in enumerate((first, other)):
        match = compared.matches[0][rank]
        for s, m in np.ndindex(2, 3):
            step = match.sign * (-1.5, 0.0, 1.5)[m] * who.directions.vectors()[match.index]
            expected = scene((latents[s] + step)[None])[0]
            torch.testing.assert_close(compared.frames[0, rank, s, m], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(compared.frames[:, 0, :, 1], compared.frames[:, 1, :, 1])  # one unchanged image


def test_circles_are_turned_as_in_other_figures(scene):
    """Nearly all the way around each way, where other directions go to the figures' span."""
    axes = torch.eye(8)
    white = WhitenedDirections.of(axes, axes, torch.zeros(8), [[0], [1, 2], *([v] for v in range(3, 8))])
    first = Contender("first", scene, white)
    compared = compare([first, first], [1, 0], samples=1, frames=3)
    latent = scene.sample(1, torch.Generator().manual_seed(0))
    for row, (number, step) in enumerate(((1, 0.9 * np.pi), (0, scene.figure_span))):
        moved = white(latent, torch.tensor([number]), torch.tensor([step], dtype=torch.float32))
        torch.testing.assert_close(compared.frames[row, 0, 0, 2], scene(moved)[0], atol=1e-4, rtol=0)
    assert _row_labels(compared, 0)[0].endswith("turns ±2.83 rad")
    assert "turns" not in _row_labels(compared, 1)[0]


def test_strongest_directions_by_default(scene):
    first = contender(scene, "a", list(range(8)))
    compared = compare([first, contender(scene, "b", list(range(8)))], most=2, samples=2, frames=3)
    assert len(compared.matches) == 2
    frames = traversal(scene, first.directions, scene.sample(2, torch.Generator().manual_seed(0)), [-2.5, 0.0, 2.5])
    change = (frames - frames[:, :, 1:2]).abs().flatten(1).mean(dim=1)
    assert {pair[0].index for pair in compared.matches} == set(change.topk(2).indices.tolist())


def test_a_name_wins_over_likeness(scene):
    first = contender(scene, "a", [0, 1, 2], names=["across", "size", "direction 2"])
    other = contender(scene, "b", [0, 1, 2], names=["direction 0", "across", "direction 2"])
    compared = compare([first, other], ["across", "size", 2], samples=1, frames=3)
    assert [(m.index, m.by_name) for _, m in compared.matches] == [(1, True), (0, False), (2, False)]


def test_matching_is_the_best_pairing():
    rng = torch.Generator().manual_seed(3)
    lead, other = (torch.rand(n, 2, 3, 1, 4, 4, generator=rng) for n in (3, 5))
    effects = [(x[:, :, 2] - x[:, :, 0]).flatten(1).numpy() for x in (lead, other)]
    cosine = np.zeros((3, 5))
    for d in range(3):
        for e in range(5):
            a, b = effects[0][d], effects[1][e]
            cosine[d, e] = (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())
    matches = match_directions(lead, other, ["direction 0"] * 3, ["direction 0"] * 5)
    assert [m.index for m in matches] == linear_sum_assignment(-np.abs(cosine))[1].tolist()
    for d, match in enumerate(matches):
        assert match.alike == pytest.approx(abs(cosine[d, match.index]), abs=1e-6)
        assert match.sign == np.sign(cosine[d, match.index])


def test_edit_spaces_may_differ_but_images_may_not():
    torch.manual_seed(0)
    in_w = StyleGAN2(16, latent_dim=12, channels=[8, 6, 4], mapping_layers=2).freeze()
    in_z = StyleGAN2(**{**in_w.arguments(), "space": "z"}).freeze()
    in_z.load_state_dict(in_w.state_dict())
    pair = [Contender(g.space, g, GlobalDirections.of(torch.randn(3, 12), g.latent_scale(256))) for g in (in_w, in_z)]
    compared = compare(pair, samples=2, frames=3, most=2)
    torch.testing.assert_close(compared.frames[:, 0, :, 1], compared.frames[:, 1, :, 1], atol=1e-4, rtol=0)


def test_refusals(scene):
    one = contender(scene, "one", [0, 1])
    with pytest.raises(ValueError, match="a comparison needs at least two runs, got 1"):
        compare([one])
    elsewhere = contender(Analytic("sprite", size=16, mix_seed=3), "elsewhere", [0, 1])
    with pytest.raises(ValueError, match="one and elsewhere were found on different generators"):
        compare([one, elsewhere])
    with pytest.raises(ValueError, match="unknown direction 'smile'"):
        compare([one, dataclasses.replace(one, label="two")], ["smile"])
    with pytest.raises(ValueError, match="2 directions are compared, but one of the runs has only 1"):
        compare([one, contender(scene, "few", [0])], [0, 1], samples=1)


def test_pictures(scene, tmp_path):
    first = contender(scene, "first", [0, 1], names=["across", "up"])
    compared = compare([first, contender(scene, "second", [1, 0])], [1, 0], samples=2, frames=3)
    block = comparison_block(compared, 0, 1)
    for rank, m in np.ndindex(2, 3):
        assert cells_found(block, to_bytes(compared.frames[0, rank, 1, m]), 6) >= 1
    paths = write_comparison(compared, tmp_path / "out")
    assert [p.name for p in paths] == ["comparison.png", "compare_01.png", "compare_00.png"]
    assert all(p.stat().st_size > 0 for p in paths)


def test_runs_are_called_by_their_method_or_their_folder(tmp_path):
    generator = Analytic("sprite", size=16)
    for name in ("a", "b"):
        Random(num_directions=2).fit(generator, Run(tmp_path / name, device="cpu", progress=False))
    runs = [load_run(tmp_path / name) for name in ("a", "b")]
    assert [c.label for c in contenders_of(runs)] == ["a", "b"]
    assert contenders_of(runs[:1])[0].label == "random"
