"""The metric contract: what a metric says of itself, what it returns, and the checks all of them share.

A metric is a function named as its file. Static metrics take ``(codes, factors)`` and, where the protocol has one, a
held-out pair; interventional metrics take ``(encode, dataset)``; direction metrics take ``(generator, directions)``.
Each metric file defines ``INFO``, a :class:`MetricInfo`.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

    from contrafact.core.active import Active
    from contrafact.core.inputs import Inputs

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
if TYPE_CHECKING:
    ArrayLike: TypeAlias = npt.ArrayLike | Tensor
else:  # matrices need no torch; a tensor is taken for what it looks like
    ArrayLike = npt.ArrayLike


Continuous: TypeAlias = bool | Sequence[bool] | BoolArray
"""Whether factors are measurements rather than values to be told apart: all of them, or one truth value for each."""

LARGEST = {np.float32: 1e36, np.float64: 1e150}
"""Codes beyond this size overflow when ranges and variances are taken."""


FEWEST_IDS = 100
"""From so many rows on, a factor that never repeats a value is taken for an id."""
MOST_VALUES = 1000
"""A factor with more values than this, and than half of the rows, is taken for one too."""
TOO_MANY_VALUES = 10_000
"""No metric tells more values apart in bearable time, however many rows show each."""


class MetricWarning(UserWarning):
    """A score was given its documented value for degenerate input, or needs a remark to be read rightly."""


@dataclass(frozen=True)
class MetricInfo:
    """What a metric measures, for listings, tables and the docs.

    Attributes:
        kind: what it takes: ``static`` codes and factors, ``models`` the codes of several models on the same images,
            ``interventional`` an encoder and a dataset, ``directions`` directions and what judges them, ``images``
            sets of images or their features, ``generators`` a generator.
        low: lowest possible score.
        high: highest possible score.
        higher_is_better: direction of the score.
        source: paper and equation.
        repeats: whether rows may repeat in a resample; where not, confidence limits come from random two thirds.
        extreme: whether the score hangs on the largest of all points, which two thirds mostly share with the whole:
            limits then come from the spread over random thirds.
        quantities: whether factors may be measurements without being called so: it bins or correlates them anyway.
        pairs: whether it compares one code and one factor at a time, and so takes masked arrays, each pair on the rows
            that have both.
        ranges: lowest and highest value of the scores that have another range than the headline's, by name.
        enough: points from which a score of clean one-to-one codes is within 0.05 of what it is at 100,000, by name, as
            measured; scores that are not named get there by 100 points. A result of fewer carries a note.
        covered: how often 95 % limits held the mean score of samples of their size, by score, the least measured from
            300 to 3,000 points; only where that was less than 0.87.

    >>> info = MetricInfo("static", 0.0, 1.0, True, "Somebody 2030, Eq. 1", ranges={"bits": (0.0, 8.0)})
    >>> info.range_of("score"), info.range_of("bits")
    ((0.0, 1.0), (0.0, 8.0))
    """

    kind: Literal["static", "models", "interventional", "directions", "images", "generators"]
    low: float
    high: float
    higher_is_better: bool
    source: str
    repeats: bool = True
    extreme: bool = False
    quantities: bool = False
    pairs: bool = False
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    enough: Mapping[str, int] = field(default_factory=dict)
    covered: Mapping[str, float] = field(default_factory=dict)

    def range_of(self, score: str) -> tuple[float, float]:
        """Lowest and highest possible value of one of the metric's scores."""
        return self.ranges.get(score, (self.low, self.high))


