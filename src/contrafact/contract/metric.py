"""What every metric promises, whatever it measures."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from contrafact.contract.promise import expect, expect_refusal
from contrafact.contract.samples import Counter, Flags, draw_factors, noisy_codes
from contrafact.core.directions import GlobalDirections
from contrafact.core.metric import MetricInfo, MetricResult
from contrafact.generators.analytic import Analytic
from contrafact.generators.biggan import BigGAN
from contrafact.metrics import CATALOG

FACTORS = draw_factors(240, seed=3)
CODES = noisy_codes(FACTORS, extra=1)
_LONGEST_SUMMARY = 130


@dataclass(frozen=True)
class Subject:
    """A metric to check, and in which of the ways that metrics may differ it does.

    Attributes:
        name: its name.
        metric: the function.
        info: what it says of itself.
        summary: the first line of its file's docstring.
        small: arguments that make it small, where it has images to work on.
        judge: what looks at images, where the metric asks for something else than their pixels' features.
        loose: how far scores may move with the order of codes, and with their sign.
        ordered: whether a code's place has a meaning, as in a code made of parts.
        continuous: whether it takes factors of any value.
        guesses: whether codes that say nothing score what a guess scores, instead of nothing.
        accuracies: whether its matrix holds accuracies, which are not 0 for codes that say nothing.
        omits: whether values on one side of a split are left out, instead of counted as errors.
        measures: whether factors are quantities to it, of which any value may be new on one side of a split.
    """

    name: str
    metric: Callable[..., MetricResult]
    info: MetricInfo
    summary: str
    small: Mapping[str, Any] = field(default_factory=dict)
    judge: Callable[[Any], Any] | None = None
    loose: tuple[float, float] = (1e-3, 0.01)
    ordered: bool = False
    continuous: bool = False
    guesses: bool = False
    accuracies: bool = False
    omits: bool = False
    measures: bool = False

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The function's parameters."""
        return inspect.signature(self.metric).parameters

    def takes(self, *names: str) -> bool:
        """Whether it is a metric of codes that takes these arguments."""
        return self.info.kind == "static" and set(names) <= set(self.parameters)

    def __call__(self, codes: Any = CODES, factors: Any = FACTORS, **settings: Any) -> Any:
        """The metric on a small static pair."""
        arguments = {"codes": codes} | ({"factors": factors} if "factors" in self.parameters else {})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.metric(**arguments, **settings)

    def on_its_kind(self, seed: int = 0) -> Any:
        """The metric on tiny input of its kind."""
        accepted = {"seed": seed, "num_train": 60, "num_test": 40, "num_latents": 4}
        given = {name: value for name, value in accepted.items() if name in self.parameters} | dict(self.small)
        if self.info.kind == "static":
            return self(**{name: value for name, value in given.items() if name == "seed"})
        if self.info.kind == "models":
            return self.metric([CODES, CODES + noisy_codes(FACTORS, extra=1, seed=5)], **given)
        if self.info.kind == "interventional":
            return self.metric(Counter(), Flags(), **given)
        needed = [p.name for p in self.parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        if self.info.kind == "images":
            images = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(0))
            judges = [name for name in ("extractor", "classifier") if name in self.parameters]
            judge = self.judge or (lambda shown: shown.flatten(1))
            sets = [images + 0.1 * i for i, name in enumerate(needed) if name not in judges]
            return self.metric(*sets, **dict.fromkeys(judges, judge), **given)
        generator = Analytic("sprite", size=8)
        if self.info.kind == "generators":
            role = "extractor" if "extractor" in self.parameters else "predictor"
            return self.metric(generator, **{role: self.judge}, **given)
        if "classes" in self.parameters:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                conditional = BigGAN.tiny()
            conditional.fix_label(0)
            return self.metric(conditional.freeze(), GlobalDirections.of(torch.eye(4)), **given)
        directions = GlobalDirections.random(generator.latent_dim, 2, torch.Generator().manual_seed(0))
        if self.name == "recovery":
            return self.metric(directions.vectors().detach(), generator.true_directions()[:2], **given)
        judge = self.judge or (lambda shown: shown.mean((2, 3)))
        return self.metric(*(generator, directions, judge)[: max(2, len(needed))], **given)


