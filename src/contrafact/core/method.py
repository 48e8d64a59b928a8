"""The method contract: a frozen dataclass of hyperparameters with ``fit(source, run) -> Artefacts``.

A method's file defines one dataclass named after its paper. Each field has a docstring below it, which is also its
``--help``. Defaults are the paper's; ``presets`` name other settings.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from torch import nn

from contrafact.core import command
from contrafact.core.artefact import described, fingerprint, load_artefact, save_artefact
from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import ImageDataset
from contrafact.core.directions import Directions
from contrafact.core.encoder import Encoder
from contrafact.core.files import read_json
from contrafact.core.foreign import Kind, check_fields
from contrafact.core.format_version import check_format_version
from contrafact.core.generator import Generator
from contrafact.core.places import find_place, portable, remember_place
from contrafact.core.ranges import are_checked_later, check_ranges
from contrafact.core.run import CONFIG, LABELS, LOG, RESULT, Run, read_log
from contrafact.core.withdrawal import Withdrawal

_ARTEFACT_KINDS: dict[str, type[Encoder] | type[Directions] | type[Generator]] = {
    "encoder": Encoder,
    "directions": Directions,
    "generator": Generator,
}

_STARTED: dict[str, Kind] = {"method": str, "command": list | None}
_FINISHED: dict[str, Kind] = {"hyperparameters": dict, "source": dict, "seed": int, "environment": dict | None}
_SOURCE: dict[str, Kind] = {
    "kind": str,
    "name": str,
    "image_shape": list,
    "from": str | None,
    "split": str | None,
    "labels": dict | None,
}
_NO_RUN = "it was damaged or changed by hand; take it from a copy of the run, or run again"


@dataclass(frozen=True)
class Artefacts:
    """What a method yields; the ones it does not are None.

    Attributes:
        encoder: images to codes.
        directions: how to change one factor.
        generator: what a latent looks like.
    """

    encoder: Encoder | None = None
    directions: Directions | None = None
    generator: Generator | None = None

    def save(self, folder: Path) -> list[str]:
        """Write each artefact to ``<name>.safetensors``; returns the names written.

        A generator that wraps foreign code cannot be read back from a file and is left out.
        """
        written = []
        for name in _ARTEFACT_KINDS:
            module = getattr(self, name)
            if module is not None and module.is_writable():
                save_artefact(module, folder / f"{name}.safetensors")
                written.append(name)
        return written


@dataclass(frozen=True)
class Method(ABC):
    """Base of all methods.

    Attributes:
        source: what ``fit`` learns from: a ``generator`` or ``images``.
        yields: names of the artefacts it makes.
        presets: named settings: field values that differ from the defaults, which are the paper's.
        draws: whether the method draws random numbers, so that another seed gives another result.
    """

    source: ClassVar[Literal["generator", "images"]]
    yields: ClassVar[tuple[str, ...]]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    draws: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse settings out of their fields' ranges, or that do not go together, whatever the method (ValueError)."""
        if not are_checked_later():
            check_ranges(self)
            self.check_options()

    @classmethod
    def preset(cls, name: str) -> Self:
        """The method with the settings called ``name``.

        Raises:
            ValueError: unknown preset; the message lists the known ones.
        """
        if name not in cls.presets:
            raise ValueError(unknown_name_message(f"preset of {cls.name()}", name, list(cls.presets)))
        return cls(**cls.presets[name])

    @classmethod
    def name(cls) -> str:
        """The method's catalogue name: its file's, or of a class that is not named as its file, the class's own.

        >>> from contrafact.methods.cd_gan import CDGAN
        >>> CDGAN.name(), type("OwnMethod", (CDGAN,), {"__module__": "__main__"}).name()
        ('cd_gan', 'own_method')
        """
        file = cls.__module__.rpartition(".")[2]
        if file.replace("_", "").lower() == cls.__name__.replace("_", "").lower():
            return file
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def check_options(self) -> None:  # noqa: B027 - most methods have no such settings
        """Refuse settings that do not go together (ValueError); called when the method is made, ranges being checked.

        A method with such settings overrides this. What a single field may be is written beside it
        (:mod:`contrafact.core.ranges`).
        """

    def check_source(self, source: Any, run: Run) -> None:  # noqa: B027 - many take any source of their kind
        """Refuse a source these settings cannot learn from (ValueError); called before the run folder is claimed.

        A method that asks more of its source than its kind overrides this.
        """

    def grows(self) -> str:
        """The field that may be larger when a run is resumed, to train on: how many steps the last stage has."""
        return "steps"

    @abstractmethod
    def train(self, source: Any, run: Run) -> Artefacts:
        """The method itself: reads ``source``, loops over ``run.steps``, returns what it learned."""

    def fit(self, source: Generator | ImageDataset, run: Run | str | Path) -> Artefacts:
        """Train on ``source`` and write everything to the run folder.

        Args:
            source: a generator or a dataset, whichever the method learns from.
            run: a :class:`Run`, or just a folder for one with default settings.

        Returns:
            What was learned, in evaluation mode; the same is in the folder.

        Raises:
            ValueError: a source of the wrong kind or that the settings do not fit, or a folder that already holds a
                run. The folder is then as it was before.
        """
        wanted: type[Any] = Generator if self.source == "generator" else ImageDataset
        if not isinstance(source, wanted):
            what = "a generator (load_generator)" if self.source == "generator" else "a dataset (load_dataset)"
            raise ValueError(f"{type(self).__name__} learns from {what}, got {type(source).__name__}")
        run = run if isinstance(run, Run) else Run(run)
        if isinstance(source, Generator):
            source.to(run.device).freeze()
        self.check_source(source, run)
        with run.claimed():
            return self._fit(source, run)

    def _fit(self, source: Generator | ImageDataset, run: Run) -> Artefacts:
        """:meth:`fit` in a folder that nobody else writes to."""
        withdrawal = Withdrawal(run)
        run.start(
            {
                "method": self.name(),
                "hyperparameters": {f.name: _recorded(getattr(self, f.name)) for f in dataclasses.fields(self)},
                "source": _describe(source, run.folder),
                "command": command.recorded(),
            },
            self.grows(),
        )
        if isinstance(source, ImageDataset) and source.few_labels is not None and run.is_main:
            source.few_labels.save(run.folder / LABELS)
        if (run.folder / RESULT).exists():
            print(f"{run.folder} is already finished", file=sys.stderr)
            encoder = getattr(self, "encoder", None)
            return FinishedRun(
                run.folder,
                source if isinstance(source, Generator) else None,
                encoder if isinstance(encoder, nn.Module) else None,
            ).artefacts()
        begin = time.monotonic()
        with withdrawal:
            artefacts = self.train(source, run)
        for name in self.yields:
            getattr(artefacts, name).eval().requires_grad_(False)
        if artefacts.generator is not None and isinstance(source, ImageDataset):
            origin = {
                "trained_on": source.name,
                "from": source.source_name,
                "fingerprint": source.fingerprint(),
                "method": self.name(),
                "seed": run.seed,
            }
            artefacts.generator.note = {**origin, **artefacts.generator.note}
        if artefacts.directions is not None:
            home = source if isinstance(source, Generator) else artefacts.generator
            origin = {"found_on": command.without_home(source.name), "method": self.name(), "seed": run.seed}
            if home is not None:
                origin["space"] = home.space
            artefacts.directions.note = {**origin, **artefacts.directions.note}
        run.finish(artefacts, time.monotonic() - begin)
        return artefacts


