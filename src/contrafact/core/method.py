"""The method contract: a frozen dataclass of hyperparameters with ``fit(source, run) -> Artefacts``.

A method's file defines one dataclass named after its paper. Each field has a docstring below it, which is also its
``--help``. Defaults are the paper's; ``presets`` name other settings. Where there are many, groups hold those that
belong together (:mod:`contrafact.core.settings`).
"""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from torch import nn

from contrafact.core import command, outside, own_generator
from contrafact.core.artefact import fingerprint, save_weights, unbuildable
from contrafact.core.budget import Budget
from contrafact.core.catalog import slug
from contrafact.core.dataset import ImageDataset
from contrafact.core.denoiser import Denoiser
from contrafact.core.few_labels import choose_labels
from contrafact.core.finished import ARTEFACT_KINDS
from contrafact.core.finished import Artefacts as Artefacts
from contrafact.core.finished import FinishedRun as FinishedRun
from contrafact.core.finished import load_run as load_run
from contrafact.core.generator import Generator
from contrafact.core.label_kinds import LabelKind, check_labels
from contrafact.core.memory import as_dataset
from contrafact.core.numbered import numbered_folder
from contrafact.core.own_module import described
from contrafact.core.places import portable, remember_place
from contrafact.core.run import LABELS, RESULT, Run
from contrafact.core.settings import Configured
from contrafact.core.withdrawal import Withdrawal


