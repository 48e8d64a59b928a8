"""What each metric is given of codes and factors: checked, without constant factors, with or without gaps.

Shape suffixes: N points, J code dimensions, K factors.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contrafact.core.inputs import Inputs, fill_gaps
from contrafact.core.metric import (
    BoolArray,
    Continuous,
    MetricResult,
    as_array,
    check_codes_as_given,
    check_mixed_factors,
    which_continuous,
)
from contrafact.evaluation.result import CATALOG, info_of


def form_of_matrices(name: str) -> Callable[..., MetricResult] | None:
    """The form of an interventional metric that draws its votes from rows of plain matrices, where it has one."""
    found: Callable[..., MetricResult] | None = getattr(CATALOG.module(name), "from_codes", None)
    return found if info_of(name).kind == "interventional" else None


def static_form(name: str) -> Callable[..., MetricResult]:
    """A metric's form that takes matrices."""
    metric: Callable[..., MetricResult] = form_of_matrices(name) or CATALOG.get(name)
    return metric


def continuous_setting(name: str, continuous: Continuous) -> dict[str, Any]:
    """The setting ``continuous`` where any factor is and the metric has such a setting."""
    asked = np.any(continuous) and "continuous" in inspect.signature(static_form(name)).parameters
    return {"continuous": continuous} if asked else {}


def names_or_numbers(given: Sequence[str] | None, size: int, what: str) -> tuple[str, ...]:
    """Names as given, or numbers where there are none.

    Raises:
        ValueError: more or fewer names than columns.

    >>> names_or_numbers(None, 2, "code")
    ('code 0', 'code 1')
    """
    if given is None:
        return tuple(f"{what} {i}" for i in range(size))
    if len(given) != size:
        raise ValueError(f"expected {size} {what} names, got {len(given)}")
    return tuple(given)


@dataclass(frozen=True)
class Rows:
    """What each metric is given.

    >>> from contrafact.core.inputs import read_inputs
    >>> Rows.of(read_inputs([[0.5], [1.5]], [[0, 3], [1, 3]]), ["hue", "size"], None).notes
    ('dropped constant factors: size',)

    Attributes:
        data: arrays by argument, without constant factors; masked where a value is not known.
        whole: the same without the rows where one is not known, for metrics that take no masks.
        factor_names: of the factors kept.
        continuous: which of them are measurements.
        notes: what was left out.
    """

    data: dict[str, Any]
    whole: dict[str, Any]
    factor_names: tuple[str, ...]
    continuous: BoolArray
    notes: tuple[str, ...]

    @classmethod
    def of(cls, given: Inputs, names: Sequence[str] | None, continuous: Continuous | None) -> Rows:
        """Rows as read, checked (ValueError)."""
        codes = _checked_codes(given.codes, "codes")
        data = {"codes": codes}
        if given.codes_test is not None:
            data["codes_test"] = _checked_codes(given.codes_test, "codes_test")
        if given.factors is None:
            if given.factors_test is not None:
                raise ValueError("factors_test came without factors; pass both")
            return cls(data, _without_holes(data), (), np.zeros(0, dtype=bool), ())
        factors, hole_NK = fill_gaps(given.factors)
        asked = (given.continuous or False) if continuous is None else continuous
        factors_NK = check_mixed_factors(factors, len(codes), asked)
        continuous_K = which_continuous(asked, factors_NK.shape[1])
        all_names = names_or_numbers(names, factors_NK.shape[1], "factor")
        varying = np.flatnonzero(np.ptp(factors_NK, axis=0) > 0)
        if not len(varying):
            raise ValueError("every factor is constant: there is nothing to find in the codes; sample more points")
        dropped = [all_names[k] for k in range(len(all_names)) if k not in varying]
        if (given.codes_test is None) != (given.factors_test is None):
            raise ValueError("codes_test and factors_test belong together; pass both or neither")
        data["factors"] = (factors_NK if hole_NK is None else np.ma.masked_array(factors_NK, hole_NK))[:, varying]
        if given.factors_test is not None:
            test = (
                given.factors_test
                if isinstance(given.factors_test, np.ma.MaskedArray)
                else as_array(given.factors_test)
            )
            if test.ndim != 2 or test.shape[1] != factors_NK.shape[1]:
                raise ValueError(
                    f"factors has {factors_NK.shape[1]} columns but factors_test has shape {test.shape}; "
                    "use the same columns"
                )
            data["factors_test"] = test[:, varying]
        notes = (f"dropped constant factors: {', '.join(dropped)}",) if dropped else ()
        kept = tuple(all_names[k] for k in varying)
        return cls(data, _without_holes(data), kept, continuous_K[varying], notes)

    @property
    def filled(self) -> Any:
        """The codes, with some other value of their column where one is not known."""
        return fill_gaps(self.data["codes"])[0]

    def of_metric(self, name: str) -> tuple[Mapping[str, Any], tuple[str, ...], dict[str, Any]]:
        """A metric's arrays, the names of its factors, and its setting for continuous ones.

        One that can make nothing of measurements is given the other factors alone, where there are any.
        """
        info = info_of(name)
        data = self.data if info.pairs else self.whole
        if not self.continuous.any() or info.quantities:
            return data, self.factor_names, {}
        uniform: Continuous = True if self.continuous.all() else tuple(self.continuous.tolist())
        setting = continuous_setting(name, uniform)
        if setting or self.continuous.all() or "factors" not in inspect.signature(static_form(name)).parameters:
            return data, self.factor_names, setting
        discrete = {
            key: values[:, ~self.continuous] if key.startswith("factors") else values for key, values in data.items()
        }
        kept = tuple(n for n, is_one in zip(self.factor_names, self.continuous, strict=True) if not is_one)
        return discrete, kept, {}


def _checked_codes(values: Any, what: str) -> Any:
    full, hole_NJ = fill_gaps(values)
    checked = check_codes_as_given(full, what)
    return checked if hole_NJ is None else np.ma.masked_array(checked, hole_NJ)


def _without_holes(data: dict[str, Any]) -> dict[str, Any]:
    """The arrays without the rows in which any of those that belong together has a hole."""
    if not any(isinstance(values, np.ma.MaskedArray) for values in data.values()):
        return data
    whole = dict(data)
    for part in ("", "_test"):
        together = [key for key in (f"codes{part}", f"factors{part}") if key in data]
        if together:
            known_N = ~np.logical_or.reduce([np.ma.getmaskarray(data[key]).any(axis=1) for key in together])
            if not known_N.any():
                raise ValueError("every row has a missing value; ask for metrics that compare pairs, or drop columns")
            whole |= {key: np.ma.getdata(data[key])[known_N] for key in together}
    return whole