class FinishedRun:
    """A finished run: ``.encoder(images)``, ``.directions(latent, index, magnitude)``, ``.generator(latent)``.

    Args:
        folder: the run folder.
        generator: the run's generator, for runs on a module of your own, which the folder cannot hold.
        encoder: the module the run's encoder was built around, if it was one of your own: the folder holds weights
            alone, which go into a copy of it.

    Raises:
        ValueError: no run folder, a run that has not finished (the message says how to go on), one whose
            ``config.json`` or ``result.json`` is damaged, or one that a newer version wrote.
    """

    def __init__(
        self, folder: str | Path, generator: Generator | None = None, encoder: nn.Module | None = None
    ) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ValueError(f"{self.folder} is no folder; expected a run folder written by `contrafact fit`")
        if not (self.folder / CONFIG).exists():
            raise ValueError(f"{self.folder} holds no {CONFIG}, so it is no run; expected a folder written by fit")
        config, result = self.folder / CONFIG, self.folder / RESULT
        said = read_json(config)
        if isinstance(said, dict) and not said.keys() & {"method", "source", "seed"}:
            raise ValueError(
                f"{config} is another program's, so {self.folder} is no run; expected a folder written by fit"
            )
        self.config = check_fields(said, _STARTED, config, _NO_RUN)
        check_format_version(self.config.get("format"), config)
        if not result.exists():
            raise ValueError(
                f"the run in {self.folder} has not finished; go on with `{self._how_to_go_on()}`, then come back"
            )
        check_fields(self.config, _FINISHED, config, _NO_RUN)
        check_fields(self.config["source"], _SOURCE, f"{config}: 'source'", _NO_RUN)
        if [type(side) for side in self.config["source"]["image_shape"]] != [int] * 3:
            raise ValueError(f"{config}: 'image_shape' must be three whole numbers; {_NO_RUN}")
        self.result = check_fields(read_json(result), {"artefacts": list, "seconds": int | float}, result, _NO_RUN)
        if not all(isinstance(name, str) and name in _ARTEFACT_KINDS for name in self.result["artefacts"]):
            raise ValueError(
                f"{result}: 'artefacts' must be among {', '.join(_ARTEFACT_KINDS)}, got {self.result['artefacts']}; "
                f"{_NO_RUN}"
            )
        self._given_generator, self._own_encoder = generator, encoder

    def _how_to_go_on(self) -> str:
        """The command that goes on with an unfinished run, with the folder and the data where they are now."""
        program, *parts = [str(part) for part in self.config.get("command") or ["unknown"]]
        own = Path(program).name in (command.PROGRAM, "__main__.py")
        if own and parts and parts[0] != "fit":
            return shlex.join([command.PROGRAM, *parts])  # such as bench: it goes on by itself
        if not own or not parts:
            parts = ["fit", str(self.config["method"]), "..."]
        parts = [part for part in parts if part != "--resume"]
        parts = [part for part in parts if not part.startswith("--out=")]
        if "--out" not in parts[:-1]:
            parts += ["--out", ""]
        parts[parts.index("--out") + 1] = str(self.folder)
        source = self.config.get("source")
        place = find_place(source, self.folder) if isinstance(source, dict) else None
        if place is not None and "--data" in parts[:-1]:
            data = parts.index("--data") + 1
            if Path(parts[data]).name == place.name:  # and no name of a data set
                parts[data] = str(place)
        return " ".join(part if part == "..." else shlex.quote(part) for part in [command.PROGRAM, *parts, "--resume"])

    @cached_property
    def encoder(self) -> Encoder:
        """Images to codes."""
        return load_artefact(self._file("encoder"), Encoder, self._own_encoder).requires_grad_(False)

    @cached_property
    def directions(self) -> Directions:
        """How to change one factor."""
        return load_artefact(self._file("directions"), Directions).requires_grad_(False)

    @cached_property
    def generator(self) -> Generator:
        """What a latent looks like."""
        if self._given_generator is not None:
            return self._given_generator
        return load_artefact(self._file("generator"), Generator).requires_grad_(False)

    @cached_property
    def log(self) -> list[dict[str, float]]:
        """Lines of the training log: ``step`` and the mean of each logged value."""
        path = self.folder / LOG
        return read_log(path) if path.exists() else []

    @property
    def annotated_factors(self) -> tuple[str, ...]:
        """Names of the factors a run with few labels was told of; none for a run without labels."""
        labels = self.config["source"].get("labels") or {}
        return tuple(labels.get("factors", ()))

    def has(self, artefact: str) -> bool:
        """Whether the run yields ``encoder``, ``directions`` or ``generator``."""
        return artefact in self.result["artefacts"] or (artefact == "generator" and self._given_generator is not None)

    def artefacts(self) -> Artefacts:
        """All that the run yields."""
        return Artefacts(**{name: getattr(self, name) for name in _ARTEFACT_KINDS if self.has(name)})

    def _file(self, artefact: str) -> Path:
        if self.has(artefact):
            return self.folder / f"{artefact}.safetensors"
        has = ", ".join(self.result["artefacts"]) or "nothing"
        own = (
            "; it ran on a module of your own: pass it, load_run(folder, generator=...)"
            if artefact == "generator"
            else ""
        )
        raise ValueError(f"the {self.config['method']} run in {self.folder} yields {has}, but no {artefact}{own}")


