"""A run in several stages, one loop each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contrafact.core.run import Run


def stages(run: Run, lengths: Sequence[int], state: Mapping[str, Any]) -> tuple[Iterator[int], ...]:
    """Step numbers of each stage, from 0, for loops that come one after the other.

    All stages are one count for ``run.steps``, so that a run resumes in any of them: the loops of those behind it are
    then empty. What stands between two loops is computed anew when a run resumes, and needs no place in ``state``.

    Args:
        run: whose steps they are.
        lengths: steps of each stage.
        state: everything that any of the loops changes, as :meth:`~contrafact.core.run.Run.steps` takes it.

    Returns:
        one iterator per stage; each is to be exhausted before the next.
    """
    steps = run.steps(sum(lengths), state)
    ends = list(itertools.accumulate(lengths))
    ahead: list[int] = []  # a stage has ended when the step after its last one has begun

    def stage(first: int, last: int) -> Iterator[int]:
        while (step := ahead.pop() if ahead else next(steps, None)) is not None:
            if step >= last:
                ahead.append(step)
                return
            yield step - first

    return tuple(stage(last - length, last) for length, last in zip(lengths, ends, strict=True))
