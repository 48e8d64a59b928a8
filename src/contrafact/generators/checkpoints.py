"""Finding generators: shipped ones by name, analytic scenes, files and run folders, other programs' checkpoints.

An architecture's file may define ``read(content, settings) -> Generator | None``: given what a foreign checkpoint holds
(see :func:`contrafact.generators._stored.read_stored`) it builds the generator, or returns None if the checkpoint is
not of its kind. What the weights do not say it asks of :class:`contrafact.generators._settings.Settings`. Nothing else
has to know about it.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contrafact.core.artefact import load_artefact, save_artefact, unbuildable
from contrafact.core.catalog import unknown_name_message
from contrafact.core.claim import claim
from contrafact.core.describe import open_safetensors
from contrafact.core.generator import Generator
from contrafact.core.hub import fetch, is_hub
from contrafact.core.method import load_run
from contrafact.core.run import CONFIG, RESULT
from contrafact.generators._foreign import read_foreign
from contrafact.generators._installed import INSTALLED, find_installed
from contrafact.generators._own import build_own, is_own
from contrafact.generators._pipelines import is_pipeline, read_pipeline
from contrafact.generators._sampled import Sampled
from contrafact.generators._style_based import StyleBased, complete
from contrafact.generators.analytic import Analytic
from contrafact.generators.vae import VAE

WEIGHTS = Path(__file__).parent / "weights"

_ALSO_CALLED = {"shapes3d-vae": "shapes3d", "dsprites-vae": "dsprites"}
"""Names that say what a shipped generator is, where another one makes the same images."""

_ANALYTIC: dict[str, dict[str, Any]] = {
    "analytic": {"scene": "sprite"},
    "analytic:sprite": {"scene": "sprite"},
    "analytic:sprite:warped": {"scene": "sprite", "warp": True},
    "analytic:room": {"scene": "room"},
    "analytic:room:warped": {"scene": "room", "warp": True},
}


def shipped_names() -> list[str]:
    """Names of the trained generators that come with the package."""
    return sorted(p.stem for p in WEIGHTS.glob("*.safetensors"))


def generator_names() -> list[str]:
    """Every name :func:`load_generator` knows: shipped generators, those in other packages, analytic scenes."""
    return [*shipped_names(), *INSTALLED, *_ANALYTIC]


def load_generator(source: str | Path, changes: Mapping[str, Any] | None = None) -> Generator:
    """A frozen generator, by name or from a file.

    Args:
        source: a shipped generator (``shapes3d``), one in another package (``faces``), an analytic scene
            (``analytic:room``), a run folder whose run has a generator, a file written by ``contrafact convert`` or a
            run, or another program's checkpoint: StyleGAN and StyleGAN2 (rosinality's, NVIDIA's, genforce's),
            StyleGAN3, R3GAN, FastGAN, BigGAN, ProgGAN, SNGAN, Glow, DCGAN; a pipeline of the diffusers library, or its
            VAE, by its folder. A name wins over a file of the same name;
            write ``./shapes3d`` for the file. Or one of your own (:func:`contrafact.generators._own.build_own`):
            ``FILE.py:NAME``, or the name that an installed package gives it. Or a file or run of the Hugging Face Hub:
            ``hf://org/repo[/file][@revision]``.
        changes: constructor arguments that shall differ from the file's: ``{"label": 207}`` fixes a conditional
            generator to a class, ``{"space": "z"}`` edits StyleGAN2's prior noise, ``{"size": 128}`` sets Glow's side.
            So are settings given that another program's file does not hold: ``{"clamp": 256, "mapping_lr": 0.01}``;
            ``{"part": "g"}`` chooses among the networks of such a file (a running average comes first otherwise), and
            of a pipeline ``{"steps": 20, "guidance": 5.0, "prompt": "a cat", "scheduler": "ddim", "space": "prompt"}``.

    Returns:
        The generator in evaluation mode, without gradients to its weights, ``name`` set to ``source`` (with the
        commit, of one on the Hub).

    Warns:
        UserWarning: another program's checkpoint does not say all about its network, nor does a file beside it; the
            message names what was assumed, which is also in ``note["assumed"]``.

    Raises:
        ValueError: unknown name (the message lists the known ones), a file that cannot be read as a generator, or a
            change that the architecture does not know or whose weights would be others.

    >>> load_generator("analytic:room").image_shape
    (3, 64, 64)
    >>> load_generator("analytic", {"size": 32}).image_shape
    (3, 32, 32)
    """
    if not isinstance(source, str | Path):
        raise ValueError(
            f"load_generator takes a name or a path, got {type(source).__name__}; a torch module of your own becomes a "
            "generator by contrafact.wrap(module, latent_dim)"
        )
    left = dict(changes or {})
    fetched = fetch(source, "generator") if is_hub(source) else None
    generator = _load(source if fetched is None else fetched.path, left)
    generator = changed(generator, left)
    # With the commit in it the name means the same for ever, wherever it is written down.
    generator.name = str(source if fetched is None else fetched.name)
    return generator.freeze()


def changed(generator: Generator, changes: Mapping[str, Any]) -> Generator:
    """A frozen generator of the same weights whose constructor arguments differ; itself where none do.

    Raises:
        ValueError: an argument that the architecture does not know or whose weights would be others.
    """
    if not changes:
        return generator
    cls, arguments = type(generator), generator.arguments()
    known = {*arguments, *inspect.signature(cls).parameters}
    for name in changes:
        if name not in known:
            raise ValueError(unknown_name_message(f"{cls.__name__} argument", name, sorted(known)))
    try:
        again = cls(**{**arguments, **changes})
    except TypeError as error:
        raise ValueError(f"{cls.__name__} cannot be built with {dict(changes)}: {error}") from error
    try:
        again.load_state_dict(generator.state_dict())
    except RuntimeError as error:
        raise ValueError(
            f"the weights of this {cls.__name__} do not fit {dict(changes)}: they belong to {arguments}"
        ) from error
    again.note = {**generator.note}
    if assumed := {name: value for name, value in changes.items() if name in again.note.get("assumed", {})}:
        again.note["assumed"] = {n: v for n, v in again.note["assumed"].items() if n not in assumed}
        again.note["given"] = {**again.note.get("given", {}), **assumed}
        if "w_avg" in again.note and isinstance(again, StyleBased):
            complete(again, ["w_avg"])  # the mapping network is another now
    again.name = generator.name
    return again.freeze()


def _load(source: str | Path, changes: dict[str, Any]) -> Generator:
    """The generator as its file has it; what a reader of it used of ``changes`` is taken out of them."""
    path = Path(source)
    if isinstance(source, str):
        name = source.strip().lower().replace("_", "-")
        name = _ALSO_CALLED.get(name, name)
        if name in _ANALYTIC:
            return Analytic(**_ANALYTIC[name])
        if name in shipped_names():
            return load_artefact(WEIGHTS / f"{name}.safetensors", Generator)
        if name in INSTALLED:
            path, note = find_installed(name)
            generator = read_foreign(path, changes)
            generator.note = {**generator.note, **note}
            return generator
        if is_own(source):
            return build_own(source, changes)
    if not str(source).strip() or not path.exists():
        raise ValueError(_unknown(str(source)))
    if is_pipeline(path):
        return read_pipeline(path, changes)
    if path.is_dir() and ((path / RESULT).exists() or ((path / CONFIG).exists() and not _holds_weights(path))):
        return load_run(path).generator
    if path.is_file() and _is_ours(path):
        return load_artefact(path, Generator)
    beside = path.parent / CONFIG
    return read_foreign(path.parent if path.name == "pytorch_model.bin" and beside.is_file() else path, changes)


def _unknown(name: str) -> str:
    known = generator_names()
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return (
        f"unknown generator {name!r}; {hint}known: {', '.join(known)}; or the path of a checkpoint or a run folder "
        "(there is no file or folder of that name here)"
    )


def _holds_weights(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("pytorch_model.bin", "model.safetensors"))


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(9)[8:] != b"{":
            return False
    return open_safetensors(path, "a safetensors file")[0].get("format") == "contrafact"


def convert(source: str | Path, target: str | Path, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Write any generator that can be read to one of contrafact's own files.

    Args:
        source: what :func:`load_generator` takes.
        target: ``.safetensors`` file to write; its header holds the architecture, its arguments and the hash of the
            source.
        changes: as for :func:`load_generator`.

    Returns:
        The description of what was written, as :func:`describe` gives it.

    Raises:
        ValueError: unreadable source, a target that is no ``.safetensors`` name or is the source itself.
    """
    target = Path(target)
    if target.suffix != ".safetensors":
        raise ValueError(f"the converted file must be called *.safetensors, got {target.name!r}")
    if target.exists() and Path(source).exists() and target.resolve() == Path(source).resolve():
        raise ValueError(f"{target} is the source itself; choose another name, so that the original stays")
    generator = load_generator(source, changes)
    with claim(target):
        save_artefact(generator, target)
    return describe(target)