_GUESSING = {"guesses": True}
_LOOSE = {"loose": (0.03, 0.03)}
PECULIAR: Mapping[str, Mapping[str, Any]] = {
    "dci": _LOOSE,
    "dci_es": {"loose": (0.03, 0.05)},  # random features see another draw
    "zerodim": _LOOSE,
    "edi": _LOOSE,  # the noise that breaks ties, and the networks' weights, go by the codes' order
    "downstream": {"loose": (0.06, 0.06), **_GUESSING},
    "clustering": {"loose": (0.1, 0.1), **_GUESSING},
    "linear_probe": {"loose": (0.02, 0.02), **_GUESSING},
    "knn_probe": _GUESSING,
    "explicitness": {"omits": True, **_GUESSING},
    "snc_nk": {"loose": (0.1, 0.1), **_GUESSING},
    "sub_embedding_gaps": {"ordered": True, "accuracies": True},
    "sap": {"accuracies": True},
    "irs": {"continuous": True},
    "mcc": {"continuous": True, "measures": True},
    "r2": {"continuous": True, "measures": True, "guesses": True},
    "kid": {"small": {"subset_size": 10}},
    "lpips": {"judge": lambda images: [images]},
    "ppl": {"judge": lambda images: [images]},
    "linear_separability": {"judge": lambda images: images.mean((2, 3)), "small": {"num_latents": 60}},
    "mds": {"judge": lambda images: (images.mean((2, 3)) > 0.5).long()},
}
"""In what our own metrics differ from most."""
OF_SOMEBODY = {"loose": (0.1, 0.1), "guesses": True, "accuracies": True, "continuous": True}
"""What is let pass in somebody's own, of which nothing is known."""


def subject_of(name: str) -> Subject:
    """The metric that the catalogue, an installed package or ``FILE.py:NAME`` calls so.

    Raises:
        ValueError: no such metric, or a file of it that defines no ``INFO``.
    """
    CATALOG.admit(name)
    metric, info = CATALOG.get(name), getattr(CATALOG.module(name), "INFO", None)
    if not isinstance(info, MetricInfo):
        raise ValueError(f"{name} says nothing of itself: define INFO = MetricInfo(...) in its file")
    known = CATALOG.resolve(name)
    peculiar = PECULIAR.get(known, {}) if known in CATALOG.own_names() else OF_SOMEBODY
    return Subject(metric.__name__, metric, info, CATALOG.summary(name), **peculiar)


def says_what_it_is(subject: Subject) -> None:
    """It says what it is, its range and its source."""
    info = subject.info
    expect(isinstance(info, MetricInfo), "define INFO = MetricInfo(...) in the metric's file")
    expect(info.low < info.high, "INFO: low must be less than high")
    expect(len(info.source) > 5, "INFO: name the source, the paper and the equation")
    length = len(subject.summary)
    expect(
        0 < length <= _LONGEST_SUMMARY,
        f"begin the file with a docstring whose first line has 1 to {_LONGEST_SUMMARY} letters",
    )
    docstring = inspect.getdoc(subject.metric) or ""
    for part in ("Args:", "Raises:"):
        expect(part in docstring, f"write {part!r} in the function's docstring")


