"""What stands in a run's ``config.json``, and whether a run may go on with what stands there.

A run's files: ``config.json``, ``labels.csv``, ``log.jsonl``, ``checkpoint.pt``, a file for each artefact,
``result.json`` and ``scores.jsonl``.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contrafact.core import going_on
from contrafact.core.checksum import check_tensors
from contrafact.core.files import read_json, write_json
from contrafact.core.foreign import check_fields, reading
from contrafact.core.format_version import FORMAT_VERSION, check_format_version
from contrafact.core.places import fingerprint_files

if TYPE_CHECKING:
    from contrafact.core.processes import Processes

CONFIG, LOG, CHECKPOINT, RESULT = "config.json", "log.jsonl", "checkpoint.pt", "result.json"
LABELS, SCORES = "labels.csv", "scores.jsonl"
ARTEFACTS = ("encoder", "directions", "generator")


class Record:
    """The configuration of the run in ``folder``, begun or taken up again.

    Args:
        folder: the run's.
        consents: names of settings that may differ from what they were.
        begin_from: the run whose weights this one begins with.
    """

    def __init__(self, folder: Path, consents: tuple[str, ...], begin_from: Path | None) -> None:
        self.folder, self.consents, self._begin_from = folder, consents, begin_from
        self.hyperparameters: tuple[str, ...] = ()
        self._config: dict[str, Any] = {}
        self._changes: dict[str, going_on.Difference] = {}

    @property
    def has_checksums(self) -> bool:
        """Whether the run's checkpoints have checksums; those of older versions have none."""
        return not self._config or "format" in self._config

    def start(
        self,
        config: Mapping[str, Any],
        environment: Mapping[str, Any],
        resume: bool,
        grows: str | None,
        processes: Processes,
        older: Mapping[str, Any],
    ) -> None:
        """Write the configuration of a new run, or compare it with what stands in the folder.

        Args:
            config: everything the result depends on.
            environment: what it is computed with.
            resume: take up the run in the folder.
            grows: the hyperparameter that may be larger than it was.
            processes: those that train together; the main one writes.
            older: values of hyperparameters that runs of older versions do not name.

        Raises:
            ValueError: a run that is not to be resumed, or that differs in more than it may.
        """
        full, path = dict(config), self.folder / CONFIG
        self.hyperparameters = tuple(config.get("hyperparameters", {}))
        going_on.check_consent(self.consents, self.hyperparameters)
        if self._begin_from is not None:
            full[going_on.BEGUN_FROM] = _weights_of(self._begin_from)
        if path.exists():
            before = read_json(path)
            if not isinstance(before, dict) or "method" not in before:
                raise ValueError(
                    f"{path} is not the configuration of a run but another program's; choose another --out"
                )
            if not resume:
                raise ValueError(f"{self.folder} already holds a run; go on with --resume, or choose another --out")
            if isinstance(named := before.get("hyperparameters"), dict):
                before["hyperparameters"] = {**older, **named}
            self._take_up(before, full, grows, processes)
            return
        if resume and self.folder.exists() and any(p for p in self.folder.iterdir() if p.name[0] != "."):
            raise ValueError(
                f"{self.folder} holds files but no {CONFIG}, so it is no run to resume; choose another --out"
            )
        self._config = {"format": FORMAT_VERSION, **full, "environment": dict(environment)}
        processes.wait()
        if processes.is_main:
            write_json(path, self._config)
        processes.wait()

    def _take_up(self, before: dict[str, Any], now: dict[str, Any], grows: str | None, processes: Processes) -> None:
        """Go on with the run of the configuration ``before``, with what may differ in ``now``."""
        check_format_version(before.get("format"), self.folder / CONFIG)
        result, checkpoint = self.folder / RESULT, self.folder / CHECKPOINT
        is_kept = result.exists() and CHECKPOINT in check_fields(read_json(result), {}, result, "").get("keeps", ())
        if result.exists() and not is_kept and processes.is_main:
            checkpoint.unlink(missing_ok=True)  # of a process killed between the result and the clearing up
        if going_on.BEGUN_FROM in before and (checkpoint.exists() or result.exists()):
            now.setdefault(going_on.BEGUN_FROM, before[going_on.BEGUN_FROM])
        found = going_on.differences(before, now)
        changes = going_on.consented(found, self.consents)
        key = f"hyperparameters.{grows}"
        if key in found and all(isinstance(n, int) for n in found[key]) and found[key][1] > found[key][0]:
            changes[key] = found[key]
        refused = {name: change for name, change in found.items() if name not in changes}
        going_on.refuse_differences(self.folder, refused, self.hyperparameters)
        self._config = {**before, **(now if changes else {})}
        self._changes = changes
        if not (result.exists() and changes):
            return
        if key not in changes:
            raise ValueError(f"{self.folder} is finished, so no change can act; ask for more --{grows or 'steps'} too")
        if not is_kept:
            raise ValueError(
                f"{self.folder} is finished and its last checkpoint was not kept, so it cannot train on (fit with "
                "--keep-checkpoint keeps it); start another run from its weights: "
                f"--from {shlex.quote(str(self.folder))} --out ANOTHER"
            )
        processes.wait()
        if processes.is_main:
            # The result goes first: a run that is killed here is one that has not finished, whose checkpoint is whole.
            result.unlink()
            scores = self.folder / SCORES
            if scores.exists():  # they are of other weights than those to come
                scores.replace(scores.with_stem(f"{scores.stem}-{found[key][0]}-{grows}"))
        processes.wait()

    def note_changes(self, step: int, is_main: bool) -> bool:
        """Write down what was changed, now that the step is known; whether loaded settings must follow."""
        noted: list[dict[str, Any]] = list(self._config.get(going_on.CHANGES, []))
        if self._changes:
            said = {name.rpartition(".")[2]: list(change) for name, change in self._changes.items()}
            noted.append({"step": step, "changed": said})
            self._config = {**self._config, going_on.CHANGES: noted}
            self._changes = {}
            if is_main:
                write_json(self.folder / CONFIG, self._config)
                for name, (old, new) in said.items():
                    print(f"from step {step} on: {name} {json.dumps(new)}, was {json.dumps(old)}", file=sys.stderr)
        # A checkpoint at or before the step of a change was saved with what held before it.
        return any(entry["step"] >= step for entry in noted)