@dataclass(frozen=True, kw_only=True)
class MetricResult:
    """A score and all that is needed to quote it.

    Attributes:
        score: the headline number.
        protocol: name that carries the settings (``mig_n10000_bins20``).
        per_factor: score of each factor ``(K,)``, where defined.
        matrix: importance or information matrix ``(J, K)``, where the metric has one.
        num_train: points the metric was fitted on.
        num_test: held-out points, 0 where there are none.
        seed: seed of the metric's own randomness, None when it has none.
        seconds: wall time.
        notes: what a reader must know (degenerate input that was given a documented value).
        code_names: names of the codes, of a table that has names.
        factor_names: names of the factors.

    >>> result = MetricResult(score=0.5, protocol="mine_n100", num_train=100, per_factor=np.array([0.25, 0.75]))
    >>> result.scores(), result.to_dict()["per_factor"], result.details()
    ({'score': 0.5}, [0.25, 0.75], [])
    """

    score: float
    protocol: str
    num_train: int
    num_test: int = 0
    per_factor: FloatArray | None = None
    matrix: FloatArray | None = None
    seed: int | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())
    code_names: tuple[str, ...] = field(default=())
    factor_names: tuple[str, ...] = field(default=())

    def scores(self) -> dict[str, float]:
        """Every scalar the metric reports, by name; ``{"score": ...}`` unless a metric has several."""
        return {"score": self.score}

    def details(self) -> list[str]:
        """Lines a terminal shows below the scores: a small table, where the numbers make sense side by side only."""
        return []

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and strings, ready for JSON."""
        values = {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value or name not in ("code_names", "factor_names")}


_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result", bound=MetricResult)


def measured(metric: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Decorate a metric function: its result carries the wall time, and every note is also a :class:`MetricWarning`.

    Codes and factors may come as tables, masked arrays or single columns
    (:func:`~contrafact.core.inputs.read_inputs`): the result then has their names, and its notes say what became of
    words and of missing values.

    A metric that has a parameter ``active`` is handed the codes that the rule keeps, see
    :func:`~contrafact.core.active.active_codes`; its protocol's name then ends in the rule, and without one a note
    names the codes that hardly move.

    Raises:
        RuntimeError: the metric returned a score that is not a number (a mistake of its author).
    """
    signature = inspect.signature(metric)

    @functools.wraps(metric)
    def timed(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        start = time.perf_counter()
        call = signature.bind(*args, **kwargs)
        read = _read_tables(metric, call)
        try:
            if "active" in signature.parameters:
                result = _on_active_codes(metric, call)
            else:
                result = metric(*call.args, **call.kwargs)
        except ValueError as error:
            if read is None:
                raise
            raise ValueError(read.named(str(error))) from error
        for name, value in result.scores().items():
            if math.isnan(value):
                raise RuntimeError(f"{_called(metric)} returned NaN as its {name}; a metric must name the bad input")
        # Measured were informations as they are, and factors of a few values.
        given = call.arguments
        measured_so = given.get("bias", "none") == "none" and not np.any(given.get("continuous", False))
        few = _few_points(metric, result) if measured_so else ()
        result = dataclasses.replace(result, notes=(*result.notes, *few))
        result = result if read is None else _with_names(result, read, given.get("active"))
        for note in result.notes:
            warnings.warn(f"{_called(metric)}: {note}", MetricWarning, stacklevel=2)
        return dataclasses.replace(result, seconds=time.perf_counter() - start)

    return timed


def _read_tables(metric: Callable[..., MetricResult], call: inspect.BoundArguments) -> Inputs | None:
    """Tables, masks and single columns among a metric's rows, put into the call as matrices; None where none are."""
    info = getattr(sys.modules.get(metric.__module__), "INFO", None)
    if not isinstance(info, MetricInfo) or info.kind == "models" or "codes" not in call.arguments:
        return None
    from contrafact.core.inputs import needs_reading, read_inputs  # it reads arrays with what is defined here

    rows = [name for name in ("codes", "factors", "codes_test", "factors_test") if name in call.arguments]
    given = [call.arguments[name] for name in rows]
    if not any(map(needs_reading, given)):
        return None
    if info.pairs and all(isinstance(v, np.ndarray) and v.ndim == 2 and v.dtype.kind in "biuf" for v in given):
        return None  # masked arrays and matrices of numbers, as they are
    read = read_inputs(**dict(zip(rows, given, strict=True)))
    call.arguments.update({name: getattr(read, name) for name in rows})
    if "continuous" in call.signature.parameters and any(read.continuous or ()):
        call.arguments.setdefault("continuous", read.continuous)
    return read


def _with_names(result: _Result, read: Inputs, active: Active) -> _Result:
    """A result with the names that a table gave, and what was done to the table."""
    names = read.code_names or ()
    if names and active is not None:
        from contrafact.core.active import active_codes

        names = tuple(name for name, kept in zip(names, active_codes(read.codes, active), strict=True) if kept)
    notes = (*read.notes, *map(read.named, result.notes))
    return dataclasses.replace(result, notes=notes, code_names=names, factor_names=read.factor_names or ())


def _called(metric: Callable[..., MetricResult]) -> str:
    """A metric's name: its file's, for the form of it that takes rows of plain matrices."""
    return metric.__module__.rpartition(".")[2] if metric.__name__ == "from_codes" else metric.__name__


def _few_points(metric: Callable[..., MetricResult], result: MetricResult) -> tuple[str, ...]:
    """A note on scores that so few points move far from their limit, by what the metric says of itself."""
    info = getattr(sys.modules.get(metric.__module__), "INFO", None)
    if not isinstance(info, MetricInfo):
        return ()
    num_points, scores = result.num_train + result.num_test, result.scores()
    by_least: dict[int, list[str]] = {}
    for score, least in info.enough.items():
        if score in scores and num_points < least:
            by_least.setdefault(least, []).append(score.replace("_", " "))
    return tuple(
        f"{num_points:,} points are few for {', '.join(names)}: clean codes need {least:,} to come within 0.05 of "
        "their limit; compare scores of equal numbers of points only"
        for least, names in by_least.items()
    )


def _on_active_codes(metric: Callable[..., _Result], call: inspect.BoundArguments) -> _Result:
    from contrafact.core.active import active_codes, active_tag, nearly_dead  # it reads codes with what is defined here

    given, active = call.arguments["codes"], call.arguments.get("active")
    if active is None:
        result = metric(*call.args, **call.kwargs)
        narrow = nearly_dead(given)
        note = (
            f"codes {narrow} move less than a hundredth as far as the widest, as collapsed codes do; active=0.01 "
            "leaves them out"
        )
        # A metric within this one may have said so already.
        return dataclasses.replace(result, notes=tuple(dict.fromkeys((*result.notes, note)))) if narrow else result
    kept_J = active_codes(given, active)
    for name in ("codes", "codes_test", "deviations"):
        values = call.arguments.get(name)
        if values is not None:
            array = as_array(values)
            if array.ndim == 2 and array.shape[1] == len(kept_J):  # the metric refuses any other
                call.arguments[name] = array[:, kept_J]
    result = metric(*call.args, **call.kwargs)
    return dataclasses.replace(result, protocol=result.protocol + active_tag(active, kept_J))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no NaN or infinity
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def refuse_sparse(values: Any, what: str = "this") -> None:
    """Refuse a sparse matrix of scipy, torch or sparse.

    Raises:
        ValueError: it is one; the message says what it would be as an array.
    """
    layout = str(getattr(values, "layout", "torch.strided"))
    if not (hasattr(values, "nnz") or (layout.startswith("torch.") and layout != "torch.strided")):
        return
    dense = "to_dense()" if layout.startswith("torch.sparse") else "toarray()" if hasattr(values, "toarray") else ""
    shape = tuple(int(size) for size in values.shape)
    raise ValueError(
        f"{what} is a sparse matrix of shape {shape}; metrics look at every value, the zeros too: pass "
        f"{what}.{dense or 'todense()'} ({math.prod(shape) * 8 / 2**30:.3g} GiB), or fewer columns of it"
    )


def as_array(values: ArrayLike) -> npt.NDArray[Any]:
    """Any array or tensor (of any device) as a numpy array.

    Raises:
        ValueError: nested lists that are no array, a sparse matrix, or a masked array with masked entries: what lies
            under a mask is no measurement, and numpy would hand it out all the same.
    """
    refuse_sparse(values)
    if isinstance(values, np.ma.MaskedArray) and (mask := np.ma.getmaskarray(values)).any():
        where = ", ".join(str(int(i)) for i in np.argwhere(mask)[0])
        raise ValueError(
            f"expected a value in every place, got a masked array with {int(mask.sum())} masked entries, the first at "
            f"[{where}]; drop those rows (values[~values.mask.any(axis=1)]) or fill them in (values.filled(...))"
        )
    if hasattr(values, "detach"):  # a tensor, told by its looks: codes from a file need no torch
        tensor = values.detach().cpu()
        return np.asarray((tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy())
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"expected a matrix, got rows of different lengths or nested in different ways ({error})"
        ) from error


def check_codes(codes: ArrayLike, name: str = "codes") -> FloatArray:
    """Codes as float64 ``(N, J)``; no copy is made of codes that are float64 already.

    Raises:
        ValueError: see :func:`check_codes_as_given`.
    """
    return check_codes_as_given(codes, name).astype(np.float64, copy=False)


def check_codes_as_given(codes: ArrayLike, name: str = "codes") -> npt.NDArray[np.floating[Any]]:
    """Codes as floats ``(N, J)`` of the precision they came in (whole numbers and half precision as float64).

    Bin edges computed in float32 differ from those in float64, so a metric that bins keeps the precision.

    Raises:
        ValueError: not a matrix, empty, not numbers, not finite (the first bad row and column are named), or too large
            to be squared.
    """
    values = as_array(codes)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"{name} must have shape (N, J) with N, J >= 1, one row per image; got {values.shape}")
    if not (np.issubdtype(values.dtype, np.floating) or np.issubdtype(values.dtype, np.integer)):
        raise ValueError(f"{name} must be numbers, got dtype {values.dtype}")
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    largest = max(-values.min(), values.max())  # NaN is passed on
    if not np.isfinite(largest):
        finite = np.isfinite(values)
        row, column = map(int, np.argwhere(~finite)[0])
        raise ValueError(
            f"{name} must be finite: row {row}, column {column} is {values[row, column]} "
            f"({int((~finite).sum())} such values); drop those rows or find out why the encoder made them"
        )
    if largest > LARGEST[values.dtype.type]:
        row, column = map(int, np.unravel_index(np.abs(values).argmax(), values.shape))
        raise ValueError(
            f"{name} must be small enough to be squared: row {row}, column {column} is {values[row, column]}; "
            "rescale that column"
        )
    return values