def describe(source: str | Path | Generator) -> dict[str, Any]:
    """What a generator is: the lines of ``contrafact show generator``.

    Args:
        source: a generator, or what :func:`load_generator` takes.

    Returns:
        ``architecture``, ``parameters`` (how many), ``latent_dim``, ``prior_dim``, ``space`` (it is edited in),
        ``spaces`` (it could be edited in: ``w+`` is W with a latent per layer), ``num_layers`` (that take the latent
        separately), ``num_classes``, ``image_shape``, ``layers`` (names ``features`` accepts), ``arguments`` (None for
        a wrapped module), ``assumed`` (of them, what another program's file did not say; empty where nothing was) and
        ``note`` (training data, scores, where it was read from).
    """
    generator = source if isinstance(source, Generator) else load_generator(source)
    arguments = generator.arguments() if unbuildable(generator) is None else None
    spaces = [generator.space, *([f"{generator.space}+"] if generator.num_layers > 1 else [])]
    if isinstance(generator, StyleBased):
        spaces = ["z", "z+", "w", "w+"]
    elif isinstance(generator, Sampled):
        spaces = list(generator.spaces)
    elif isinstance(generator, VAE) and generator.flow is not None:
        spaces = ["z", "w"]
    return {
        "name": generator.name,
        "architecture": type(generator).__name__,
        "parameters": sum(p.numel() for p in generator.parameters()),
        "latent_dim": generator.latent_dim,
        "prior_dim": generator.prior_dim,
        "space": generator.space,
        "spaces": spaces,
        "num_layers": generator.num_layers,
        "num_classes": generator.num_classes,
        "image_shape": list(generator.image_shape),
        "layers": list(generator.layer_names),
        "arguments": arguments,
        "assumed": generator.note.get("assumed", {}),
        "note": generator.note,
    }