def gives_a_complete_result(subject: Subject) -> None:
    """Its result is complete, within its range, and becomes JSON."""
    info, result = subject.info, subject.on_its_kind()
    expect(isinstance(result, MetricResult), f"return a MetricResult, not a {type(result).__name__}")
    expect(
        info.low - 1e-9 <= result.score <= info.high + 1e-9,
        f"the score {result.score} lies outside of {info.low} to {info.high}, the range INFO states",
    )
    start = subject.name.removesuffix("_score")
    expect(
        result.protocol.startswith(start), f"protocol is {result.protocol!r}; begin it with the metric's name, {start}"
    )
    expect(result.num_train >= 1, "say in num_train how many points it was fitted on")
    expect(result.seconds > 0, "decorate the function with @measured, which notes the time")
    scores = result.scores()
    expect(
        scores and all(isinstance(value, float) for value in scores.values()), f"scores() gives {scores}, not floats"
    )
    try:
        read_back = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    except (TypeError, ValueError) as error:
        expect(False, f"the result does not become JSON: {error}")
    expect(np.isclose(read_back["score"], result.score), "the score that JSON gives back is another")
    for name in ("per_factor", "matrix"):
        values = getattr(result, name)
        expect(values is None or np.isfinite(values).all(), f"{name} has values that are not finite")


def repeats(subject: Subject) -> None:
    """The same seed gives the same scores."""
    first, second = subject.on_its_kind(seed=4), subject.on_its_kind(seed=4)
    advice = "the same seed gives other scores: take a seed argument, and draw from np.random.default_rng(seed)"
    expect(first.scores() == second.scores(), advice)
    expect(first.matrix is None or np.array_equal(first.matrix, second.matrix), advice)


def _expect_near(subject: Subject, codes: Any, loose: float, advice: str) -> None:
    before = subject().scores()
    for name, value in subject(codes).scores().items():
        expect(abs(value - before[name]) <= loose, f"{advice}: {name} is {value:.4f}, was {before[name]:.4f}")


def does_not_care_for_order(subject: Subject) -> None:
    """The order of codes does not matter."""
    if subject.takes() and not subject.ordered:
        _expect_near(subject, CODES[:, [2, 3, 0, 1]], subject.loose[0], "codes in another order score differently")


def does_not_care_for_sign(subject: Subject) -> None:
    """The sign of codes does not matter."""
    # Bins are closed on the left: mirrored edges move points that lie on them.
    if subject.takes() and not subject.ordered:
        flipped = CODES * [-1.0, 1.0, -1.0, -1.0]
        _expect_near(subject, flipped, subject.loose[1], "codes of another sign score differently")


_CHECK = "call check_codes, or read_pair of contrafact.core.matrices, before anything else"


def names_what_is_not_finite(subject: Subject) -> None:
    """It names the first code that is not finite."""
    if not subject.takes():
        return
    for bad, shown in ((np.nan, "nan"), (np.inf, "inf")):
        codes = CODES.copy()
        codes[17, 2] = bad
        pattern = f"codes must be finite: row 17, column 2 is {shown}"
        expect_refusal(partial(subject, codes), pattern, _CHECK)


def refuses_what_is_no_matrix(subject: Subject) -> None:
    """It refuses codes that are no matrix of numbers."""
    if subject.takes():
        expect_refusal(lambda: subject(CODES[:, :, None, None]), r"codes must have shape \(N, J\)", _CHECK)
        expect_refusal(lambda: subject(CODES.astype(str)), "codes must be numbers", _CHECK)


def refuses_factors_that_do_not_match(subject: Subject) -> None:
    """It refuses factors of another number of rows, and factors that are no whole numbers."""
    if not subject.takes("factors"):
        return
    advice = "call check_factors(factors, len(codes)), or read_pair of contrafact.core.matrices"
    expect_refusal(lambda: subject(CODES, FACTORS[:-1]), "factors has 239 rows but the codes have 240", advice)
    if not subject.continuous:
        pattern = r"factors must be whole numbers.*row 0, column 0 is"
        expect_refusal(lambda: subject(CODES, FACTORS + 0.25), pattern, advice)