def check_factors(factors: ArrayLike, num_points: int, name: str = "factors") -> IntArray:
    """Factors as int64 ``(N, K)``; whole-numbered floats are accepted.

    Raises:
        ValueError: not a matrix, another number of rows than the codes, not whole numbers, or a column that has a value
            of its own for nearly every row: it names rows, and to tell its values apart is no one's task.
    """
    values = as_array(factors)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"{name} must have shape (N, K) with K >= 1, one row per image; got {values.shape}")
    if values.shape[0] != num_points:
        raise ValueError(f"{name} has {values.shape[0]} rows but the codes have {num_points}; match them row by row")
    if values.dtype == np.bool_:
        values = values.astype(np.int64)
    if not np.issubdtype(values.dtype, np.integer):
        if not np.issubdtype(values.dtype, np.floating):
            raise ValueError(f"{name} must be whole numbers, got dtype {values.dtype}")
        bad = ~((np.abs(values) < 2.0**53) & (values == np.round(values)))  # NaN is bad too
        if bad.any():
            row, column = map(int, np.argwhere(bad)[0])
            raise ValueError(
                f"{name} must be whole numbers (indices of factor values): row {row}, column {column} is "
                f"{values[row, column]}; bin continuous factors first, or use a metric that takes continuous ones"
            )
    whole = values.astype(np.int64)
    _refuse_ids(whole, name)
    return whole