def begin_from_weights(state: Mapping[str, Any], folder: Path, is_main: bool) -> None:
    """Put the weights of another run into ``state``, as far as they fit, and say how far.

    Args:
        state: what a run changes, by name.
        folder: the other run's.
        is_main: whether this process speaks for all.

    Raises:
        ValueError: none fits, or a file is damaged.
    """
    from safetensors.torch import load_file

    weights = {}
    for name, file in _weight_files(folder).items():
        with reading(file, "safetensors file"):
            check_tensors(file)
            weights[name] = load_file(file)
    taken = going_on.take_weights(state, weights)
    if not taken:
        raise ValueError(
            f"no weights of {folder} fit this method by name and shape, so there is nothing to begin from; leave "
            "out --from, or give the settings that run had"
        )
    if is_main:
        said = ", ".join(f"{found} of {whole} tensors of its {name}" for name, (found, whole) in taken.items())
        print(f"beginning from {folder}: {said}", file=sys.stderr)


def _weight_files(folder: Path) -> dict[str, Path]:
    files = {name: folder / f"{name}.safetensors" for name in ARTEFACTS}
    return {name: file for name, file in files.items() if file.exists()}


def _weights_of(folder: Path) -> dict[str, Any]:
    """Name and fingerprint of a run to begin from."""
    files = _weight_files(folder)
    if not (folder / RESULT).exists() or not files:
        raise ValueError(f"{folder} is no finished run with weights to begin from; give --from the folder of one")
    return {"name": Path(os.path.abspath(folder)).name, "fingerprint": fingerprint_files(files.values(), folder)}