def load_run(folder: str | Path, generator: Generator | None = None, encoder: nn.Module | None = None) -> FinishedRun:
    """Read a finished run.

    Args:
        folder: run folder.
        generator: the run's generator, when it is a module of your own.
        encoder: the module the run's encoder was built around, when it is one of your own.

    Raises:
        ValueError: no run there, or an unfinished one.
    """
    return FinishedRun(folder, generator, encoder)


def _recorded(value: Any) -> Any:
    """A hyperparameter as it may be written down."""
    return command.without_home(value) if isinstance(value, str) else described(value)


def _describe(source: Generator | ImageDataset, folder: Path) -> dict[str, Any]:
    if isinstance(source, Generator):
        described: dict[str, Any] = {
            "kind": "generator",
            "name": command.without_home(source.name),
            "weights": fingerprint(source),
        }
        if source.is_writable():  # equal weights make other images with another clamp, space, class or truncation
            described["arguments"] = source.arguments()
    else:
        place, content = source.place(), source.fingerprint()
        if place is not None:
            remember_place(content, place)
        described = {
            "kind": "data",
            "name": source.name,
            "from": source.source_name if place is None else portable(place, folder),
            "fingerprint": content,
        }
        if hasattr(source, "split"):
            described["split"] = source.split
        if source.options:
            described["options"] = dict(source.options)
        if source.few_labels is not None:
            described["labels"] = source.few_labels.describe()
    return {**described, "image_shape": list(source.image_shape)}
