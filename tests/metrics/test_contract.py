"""What every catalogued metric must do, whatever it measures. A new file under metrics/ is covered by being there."""

from __future__ import annotations

import inspect
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from contrafact.core.directions import GlobalDirections
from contrafact.core.metric import MetricInfo, MetricResult
from contrafact.generators.analytic import Analytic
from contrafact.metrics import CATALOG
from tests.metrics.samples import Counter, Flags, draw_factors, noisy_codes

DOCS = Path(__file__).parents[2] / "docs" / "metrics"
KINDS = {name: CATALOG.module(name).INFO.kind for name in CATALOG.names()}
STATIC = [name for name, kind in KINDS.items() if kind == "static"]
NEEDS_FACTORS = [name for name in STATIC if "factors" in inspect.signature(CATALOG.get(name)).parameters]
FACTORS = draw_factors(240, seed=3)
CODES = noisy_codes(FACTORS, extra=1)


def call(name: str, codes: np.ndarray = CODES, factors: np.ndarray = FACTORS, **settings) -> MetricResult:
    """A metric on a small static pair."""
    metric = CATALOG.get(name)
    parameters = inspect.signature(metric).parameters
    arguments = {"codes": codes} | ({"factors": factors} if "factors" in parameters else {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric(**arguments, **settings)


def call_any(name: str, seed: int = 0) -> MetricResult:
    """Any metric on tiny input of its kind."""
    metric = CATALOG.get(name)
    seeded = {"seed": seed} if "seed" in inspect.signature(metric).parameters else {}
    if KINDS[name] == "static":
        return call(name, **seeded)
    if KINDS[name] == "models":
        return metric([CODES, CODES + noisy_codes(FACTORS, extra=1, seed=5)], **seeded)
    if KINDS[name] == "interventional":
        return metric(Counter(), Flags(), num_train=60, num_test=40, **seeded)
    if KINDS[name] == "images":
        seeded |= {"subset_size": 10} if name == "kid" else {}
        images = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        needed = [p for p in inspect.signature(metric).parameters.values() if p.default is p.empty]
        extractor = {"lpips": lambda x: [x], "inception_score": lambda x: x.flatten(1)}.get(
            name, lambda x: x.flatten(1)
        )
        argument = "classifier" if name == "inception_score" else "extractor"
        return metric(*[images + 0.1 * i for i in range(len(needed))], **{argument: extractor}, **seeded)
    generator = Analytic("sprite", size=8)
    directions = GlobalDirections.random(generator.latent_dim, 2, torch.Generator().manual_seed(0))
    if name == "recovery":
        return metric(directions.vectors().detach(), generator.true_directions()[:2], **seeded)
    labels = {"mds": lambda x: (x.mean((2, 3)) > 0.5).long()}.get(name, lambda x: x.mean((2, 3)))
    return metric(generator, directions, labels, num_latents=4, **seeded)


@pytest.mark.parametrize("name", CATALOG.names())
def test_says_what_it_is(name):
    info = CATALOG.module(name).INFO
    assert isinstance(info, MetricInfo)
    assert info.low < info.high
    assert len(info.source) > 5
    assert 0 < len(CATALOG.summary(name)) <= 130
    docstring = inspect.getdoc(CATALOG.get(name)) or ""
    assert "Args:" in docstring
    assert "Raises:" in docstring


@pytest.mark.parametrize("name", CATALOG.names())
def test_has_a_page_in_the_docs(name):
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    for part in ("## Formula", "## Range", "## What fools it", "## Source"):
        assert part in page, f"{name}.md lacks {part!r}"
    assert (DOCS / "pictures" / f"{name}.svg").stat().st_size > 500
    assert f"pictures/{name}.svg" in page


@pytest.mark.parametrize("name", CATALOG.names())
def test_result_is_complete_and_becomes_json(name):
    info, result = CATALOG.module(name).INFO, call_any(name)
    assert isinstance(result, MetricResult)
    assert info.low - 1e-9 <= result.score <= info.high + 1e-9
    assert result.protocol.startswith(name.removesuffix("_score"))
    assert result.num_train >= 1
    assert result.seconds > 0
    assert result.scores()
    assert all(isinstance(value, float) for value in result.scores().values())
    read_back = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert read_back["score"] == pytest.approx(result.score)
    for values in (result.per_factor, result.matrix):
        assert values is None or np.isfinite(values).all()


@pytest.mark.parametrize("name", CATALOG.names())
def test_same_seed_same_result(name):
    first, second = call_any(name, seed=4), call_any(name, seed=4)
    assert first.scores() == second.scores()
    if first.matrix is not None:
        np.testing.assert_array_equal(first.matrix, second.matrix)


# A sub-embedding's parts are places in the code, and smoothness and k-NN do compare codes with each other.
@pytest.mark.parametrize("name", [n for n in STATIC if n != "sub_embedding_gaps"])
def test_order_of_codes_does_not_matter(name):
    order = np.array([2, 3, 0, 1])
    loose = {"dci": 0.03, "dci_es": 0.03, "zerodim": 0.03, "downstream": 0.06, "clustering": 0.1, "linear_probe": 0.02}
    for score, value in call(name, CODES[:, order]).scores().items():
        assert value == pytest.approx(call(name).scores()[score], abs=loose.get(name, 1e-3)), score


@pytest.mark.parametrize("name", [n for n in STATIC if n != "sub_embedding_gaps"])
def test_sign_of_codes_does_not_matter(name):
    flip = np.array([-1.0, 1.0, -1.0, -1.0])
    # Bins are closed on the left: mirrored edges move points that lie on them. Random features see another draw.
    loose = {"dci": 0.03, "dci_es": 0.05, "zerodim": 0.03, "downstream": 0.06, "clustering": 0.1, "linear_probe": 0.02}
    for score, value in call(name, CODES * flip).scores().items():
        assert value == pytest.approx(call(name).scores()[score], abs=loose.get(name, 0.01)), score


@pytest.mark.parametrize("name", STATIC)
@pytest.mark.parametrize(("bad", "shown"), [(np.nan, "nan"), (np.inf, "inf")])
def test_names_what_is_not_finite(name, bad, shown):
    codes = CODES.copy()
    codes[17, 2] = bad
    with pytest.raises(ValueError, match=f"codes must be finite: row 17, column 2 is {shown}"):
        call(name, codes)


@pytest.mark.parametrize("name", STATIC)
def test_refuses_what_is_no_matrix_of_numbers(name):
    with pytest.raises(ValueError, match=r"codes must have shape \(N, J\)"):
        call(name, CODES[:, 0])
    with pytest.raises(ValueError, match="codes must be numbers"):
        call(name, CODES.astype(str))


@pytest.mark.parametrize("name", NEEDS_FACTORS)
def test_refuses_factors_that_do_not_match(name):
    with pytest.raises(ValueError, match="factors has 239 rows but the codes have 240"):
        call(name, CODES, FACTORS[:-1])
    if name != "irs":  # takes continuous factors
        with pytest.raises(ValueError, match=r"factors must be whole numbers.*row 0, column 0 is"):
            call(name, CODES, FACTORS + 0.25)


SPLITTING = [name for name in STATIC if "codes_test" in inspect.signature(CATALOG.get(name)).parameters]


@pytest.mark.parametrize("name", SPLITTING)
def test_values_on_one_side_of_a_split_are_noted(name):
    rare = FACTORS.copy()
    rare[:80, 0], rare[80:, 0] = FACTORS[:80, 0] % 3, np.maximum(FACTORS[80:, 0], 1)  # 3 in training, 0 in test only
    metric = CATALOG.get(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = metric(CODES[80:], rare[80:], CODES[:80], rare[:80])
        whole = metric(CODES[80:], FACTORS[80:], CODES[:80], FACTORS[:80])
    info, notes = CATALOG.module(name).INFO, " ".join(result.notes)
    assert info.low <= result.score <= info.high
    assert "factor 0: " in notes
    if name != "explicitness":  # which leaves such values out, and says so
        assert "value 0 is never seen in training; test points with it count as errors" in notes
        assert "value 3 is not among the test points" in notes
    assert "factor 0" not in " ".join(whole.notes)


@pytest.mark.parametrize("name", NEEDS_FACTORS)
def test_constant_factor_is_refused_or_noted(name):
    factors = FACTORS * [1, 0, 1]
    try:
        result = call(name, CODES, factors)
    except ValueError as error:
        assert "factor 1 is constant" in str(error)  # noqa: PT017
    else:
        assert np.isfinite(result.score)
        assert any("constant" in note for note in result.notes)


@pytest.mark.parametrize("name", NEEDS_FACTORS)
@pytest.mark.parametrize("which", ["one code", "one factor", "one of each"])
def test_one_code_and_one_factor_give_numbers(name, which):
    codes = CODES[:, :1] if which != "one factor" else CODES
    factors = FACTORS[:, :1] if which != "one code" else FACTORS
    try:
        result = call(name, codes, factors)
    except ValueError as error:
        assert name == "sub_embedding_gaps" and "does not cut 1 codes" in str(error)  # noqa: PT017, PT018
    else:
        info = CATALOG.module(name).INFO
        assert info.low - 1e-9 <= result.score <= info.high + 1e-9


@pytest.mark.parametrize("name", NEEDS_FACTORS)
def test_dead_codes_score_nothing(name):
    result = call(name, np.full((240, 4), 0.7))
    chance = max(np.mean(FACTORS.max(axis=0) == FACTORS), 0.55)
    # Predictors still guess the commonest value; E measures how flat a curve is, and this one is flat.
    guessing = ("explicitness", "linear_probe", "knn_probe", "downstream", "clustering")
    if name in guessing:
        assert result.score <= chance
    elif name == "dci_es":
        assert (result.disentanglement, result.completeness) == (0.0, 0.0)
    else:
        assert result.score == 0.0
    if result.matrix is not None and name not in ("sap", "sub_embedding_gaps"):  # those hold accuracies of guessing
        assert (result.matrix == 0).all()


@pytest.mark.parametrize("name", STATIC)
def test_takes_tensors_and_single_precision(name):
    metric = CATALOG.get(name)
    arguments = {"codes": torch.from_numpy(CODES).float()}
    if name in NEEDS_FACTORS:
        arguments["factors"] = torch.from_numpy(FACTORS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = metric(**arguments)
    assert result.score == pytest.approx(call(name).score, abs=0.03)
