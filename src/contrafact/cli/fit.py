"""Train a method on a generator or on images; writes a run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import tyro

from contrafact.cli._globals import answer, wants_hints
from contrafact.cli._methods import (
    OF_A_GENERATOR,
    OF_IMAGES,
    OF_LABELS,
    check_preset,
    print_methods,
    shown_presets,
    what_it_declares,
)
from contrafact.cli._parse import Assignments, changes_of, parse
from contrafact.cli._types import Folder, is_module
from contrafact.core.command import quoted
from contrafact.core.numbered import numbered_folder
from contrafact.core.plugins import is_spelled_out
from contrafact.core.ranges import CountOrZero, Seed, Side, Weight
from contrafact.core.settings import flat_fields, refuse_without
from contrafact.methods import CATALOG

_SPELLED = {"changes": "set"}


@dataclass(frozen=True)
class RunOptions:
    """Options every method shares.

    Attributes:
        RESERVED: names a method's own fields must not take.
    """

    generator: str | None = None
    """Generator to learn from: a shipped one's name, a checkpoint, or a run folder that holds one."""
    space: str | None = None
    """Edit space, of a generator that has several: z, w, w+."""
    of_class: CountOrZero | None = None
    """Class that a conditional generator is held to."""
    changes: Assignments = ()
    """An argument of the generator that shall differ, or that its file does not say: clamp=256. May be repeated."""
    data: str | None = None
    """Images to learn from: a dataset's name (a variant after a colon), its file, or your own pictures: a folder, .zip,
    .npz, .npy, .h5, .parquet, .csv of files; or shards, read a part at a time: .tar, {000..099}, s3://, https://."""
    path: Path | None = None
    """Of a dataset that is named: its file under another name than the published one, or its folder."""
    cache_gb: float | None = None
    """Of shards: how many GB of what was fetched the cache folder keeps, 10 by default."""
    size: Side | None = None
    """Side to load the images at; by default the dataset's own."""
    split: str | None = None
    """Part of the dataset (train, test), where it has parts."""
    labels: str | None = None
    """Annotations the method may use: a number of images, a share such as 0.024, or a table (.csv, .parquet) with a
    column file or index, and one per factor: words or numbers, empty where unknown."""
    label_seed: Seed = 0
    """Seed of the choice of annotated images."""
    factors: str | None = None
    """Factors to annotate, or columns of the table to take, separated by commas; by default the dataset's factors of
    interest, or all columns."""
    background: str | None = None
    """Colour that see-through parts of your own pictures are laid on: a name or #rrggbb; by default white."""
    channels: Literal[1, 3, 4] | None = None
    """Of your own pictures: 3 (RGB, the default), 1 (grey), 4 (RGB and opacity)."""
    fit: Literal["crop", "pad", "squeeze"] | None = None
    """How your own pictures become square: cropped to the centre (the default), padded, or squeezed."""
    skip_damaged: bool = False
    """Leave out pictures of your own that cannot be used, instead of refusing all."""
    preset: str | None = None
    """Named settings to start from; by default the paper's."""
    out: Folder | None = None
    """Run folder to write; by default runs/METHOD-SOURCE-NUMBER."""
    seed: Seed = 0
    """Seed of every random draw."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """bfloat16 is faster where the hardware computes in it; auto uses it there."""
    resume: bool = False
    """Go on with the run in --out (by default the latest of this method and source)."""
    save_every: Weight = 60.0
    """Seconds between checkpoints."""
    tensorboard: bool = False
    """Also write the log for TensorBoard."""
    keep_checkpoint: bool = False
    """Keep the last checkpoint of the finished run, so that --resume with larger --steps trains on."""
    change: tuple[str, ...] = ()
    """With --resume, what may differ from before: --change learning_rate=1e-4 precision=float32; --change processes."""
    begin_from: Annotated[Folder | None, tyro.conf.arg(name="from")] = None
    """Finished run whose weights to begin with, where names and shapes fit."""


def fit(arguments: Sequence[str]) -> None:
    """Train the method named first, with the options that follow."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: contrafact fit METHOD (--generator NAME-OR-FILE | --data NAME-OR-PATH) [options]")
        print_methods()
        print("\n`contrafact fit METHOD --help` lists a method's options.")
        return
    if arguments[0].startswith("-"):
        raise ValueError(f"name the method first: contrafact fit METHOD {' '.join(arguments)}")
    name = CATALOG.admit(arguments[0])
    options, method = _parse(name, _with_changes(arguments[1:]))
    source = _load_source(name, method.source, options)

    from contrafact.core.run import Run

    with _run_folder(method.name(), options) as folder:
        run = Run(
            folder,
            seed=options.seed,
            device=options.device,
            precision=options.precision,
            resume=options.resume,
            save_every=options.save_every,
            tensorboard=options.tensorboard,
            keep_checkpoint=options.keep_checkpoint,
            change=options.change,
            begin_from=options.begin_from,
        )
        method.fit(source, run)
    if run.is_main:
        _print_next(run.folder)