def notes_values_on_one_side(subject: Subject) -> None:
    """Factor values on one side of a split alone are noted."""
    if subject.measures or not subject.takes("codes_test", "factors"):
        return
    rare = FACTORS.copy()
    rare[:80, 0], rare[80:, 0] = FACTORS[:80, 0] % 3, np.maximum(FACTORS[80:, 0], 1)  # 3 in training, 0 in test only
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = subject.metric(CODES[80:], rare[80:], CODES[:80], rare[:80])
        whole = subject.metric(CODES[80:], FACTORS[80:], CODES[:80], FACTORS[:80])
    notes, advice = " ".join(result.notes), "put the notes of read_pair into the result's"
    expect(subject.info.low <= result.score <= subject.info.high, f"the score {result.score} is out of range")
    expect("factor 0: " in notes, advice)
    if not subject.omits:
        expect("value 0 is never seen in training; test points with it count as errors" in notes, advice)
        expect("value 3 is not among the test points" in notes, advice)
    expect("factor 0" not in " ".join(whole.notes), "it notes a factor whose values are on both sides")


def refuses_or_notes_a_constant_factor(subject: Subject) -> None:
    """A constant factor is refused by name, or noted."""
    if not subject.takes("factors"):
        return
    advice = "refuse a constant factor, as check_varying of contrafact.core.matrices does, or note it"
    try:
        result = subject(CODES, FACTORS * [1, 0, 1])
    except ValueError as error:
        expect("factor 1 is constant" in str(error), f"{advice}; its message was {str(error)!r}")
    else:
        expect(np.isfinite(result.score) and any("constant" in note for note in result.notes), advice)


def scores_one_code_and_one_factor(subject: Subject) -> None:
    """One code, one factor, and one of each give numbers."""
    if not subject.takes("factors"):
        return
    for codes, factors in ((CODES[:, :1], FACTORS), (CODES, FACTORS[:, :1]), (CODES[:, :1], FACTORS[:, :1])):
        try:
            result = subject(codes, factors)
        except ValueError as error:
            cut = subject.ordered and "does not cut 1 codes" in str(error)
            expect(cut, f"{codes.shape[1]} codes and {factors.shape[1]} factors are refused: {error}")
        else:
            within = subject.info.low - 1e-9 <= result.score <= subject.info.high + 1e-9
            expect(within, f"{codes.shape[1]} codes and {factors.shape[1]} factors score {result.score}, out of range")


def gives_dead_codes_nothing(subject: Subject) -> None:
    """Codes that never change score nothing, or what a guess scores."""
    if not subject.takes("factors"):
        return
    result = subject(np.full((240, 4), 0.7))
    advice = f"codes that never change score {result.score}; they say nothing"
    # Predictors still guess the commonest value; E measures how flat a curve is, and this one is flat.
    if subject.guesses:
        chance = max(float(np.mean(FACTORS.max(axis=0) == FACTORS)), 0.55)
        worse = result.score <= chance if subject.info.higher_is_better else True
        expect(worse, f"{advice}, and a guess scores {chance:.2f}")
    elif subject.name == "dci_es":
        expect((result.disentanglement, result.completeness) == (0.0, 0.0), advice)
    else:
        expect(result.score == 0.0, advice)
    nothing = result.matrix is None or subject.accuracies or (result.matrix == 0).all()
    expect(nothing, "codes that never change have a matrix that is not 0")


def takes_tensors(subject: Subject) -> None:
    """It takes tensors and single precision."""
    if not subject.takes():
        return
    codes, factors = torch.from_numpy(CODES).float(), torch.from_numpy(FACTORS)
    near = abs(subject(codes, factors).score - subject().score) <= 0.03
    expect(near, "tensors in single precision score differently")


CHECKS = (
    says_what_it_is,
    gives_a_complete_result,
    repeats,
    does_not_care_for_order,
    does_not_care_for_sign,
    names_what_is_not_finite,
    refuses_what_is_no_matrix,
    refuses_factors_that_do_not_match,
    notes_values_on_one_side,
    refuses_or_notes_a_constant_factor,
    scores_one_code_and_one_factor,
    gives_dead_codes_nothing,
    takes_tensors,
)
"""What is checked."""