@dataclass(frozen=True)
class Method(Configured, ABC):
    """Base of all methods.

    Attributes:
        source: what ``fit`` learns from: a ``generator`` or ``images``.
        yields: names of the artefacts it makes.
        draws: whether the method draws random numbers, so that another seed gives another result.
        asks: of a generator, what it must be: ``any``, or a ``denoiser``
            (:class:`~contrafact.core.denoiser.Denoiser`).
        labels: of images, what it does with few labels: ``none``, it takes none; ``few``, it learns from them;
            ``optional``, they may say something else, such as which changes of an image to leave out.
        label_kinds: which kinds of few labels it learns from, beside one factor of a few values
            (:data:`~contrafact.core.label_kinds.LabelKind`).
        older: settings that runs of older versions do not name, with the values they had.

    >>> import contrafact as cf
    >>> scene = cf.load_generator("analytic", {"size": 16})
    >>> run = cf.methods.Random.preset("quick", num_directions=3).fit(scene, "runs/three", seed=1)
    >>> run
    FinishedRun('runs/three': random on analytic, yields directions, generator)
    >>> cf.methods.Random().fit(scene).folder.name  # the next free folder in runs/
    'random-analytic-1'
    """

    source: ClassVar[Literal["generator", "images"]]
    yields: ClassVar[tuple[str, ...]]
    asks: ClassVar[Literal["any", "denoiser"]] = "any"
    draws: ClassVar[bool] = True
    labels: ClassVar[Literal["none", "optional", "few"]] = "optional"
    label_kinds: ClassVar[tuple[LabelKind, ...]] = ("several",)
    older: ClassVar[Mapping[str, Any]] = {}

    def check_source(self, source: Any, run: Run) -> None:
        """Refuse a source these settings cannot learn from (ValueError); called before the run folder is claimed.

        A method that asks more of its source than its kind overrides this.
        """

    def grows(self) -> str:
        """The field that may be larger when a run is resumed, to train on: how many steps the last stage has."""
        return "steps"

    def shared_settings(self) -> tuple[str, ...]:
        """Settings that count the images of a step: of several processes that divide it, each takes its share of them.

        Of a method that descends along gradients, which has a rate, all that are called a batch. One whose step is
        counted otherwise overrides this; without any the method is not divided, and one process trains it.

        >>> from contrafact.methods import CDGAN, GANSpace, VAE
        >>> VAE().shared_settings(), CDGAN().shared_settings(), GANSpace().shared_settings()
        (('batch_size',), ('batch_size', 'critic_batch', 'encoder_batch'), ())
        """
        settings = self.hyperparameters()
        if not any(name.endswith("rate") for name in settings):
            return ()
        return tuple(name for name in settings if name.endswith(("batch", "batch_size")))

    def share(self, processes: int) -> Self:
        """The settings of each of several processes that divide a step's images among them.

        Args:
            processes: how many.

        Raises:
            ValueError: a number of images that they cannot divide.

        >>> from contrafact.methods import VAE
        >>> VAE(batch_size=64).share(4).batch_size
        16
        """
        if processes == 1:
            return self
        settings = self.hyperparameters()
        counts = {name: settings[name] for name in self.shared_settings()}
        for name, count in counts.items():
            if count % processes:
                raise ValueError(
                    f"{processes} processes cannot divide a step of {self.name()}: {name} is {count}; take a number of "
                    "processes that divides it"
                )
        return self.changed(**{name: count // processes for name, count in counts.items()})

    def budget(self) -> Budget:
        """What a control may spend that trains an encoder along random directions, to be fair to this method.

        It is asked of methods that find directions and an encoder together. One whose settings have other names, or
        whose steps encode more than a batch, overrides this.

        >>> from contrafact.methods import DisCo
        >>> DisCo.preset("quick", steps=400).budget().steps
        400
        """
        return Budget.of_settings(self.hyperparameters())

    @abstractmethod
    def train(self, source: Any, run: Run) -> Artefacts:
        """The method itself: reads ``source``, loops over ``run.steps``, returns what it learned."""

    def fit(
        self,
        source: Any,
        run: Run | str | Path | None = None,
        *,
        labels: Any = None,
        seed: int = 0,
        device: str = "auto",
    ) -> FinishedRun:
        """Train on ``source`` and write everything to the run folder.

        Args:
            source: a generator or a dataset, whichever the method learns from; for images also a tensor or array
                ``(N, C, H, W)``, pictures, ``(images, labels)``, or a torch ``Dataset`` or ``DataLoader``
                (:func:`~contrafact.core.memory.as_dataset`).
            run: a :class:`Run`, or just a folder for one with default settings; by default the next free
                ``runs/METHOD-SOURCE-NUMBER``.
            labels: of images, what is known of a few: a number of images to annotate by what their dataset knows, a
                table's file, or a DataFrame, a dictionary of columns, or an array, where NaN, None and, in arrays of
                whole numbers, −1 are unknown (:func:`~contrafact.core.few_labels.choose_labels`).
            seed: seed of every random draw, where ``run`` is no :class:`Run`.
            device: where to train, where ``run`` is no :class:`Run`.

        Returns:
            The finished run: ``.encoder``, ``.directions``, ``.generator`` are what was learned, in evaluation mode.

        Raises:
            ValueError: a source of the wrong kind or that the settings do not fit, or a folder that already holds a
                run. The folder is then as it was before.
        """
        source = self._annotated(self._source(source), labels)
        if isinstance(run, Run):
            if (seed, device) != (0, "auto"):
                raise ValueError("a Run has a seed and a device of its own; give them to it")
            return self._fit_in(source, run)
        named = nullcontext(Path(run)) if run is not None else numbered_folder(f"{self.name()}-{slug(source.name)}")
        with named as folder:
            return self._fit_in(source, Run(folder, seed=seed, device=device))

    def _source(self, source: Any) -> Generator | ImageDataset:
        if self.source == "generator":
            if not isinstance(source, Generator):
                raise ValueError(
                    f"{type(self).__name__} learns from a generator (load_generator, or wrap for a module of one's "
                    f"own), got {type(source).__name__}"
                )
            if self.asks == "denoiser" and not isinstance(source, Denoiser):
                raise ValueError(
                    f"{type(self).__name__} learns from what a denoiser says along the way to its images, and a "
                    f"{type(source).__name__} makes them in one pass; take a diffusion model, such as the run of "
                    "contrafact fit encdiff, or ganspace, latentclr or disco for this one"
                )
            return source
        if isinstance(source, Generator | str | Path):
            raise ValueError(f"{type(self).__name__} learns from a dataset (load_dataset), got {type(source).__name__}")
        return as_dataset(source)

    def _annotated(self, source: Generator | ImageDataset, labels: Any) -> Generator | ImageDataset:
        """The source with a few labels, if any are given; they are of a kind the method can use."""
        who = self.name()
        if labels is not None:
            if not isinstance(source, ImageDataset):
                raise ValueError(f"{who} learns from a generator, which has no labels; leave out labels=")
            if self.labels == "none":
                raise ValueError(f"{who} takes no labels; leave out labels=")
            source = copy.copy(source)
            source.few_labels = choose_labels(source, labels)
        if isinstance(source, ImageDataset) and source.few_labels is not None and self.labels == "few":
            check_labels(who, self.label_kinds, source.few_labels)
        return source

    def _fit_in(self, source: Generator | ImageDataset, run: Run) -> FinishedRun:
        if isinstance(source, Generator):
            source.to(run.device).freeze()
        share = self.share(run.world_size) if run.joint_batch else self
        share.check_source(source, run)
        with run.claimed():
            artefacts = self._fit(source, run, share)
        encoder = getattr(self, "encoder", None)
        return FinishedRun.holding(
            run.folder,
            artefacts,
            source if isinstance(source, Generator) else None,
            encoder if isinstance(encoder, nn.Module) else None,
        )

    def _fit(self, source: Generator | ImageDataset, run: Run, share: Self) -> Artefacts:
        """:meth:`fit` in a folder that nobody else writes to; ``share`` has this process's settings."""
        withdrawal = Withdrawal(run)
        run.start(
            {
                "method": self.name(),
                "hyperparameters": {name: _recorded(value) for name, value in self.hyperparameters().items()},
                "source": _describe(source, run.folder),
                "command": command.recorded(),
            },
            self.grows(),
            self.older,
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
        with withdrawal, outside.training():
            returned = share.train(source, run)
        artefacts = self._checked(returned, run)
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
        is_kept = artefacts.generator is not source or unbuildable(artefacts.generator) is None
        run.finish(artefacts if is_kept else dataclasses.replace(artefacts, generator=None), time.monotonic() - begin)
        self._check_yields(artefacts, run.folder)
        return artefacts

    def _checked(self, returned: Any, run: Run) -> Artefacts:
        """What ``train`` returned, ready to be kept: whatever else is wrong, the weights are."""
        if not isinstance(returned, Artefacts):
            parts = returned if isinstance(returned, Mapping) else {"trained": returned}
            modules = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
            kept = {str(run.folder / f"{name}.safetensors"): module for name, module in modules.items()}
            for file, module in kept.items() if run.is_main else ():
                save_weights(module, file, "train returned no Artefacts")
            where = f"; the weights of what it returned are in {', '.join(kept)}" if kept else ""
            raise ValueError(
                f"{type(self).__name__}.train must return Artefacts(encoder=..., directions=..., generator=...), got "
                f"{type(returned).__name__}{where}"
            )
        for name in ARTEFACT_KINDS:
            module = getattr(returned, name)
            if isinstance(module, nn.Module):
                module.eval().requires_grad_(False)
                note = getattr(module, "note", {})
                said = {k: v for k, v in note.items() if _is_said(k, v)} if isinstance(note, dict) else {}
                setattr(module, "note", said)  # noqa: B010 - a plain module has none
        return returned

    def _check_yields(self, artefacts: Artefacts, folder: Path) -> None:
        """Say what a method of somebody's own did not return as it says it does; what it did is in the folder."""
        for name, kind in ARTEFACT_KINDS.items():
            module = getattr(artefacts, name)
            if module is None and name in self.yields:
                raise ValueError(
                    f"{type(self).__name__} says in 'yields' that it makes a {name}, and returned none; what it did "
                    f"return is in {folder}"
                )
            if module is not None and not isinstance(module, kind):
                raise ValueError(
                    f"{type(self).__name__} returned a {type(module).__name__} as its {name}, expected a "
                    f"contrafact.core.{name}.{kind.__name__}; its weights are in {folder / name}.safetensors"
                )


def _is_said(key: str, value: Any) -> bool:
    """Whether a file can hold a note; one that it cannot must not cost what was trained."""
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        print(f"the note {key!r} is left out: no file can hold a {type(value).__name__}", file=sys.stderr)
        return False
    return True


def _recorded(value: Any) -> Any:
    """A hyperparameter as it may be written down."""
    return command.without_home(str(value)) if isinstance(value, str | Path) else described(value)


def _describe(source: Generator | ImageDataset, folder: Path) -> dict[str, Any]:
    if isinstance(source, Generator):
        described: dict[str, Any] = {
            "kind": "generator",
            "name": command.without_home(source.name),
            "weights": fingerprint(source),
        }
        if unbuildable(source) is None:  # equal weights make other images with another clamp, space, class, truncation
            described["arguments"] = outside.written(source.arguments())
        described |= own_generator.origin(source, folder)
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
        if (split := getattr(source, "split", None)) is not None:
            described["split"] = split
        if source.options:
            described["options"] = dict(source.options)
        if source.few_labels is not None:
            described["labels"] = source.few_labels.describe()
    return {**described, "image_shape": list(source.image_shape)}