def _parse(name: str, arguments: Sequence[str]) -> tuple[RunOptions, Any]:
    """Run options and the method with its fields set: the preset's values, then the command line's."""
    preset = _preset_in(arguments)
    if preset is not None and name in CATALOG.own_names():  # a slip is answered at once, before torch is there
        check_preset(name, what_it_declares(name).values.get("presets", ()), preset)
    cls = CATALOG.get(name)
    if preset is not None:
        check_preset(name, tuple(cls.presets), preset)
    _refuse_unfinished(name, cls)
    hidden = _refuse_foreign(name, cls, arguments)
    options = _without(hidden)
    method = cls() if preset is None else cls.preset(preset)
    # Flat options, --seed and --max-shift, not --run.seed and --method.edits.max-shift; groups are titles in the help.
    fields = [("method", Annotated[cls, tyro.conf.arg(name="")]), ("run", options)]
    command = dataclasses.make_dataclass("Fit", fields, frozen=True)
    needs = "--generator" if cls.source == "generator" else "--data"
    presets = ", ".join(shown_presets(tuple(cls.presets))) or "none"
    description = f"{CATALOG.summary(name)}\n\nLearns from {needs}. Presets: {presets}."
    default = command(method=method, run=options(preset=preset))
    unprefixed: Any = Annotated[command, tyro.conf.OmitArgPrefixes]
    parsed = parse(unprefixed, arguments, f"fit {name}", default, description, _with_modules)
    return parsed.run, parsed.method.changed()  # made anew, and checked: the parser made it unchecked


def _with_modules(command: Any) -> Any:
    """The options, and in the method the modules that ``FILE.py:NAME`` names where it takes one of somebody's own."""
    hints = get_type_hints(type(command.method))
    texts = {
        field.name: text
        for field in dataclasses.fields(command.method)
        if is_spelled_out(text := getattr(command.method, field.name))
        and any(map(is_module, get_args(hints[field.name])))
    }
    if not texts:
        return command
    from contrafact.core.own_module import load_module

    modules = {name: load_module(text, command.run.seed) for name, text in texts.items()}
    return dataclasses.replace(command, method=dataclasses.replace(command.method, **modules))


def _refuse_unfinished(name: str, cls: Any) -> None:
    """Refuse a class of somebody's own that cannot be shown as options (ValueError); `contrafact check` says more."""
    if getattr(cls, "source", None) not in ("generator", "images"):
        raise ValueError(f"{name} does not say what it learns from: set source: ClassVar = 'generator', or 'images'")
    settings = flat_fields(cls)
    taken = settings.keys() & {field.name for field in dataclasses.fields(RunOptions)}
    if taken:
        raise ValueError(
            f"{name} has settings that are options of `contrafact fit` itself: {', '.join(sorted(taken))}; call them "
            "something else"
        )
    missing = [n for n, f in settings.items() if f.default is f.default_factory is dataclasses.MISSING]
    if missing:
        raise ValueError(f"{name} has settings without a default: {', '.join(missing)}; give each one")


def _refuse_foreign(name: str, cls: Any, arguments: Sequence[str]) -> frozenset[str]:
    """Options that mean nothing to a method; its help leaves them out.

    Raises:
        ValueError: one of them is given.
    """
    given = {argument.partition("=")[0].replace("_", "-") for argument in arguments if argument.startswith("--")}
    refuse_without(cls, [option for option in cls.without if f"--{option.replace('_', '-')}" in given])

    def among(names: Sequence[str]) -> str:
        spelled = [f"--{_SPELLED.get(option, option).replace('_', '-')}" for option in names]
        return ", ".join(option for option in spelled if {option, f"--no-{option[2:]}"} & given)

    if cls.source == "generator":
        if foreign := among(OF_IMAGES + OF_LABELS):
            raise ValueError(f"{name} learns from a generator: give --generator NAME-OR-FILE, and no {foreign}")
        return frozenset(OF_IMAGES + OF_LABELS)
    if foreign := among(OF_A_GENERATOR):
        raise ValueError(f"{name} learns from images: give --data NAME-OR-PATH, and no {foreign}")
    if cls.labels != "none":
        return frozenset(OF_A_GENERATOR)
    if foreign := among(OF_LABELS):
        raise ValueError(f"{name} takes no labels; leave out {foreign}")
    return frozenset(OF_A_GENERATOR + OF_LABELS)


