"""What a resumed run may differ in from the run it goes on with, and how what was loaded is made to follow.

A run's configuration is compared key by key. Where the data lies, and what a generator's file is called, does not
count: their content does. Some of the rest may change with consent, and is then noted in ``config.json`` with the step
from which it holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from contrafact.core.catalog import unknown_name_message

CHANGES = "changes"
"""Key of ``config.json``: what was changed with consent, and from which step on."""
BEGUN_FROM = "begun_from"
"""Key of ``config.json``: the run whose weights this one began with."""
_NOT_COMPARED = ("command", "environment", "format", CHANGES)
_NEWER = ("source.fingerprint", "source.labels.fingerprint", "source.arguments", "source.given")
"""What older versions did not write down."""
_FREE = ("precision", "processes", "joint_batch")
"""What may change besides hyperparameters."""

Difference = tuple[Any, Any]


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Difference]:
    """What a configuration has become, by its path (``hyperparameters.steps``): ``(before, now)``."""
    flat_before, flat_now = _flat(before), _flat(json.loads(json.dumps(now)))
    found = {
        key: (flat_before.get(key), flat_now.get(key))
        for key in {**flat_before, **flat_now}
        if key.split(".")[0] not in _NOT_COMPARED and flat_before.get(key) != flat_now.get(key)
    }
    for key in [key for key, values in found.items() if _is_one_file(key, *values)]:
        del found[key]
    # Places and names do not matter where the content is known; older configurations know places only.
    if "source.labels.fingerprint" in flat_before:
        found.pop("source.labels.chosen", None)
    if "source.weights" in flat_before:
        found.pop("source.name", None)
        found.pop("source.from", None)
    if found.pop("source.from", None) is not None and "source.fingerprint" not in flat_before:
        names = [Path(str(flat.get("source.from"))).name for flat in (flat_before, flat_now)]
        if names[0] != names[1]:
            found["source.from"] = (names[0], names[1])
    newer = [part for part in _NEWER if not any(key.startswith(part) for key in flat_before)]
    return {key: values for key, values in found.items() if not key.startswith(tuple(newer))}


def refuse_differences(folder: Path, found: Mapping[str, Difference], known: Sequence[str]) -> None:
    """Say what differs, and how it may.

    Args:
        folder: the run's.
        found: what differs and was not consented to.
        known: hyperparameters.

    Raises:
        ValueError: always, unless nothing differs.
    """
    if not found:
        return
    moved = {"source.fingerprint": "the data", "source.weights": "the generator", "source.labels.fingerprint": "labels"}
    for key, what in moved.items():
        if key in found:
            raise ValueError(
                f"{folder} was started with other content: {what} has changed since (fingerprint {found[key][0]} then, "
                f"{found[key][1]} now). Names, order, sizes and contents must be what they were: put them back, or "
                "start anew with another --out"
            )
    said = "; ".join(f"{key}: {_short(before)} before, {_short(now)} now" for key, (before, now) in found.items())
    free = [key.rpartition(".")[2] for key in found if key.partition(".")[2] in known or key in _FREE]
    how = f"consent with --change {' '.join(free)}, " if len(free) == len(found) else ""
    raise ValueError(
        f"{folder} was started with another configuration ({said}); resume with the same one, {how}"
        "or choose another --out"
    )


def check_consent(names: Sequence[str], hyperparameters: Sequence[str]) -> None:
    """Refuse to change what is no hyperparameter, precision or number of processes (ValueError)."""
    for name in names:
        if name not in hyperparameters and name not in _FREE:
            raise ValueError(unknown_name_message("setting to --change", name, [*hyperparameters, *_FREE]))


def consented(found: Mapping[str, Difference], names: Sequence[str]) -> dict[str, Difference]:
    """Those of the differences that are called so."""
    return {
        key: change
        for key, change in found.items()
        if key.rpartition(".")[2] in names and (key in _FREE or key.startswith("hyperparameters."))
    }


def rates_of(state: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Settings of every optimiser, and base rates of every schedule, in ``state``: what new settings have made them."""
    fresh: dict[str, list[dict[str, Any]]] = {}
    for name, value in state.items():
        if isinstance(value, Optimizer):
            fresh[name] = [{k: v for k, v in group.items() if k != "params"} for group in value.param_groups]
        elif isinstance(value, LRScheduler):
            fresh[name] = [{"base": rate} for rate in value.base_lrs]
    return fresh


def put_rates(state: Mapping[str, Any], fresh: Mapping[str, list[dict[str, Any]]]) -> None:
    """Let the settings of :func:`rates_of` hold in optimisers that were loaded since.

    A rate that follows a schedule keeps its place in it: it is multiplied by what its base rate was.
    """
    scheduled: set[int] = set()
    for name, value in state.items():
        if isinstance(value, LRScheduler):
            new = [group["base"] for group in fresh[name]]
            for group, before, now in zip(value.optimizer.param_groups, value.base_lrs, new, strict=True):
                group["lr"] = group["lr"] * now / before if before else now
            value.base_lrs = new
            value._last_lr = [group["lr"] for group in value.optimizer.param_groups]
            scheduled.add(id(value.optimizer))
    for name, value in state.items():
        if isinstance(value, Optimizer):
            for group, settings in zip(value.param_groups, fresh[name], strict=True):
                group.update({k: v for k, v in settings.items() if k != "lr" or id(value) not in scheduled})


def take_weights(state: Mapping[str, Any], artefacts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, tuple[int, int]]:
    """Copy another run's weights into the modules of ``state`` that they fit best, by names and shapes.

    Args:
        state: what a run changes, by name.
        artefacts: weights by name, of each artefact (``encoder``).

    Returns:
        Of each artefact of which something fitted: how many of its tensors were taken, and how many it has.
    """
    taken: dict[str, tuple[int, int]] = {}
    modules = [part for value in state.values() if isinstance(value, nn.Module) for part in value.modules()]
    for artefact, weights in artefacts.items():
        fitting: list[dict[str, Tensor]] = []
        most = 0
        for module in modules:
            own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
            fits = {name: own[name] for name, w in weights.items() if name in own and own[name].shape == w.shape}
            if len(fits) > most:
                fitting, most = [], len(fits)
            if fits and len(fits) == most:  # a network and its moving average, say: both begin there
                fitting.append(fits)
        if 2 * most >= len(weights) > 0:  # fewer are a likeness, not the same network
            for fits in fitting:
                for name, tensor in fits.items():
                    tensor.data.copy_(weights[name])
            taken[artefact] = (most, len(weights))
    return taken


def _is_one_file(key: str, before: Any, now: Any) -> bool:
    """Whether both name a file, of the same name at another place."""
    if not (key.startswith("hyperparameters.") and isinstance(before, str) and isinstance(now, str)):
        return False
    return any("/" in value or "\\" in value for value in (before, now)) and Path(before).name == Path(now).name


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every value by its path (``hyperparameters.steps``), so that a difference is named, not its surroundings."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= {f"{key}.{k}": v for k, v in _flat(value).items()} if isinstance(value, dict) else {key: value}
    return flat


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."