def _refuse_ids(factors_NK: IntArray, name: str) -> None:
    num_points = len(factors_NK)
    for k, column_N in enumerate(factors_NK.T):
        span = int(column_N.max()) - int(column_N.min()) + 1
        if num_points < FEWEST_IDS or span < min(num_points / 2, TOO_MANY_VALUES):  # then values repeat
            continue
        distinct = len(np.unique(column_N))
        if distinct > TOO_MANY_VALUES or distinct == num_points or distinct > max(MOST_VALUES, num_points / 2):
            raise ValueError(
                f"{name}: column {k} takes {distinct} values in {num_points} rows, so it names rows, or is continuous; "
                "drop the column, bin it, or use a metric that takes continuous factors (continuous=True)"
            )


def check_continuous_factors(factors: ArrayLike, num_points: int, name: str = "factors") -> FloatArray:
    """Factors as float64 ``(N, K)`` that may take any finite value.

    Raises:
        ValueError: not a matrix, another number of rows than the codes, not numbers, or not finite.
    """
    values = check_codes(factors, name)
    if values.shape[0] != num_points:
        raise ValueError(f"{name} has {values.shape[0]} rows but the codes have {num_points}; match them row by row")
    return values


def which_continuous(continuous: Continuous, num_factors: int) -> BoolArray:
    """Which factors ``(K,)`` are measurements.

    Raises:
        ValueError: neither one truth value nor one for each factor.

    >>> which_continuous([True, False], 2).tolist()
    [True, False]
    """
    given = np.asarray(continuous)
    if given.dtype != np.bool_ or given.shape not in ((), (num_factors,)):
        raise ValueError(
            f"continuous must be True, False or {num_factors} of these, one for each factor, got {continuous!r}"
        )
    return np.broadcast_to(given, num_factors)


def check_mixed_factors(
    factors: ArrayLike, num_points: int, continuous: Continuous, name: str = "factors"
) -> npt.NDArray[Any]:
    """Factors ``(N, K)`` of which some are continuous: whole numbers, or float64 where any is.

    Raises:
        ValueError: what :func:`check_factors` refuses of the discrete ones or :func:`check_continuous_factors` of the
            others, or another number of truth values than of factors.
    """
    if isinstance(continuous, bool | np.bool_):
        return (check_continuous_factors if continuous else check_factors)(factors, num_points, name)
    values = as_array(factors)
    continuous_K = which_continuous(continuous, values.shape[1] if values.ndim == 2 else 0)
    if continuous_K.all() or not continuous_K.any():
        return check_mixed_factors(values, num_points, bool(continuous_K.all()), name)
    measured_NK = check_continuous_factors(values, num_points, name)
    check_factors(np.where(continuous_K, 0, measured_NK), num_points, name)
    return measured_NK


def continuous_tag(continuous: Continuous, num_factors: int) -> str:
    """What a protocol's name says of continuous factors: nothing, all of them, or how many of how many.

    >>> continuous_tag(True, 3), continuous_tag([False, True, False], 3)
    ('_continuous', '_continuous1of3')
    """
    count = int(which_continuous(continuous, num_factors).sum())
    return "" if not count else "_continuous" if count == num_factors else f"_continuous{count}of{num_factors}"
