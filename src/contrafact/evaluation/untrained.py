"""A finished run's networks as they were before the first step: the control of an encoder that nothing else explains.

They are made as the run made its own: by the same method with the same settings, seed and source, whose loops take no
step.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from contrafact.core.artefact import fingerprint
from contrafact.core.dataset import AnnotatedDataset, ImageDataset
from contrafact.core.few_labels import choose_labels
from contrafact.core.finished import ARTEFACT_KINDS
from contrafact.core.foreign import first_line
from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, FinishedRun, Method
from contrafact.core.own_module import OWN, find_module
from contrafact.core.run import LABELS, Run
from contrafact.evaluation.sampling import training_data_of
from contrafact.methods import CATALOG as METHODS

WITHOUT_STEPS = "in a loop over run.steps"
"""Why an encoder has no untrained self, in the words of the refusal."""


class StillRun(Run):
    """A run whose loops take no step, so that ``train`` returns what it began with.

    Attributes:
        was_asked: whether there was a loop.
    """

    was_asked = False

    def steps(self, total: int, state: Mapping[str, Any], what: str = "training") -> Iterator[int]:
        """No steps, however many are asked for."""
        self.was_asked = True
        return iter(())


def untrained(run: FinishedRun, inner: StillRun, source: Generator | ImageDataset) -> Artefacts:
    """What the run's method makes before it learns: encoder and generator; its method decides what they are.

    Args:
        run: a finished run.
        inner: of the same seed.
        source: what the run learned from.

    Raises:
        ValueError: a method that is not at hand, one that does not train by ``run.steps``, or one that fails where no
            step is taken.
    """
    method = method_of(run)
    name = type(method).__name__
    try:
        made = method.train(source, inner)
    except ValueError:
        raise
    except Exception as error:  # the documented border: somebody's method may need a step to have been taken
        raise ValueError(
            f"{name}.train fails where run.steps takes no step ({type(error).__name__}: {first_line(error)}), so its "
            "untrained encoder cannot be had; let it return what it began with"
        ) from error
    if made.encoder is None or not inner.was_asked or fingerprint(made.encoder) == fingerprint(run.encoder):
        raise ValueError(
            f"{run.folder} has no control: {name} does not train its encoder {WITHOUT_STEPS}, so there is no untrained "
            "one to compare it with"
        )
    for kind in ARTEFACT_KINDS:
        module = getattr(made, kind)
        if module is not None:
            module.eval().requires_grad_(False)
    return Artefacts(encoder=made.encoder, generator=None if made.generator is source else made.generator)


def source_of(run: FinishedRun, given: ImageDataset | None = None) -> Generator | ImageDataset:
    """What a run learned from, with the same few labels.

    Args:
        run: a finished run.
        given: images that may be the ones: they are used where their content is the same.

    Raises:
        ValueError: the images are not where they were, or were never in a file.
    """
    said = run.config["source"]
    if said["kind"] == "generator":
        return run.generator
    if given is not None and given.fingerprint() == said.get("fingerprint"):
        dataset = copy.copy(given)
    else:
        try:
            dataset = training_data_of(run)
        except ValueError as error:
            raise ValueError(
                f"the control of {run.folder} is its encoder untrained, made anew from the images it learned from, and "
                f"they are not at hand ({error}); pass them: fit_control(run, source=...)"
            ) from error
    dataset.few_labels = None
    labels = said.get("labels")
    if labels is not None:
        factors = labels.get("factors") if isinstance(dataset, AnnotatedDataset) else None
        dataset.few_labels = choose_labels(dataset, run.folder / LABELS, factors=factors)
    return dataset


def method_of(run: FinishedRun) -> Method:
    """The run's method with its settings, and with somebody's own module where it was trained around one.

    Raises:
        ValueError: somebody's own method that is not loaded, or a module of their own that is not at hand.
    """
    modules: dict[str, Any] = {}
    for name, mark in _marks(run).items():
        module = run.own("encoder")
        if not isinstance(module, nn.Module):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(run.config["seed"])  # as it was made for the run
                module = find_module(mark)
        if module is None:
            raise ValueError(
                f"{run.folder} trained a module of your own ({mark}), which its folder does not hold: pass it, "
                "untrained, load_run(folder, encoder=...), or on a command line name its file, --plugin FILE.py"
            )
        modules[name] = module
    return settings_of(run).changed(**modules)


def settings_of(run: FinishedRun) -> Method:
    """The run's method with its settings, but the usual network where it was trained around somebody's own.

    Raises:
        ValueError: somebody's own method that is not loaded.
    """
    settings, marks = run.config["hyperparameters"], _marks(run)
    method: Method = _class_of(run.config["method"], run).of(**{n: v for n, v in settings.items() if n not in marks})
    return method


def _marks(run: FinishedRun) -> dict[str, str]:
    """What stands in ``config.json`` for modules of somebody's own, by the setting's name."""
    settings = run.config["hyperparameters"]
    return {name: str(value[OWN]) for name, value in settings.items() if isinstance(value, dict) and OWN in value}


def _class_of(name: str, run: FinishedRun) -> type[Method]:
    # The name is from a file, maybe a stranger's: this runs no code that nobody asked for.
    if name in METHODS:
        cls: type[Method] = METHODS.get(name)
        return cls
    for entry in set(METHODS.names()) - set(METHODS.own_names()):  # its class need not be called as the entry is
        with suppress(ValueError):
            METHODS.get(entry)
    found = [cls for cls in _below(Method) if cls.name() == name]
    if not found:
        raise ValueError(
            f"{run.folder} is a run of {name[:80]!r}, a method that is not at hand: import it, or on a command line "
            "name its file, --plugin FILE.py"
        )
    return found[-1]


def _below(cls: type[Method]) -> Iterator[type[Method]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _below(sub)