def _without(hidden: frozenset[str]) -> type[RunOptions]:
    """The run options, those named not to be read or shown."""
    hints = get_type_hints(RunOptions, include_extras=True)
    fields: list[Any] = [
        (field.name, Annotated[hints[field.name], tyro.conf.Suppress], dataclasses.field(default=field.default))
        for field in dataclasses.fields(RunOptions)
        if field.name in hidden
    ]
    return dataclasses.make_dataclass("RunOptions", fields, bases=(RunOptions,), frozen=True)


def _with_changes(arguments: Sequence[str]) -> list[str]:
    """The arguments, every ``--change NAME=VALUE`` said as ``--NAME VALUE`` too, after all others; names remain."""
    rest: list[str] = []
    changes: list[str] = []
    values: list[str] = []
    is_change = False
    for argument in arguments:
        if argument.startswith("--"):
            is_change = argument.partition("=")[0] == "--change"
            if not is_change:
                rest.append(argument)
                continue
            argument = argument.partition("=")[2]
        if not is_change:
            rest.append(argument)
        elif argument:
            name, given, value = argument.partition("=")
            changes.append(name)
            option = f"--{name.replace('_', '-')}"
            if given and value.lower() in ("true", "false"):
                values.append(option if value.lower() == "true" else f"--no-{option[2:]}")
            elif given:
                values += [option, value]
    return [*rest, *values, *(["--change", *changes] if changes else [])]


def _preset_in(arguments: Sequence[str]) -> str | None:
    """Value of ``--preset``: known before the rest is parsed, because it sets the defaults that --help shows."""
    for position, argument in enumerate(arguments):
        if argument == "--preset" and position + 1 < len(arguments):
            return arguments[position + 1]
        if argument.startswith("--preset="):
            return argument.partition("=")[2]
    return None


def _load_source(name: str, kind: str, options: RunOptions) -> Any:
    if kind == "generator":
        if options.generator is None:
            raise ValueError(f"{name} learns from a generator: give --generator NAME-OR-FILE")
        from contrafact.generators.checkpoints import load_generator

        changes = changes_of(options.changes, space=options.space, label=options.of_class)
        return load_generator(options.generator, changes)
    if options.data is None:
        raise ValueError(f"{name} learns from images: give --data NAME-OR-PATH")
    from contrafact.data.load import load_dataset

    return load_dataset(
        options.data,
        size=options.size,
        split=options.split,
        labels=options.labels,
        label_seed=options.label_seed,
        factors=options.factors.split(",") if options.factors else None,
        background=options.background,
        channels=options.channels,
        skip_damaged=options.skip_damaged,
        fit=options.fit,
        path=options.path,
        cache_gb=options.cache_gb,
    )


def _run_folder(name: str, options: RunOptions) -> AbstractContextManager[Path]:
    """The folder asked for, else ``runs/METHOD-SOURCE-NUMBER``: a new one, or when resuming the latest."""
    if options.out is not None:
        return nullcontext(options.out)
    source = Path(options.generator or options.data or "").stem.replace(":", "-")
    return numbered_folder(f"{name}-{source}", latest=options.resume)


def _print_next(folder: Path) -> None:
    from contrafact.core.method import FinishedRun

    run = FinishedRun(folder)
    answer({"folder": str(folder), "artefacts": run.result["artefacts"], "seconds": run.result["seconds"]})
    print(f"{folder}: {', '.join(run.result['artefacts'])} in {run.result['seconds']:.0f} s")
    if not wants_hints():
        return
    print("next:")
    own = run.generator_options()
    where = quoted(folder, *own)
    if run.has("encoder"):
        print(f"  contrafact evaluate {where} --control")
    if run.has("directions") and (run.has("generator") or own):
        print(f"  contrafact traverse {where}")
    elif run.has("generator"):
        print(f"  contrafact fit disco --generator {where} --preset quick")
    print(f"  contrafact report {where}")
