import itertools
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.report.charts import (
    MAX_POINTS,
    _curve,
    diagonal_order,
    heat_map,
    inline_svg,
    loss_curves,
    save_chart,
    scalars,
    variation,
)


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def factor_codes(rooms, mix):
    """An encoder that reads the three stripes of a room and mixes them linearly."""
    mixing = torch.tensor(mix, dtype=torch.float32)
    return lambda images: images[:, 0, 0, [0, 5, 10]] @ mixing


def test_variation_of_a_perfect_encoder_is_the_identity(rooms):
    matrix = variation(factor_codes(rooms, np.diag([3.0, -0.2, 1.0])), rooms, np.random.default_rng(0), pairs=20)
    np.testing.assert_allclose(matrix, np.eye(3), atol=1e-6)


def test_variation_of_a_linear_mix_is_the_mix_row_by_row(rooms):
    mix = np.array([[3.0, -4.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    matrix = variation(factor_codes(rooms, mix), rooms, np.random.default_rng(0), pairs=20)
    np.testing.assert_allclose(matrix, [[0.6, 0.8, 0, 0], [0, 0, 0, 0], [0.5] * 4], atol=1e-5)


def test_variation_pairs_differ_in_one_factor_and_reach_every_value(rooms):
    seen = []
    real = rooms.images

    def spy(factors):
        seen.append(np.asarray(factors))
        return real(factors)

    rooms.images = spy
    try:
        variation(lambda images: images.flatten(1), rooms, np.random.default_rng(0), pairs=300, batch_size=64)
    finally:
        del rooms.images
    factors = np.concatenate(seen).reshape(4, 300, 3)
    assert max(map(len, seen)) <= 64
    for k in range(3):
        differs = factors[k + 1] != factors[0]
        np.testing.assert_array_equal(differs, np.arange(3) == np.full((300, 1), k))
        pairs = set(zip(factors[0, :, k].tolist(), factors[k + 1, :, k].tolist(), strict=True))
        size = rooms.factor_sizes[k]
        assert pairs == set(itertools.permutations(range(size), 2))


def test_variation_of_a_nonlinear_encoder_against_a_loop(rooms):
    def encode(images):
        return torch.stack((images[:, 0, 0, 0] ** 2 + images[:, 0, 0, 5], (3 * images[:, 0, 0, 10]).sin()), dim=1)

    rng = np.random.default_rng(4)
    matrix = variation(encode, rooms, np.random.default_rng(4), pairs=15)
    base = rooms.sample(15, rng)
    offsets = rng.integers(1, np.asarray(rooms.factor_sizes), size=base.shape)
    expected = np.zeros((3, 2))
    for k, p in np.ndindex(3, 15):
        twin = base[p].copy()
        twin[k] = (twin[k] + offsets[p, k]) % rooms.factor_sizes[k]
        move = (encode(rooms.images(twin[None])) - encode(rooms.images(base[p][None]))).abs().numpy()[0]
        expected[k] += move / np.linalg.norm(move) / 15
    np.testing.assert_allclose(matrix, expected, atol=1e-5)


def test_variation_needs_pairs(rooms):
    with pytest.raises(ValueError, match="pairs must be a whole number of at least 1"):
        variation(lambda images: images.flatten(1), rooms, np.random.default_rng(0), pairs=0)


@pytest.mark.parametrize("shape", [(3, 3), (3, 5), (4, 2), (1, 4)])
def test_diagonal_order_is_the_best_assignment(shape):
    matrix = np.random.default_rng(sum(shape)).random(shape)
    order = diagonal_order(matrix)
    rows, columns = shape
    assert sorted(order) == list(range(columns))
    if rows <= columns:
        best = max(sum(matrix[k, j] for k, j in enumerate(p)) for p in itertools.permutations(range(columns), rows))
        assert matrix[np.arange(rows), order[:rows]].sum() == pytest.approx(best)
        assert (np.diff(matrix.sum(axis=0)[order[rows:]]) <= 0).all()


def test_heat_map_prints_values_in_order():
    matrix = np.array([[0.1, 0.2, 0.9], [0.0, 0.8, 0.1]])
    figure = heat_map(matrix, ["floor", "wall"], title="a title")
    axes = figure.axes[0]
    assert texts(figure) == ["0.90", "0.20", "0.10", "0.10", "0.80", "0.00"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "1", "0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["floor", "wall"]
    strengths = axes.collections[0].get_facecolor()[:, 3].reshape(2, 3)
    assert np.argmax(strengths) == 0
    assert strengths[1, 2] == pytest.approx(0.03)


def test_wide_heat_maps_leave_the_numbers_and_the_weakest_columns_out():
    matrix = np.random.default_rng(0).random((3, 40))
    figure = heat_map(matrix, ["a", "b", "c"], most=30)
    assert texts(figure) == []
    assert len(figure.axes[0].get_xticklabels()) == 30
    assert "10 weaker ones left out; full colour" in figure.axes[0].get_xlabel()[5:].replace("(", "").replace(")", "")


def test_heat_map_of_zeros_draws():
    assert texts(heat_map(np.zeros((2, 2)), ["a", "b"])) == ["0.00"] * 4


def test_heat_map_refuses_names_that_do_not_fit():
    with pytest.raises(ValueError, match=r"needs a matrix \(K, J\) and K row names; got \(2, 2\), 1 names"):
        heat_map(np.zeros((2, 2)), ["a"])


def test_scalars_are_in_order_without_the_step():
    assert scalars([{"step": 1, "b": 1.0}, {"step": 2, "a": 1.0, "b": 2.0}]) == ["b", "a"]


def test_smoothing_keeps_a_constant_and_follows_a_line():
    log = [{"step": s, "flat": 2.0, "line": 3.0 * s} for s in range(200)]
    _, _, flat = _curve(log, "flat")
    np.testing.assert_allclose(flat, 2.0)
    steps, raw, line = _curve(log, "line")
    np.testing.assert_allclose(raw, 3.0 * steps)
    np.testing.assert_allclose(line[10:-10], raw[10:-10])


def test_long_logs_are_thinned_by_means():
    log = [{"step": s, "loss": float(s % 2)} for s in range(10 * MAX_POINTS)]
    steps, raw, _ = _curve(log, "loss")
    assert len(steps) == MAX_POINTS
    np.testing.assert_allclose(raw, 0.5)


def test_loss_curves_have_a_panel_each():
    log = [{"step": s, "loss": 1e4 / (s + 1) ** 2, "share_flipped": 0.1} for s in range(50)]
    figure = loss_curves(log)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["loss", "share flipped"]
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear"]
    assert len(loss_curves(log, ["loss"]).axes) == 1


def test_single_line_logs_draw():
    assert len(loss_curves([{"step": 20, "loss": 1.0}]).axes) == 1


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="the training log holds no values"):
        loss_curves([{"step": 1}])


def test_charts_are_saved_on_white(tmp_path):
    path = save_chart(heat_map(np.eye(2), ["a", "b"]), tmp_path / "chart.png")
    assert Image.open(path).convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_inline_svg_takes_the_page_colours_and_keeps_references_apart():
    def draw(ink):
        return heat_map(np.eye(3), ["a", "b", "c"], ink=ink)

    first, second = inline_svg(draw, "one", 'says "this" & that'), inline_svg(draw, "two", "")
    ElementTree.fromstring(first)  # well formed
    assert 'aria-label="says &quot;this&quot; &amp; that"' in first
    assert "currentColor" in first
    assert "#010203" not in first
    names = [set(re.findall(r'id="([^"]+)"', text)) for text in (first, second)]
    assert not names[0] & names[1]
    for text, own in zip((first, second), names, strict=True):
        assert set(re.findall(r"url\(#([^)]+)\)", text)) <= own
    assert inline_svg(draw, "one", 'says "this" & that') == first  # nothing random, no date


def test_log_as_read_from_a_run_draws(finished):
    assert scalars(finished.log) == ["loss", "share"]
    assert len(loss_curves(finished.log).axes) == 2
