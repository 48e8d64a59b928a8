"""A finished run and what it holds: the three artefacts, from its folder."""

from __future__ import annotations

import base64
import io
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from contrafact.core import command, hub, own_generator
from contrafact.core.artefact import (
    Artefact,
    is_from_outside,
    load_artefact,
    save_artefact,
    save_weights,
    unbuildable,
)
from contrafact.core.dataset import FactorDataset, ImageDataset
from contrafact.core.directions import Directions
from contrafact.core.encoder import Encoder
from contrafact.core.files import read_json
from contrafact.core.foreign import Kind, check_fields
from contrafact.core.format_version import check_format_version
from contrafact.core.generator import Generator
from contrafact.core.pictures import enlarge, tile, to_bytes
from contrafact.core.places import find_place
from contrafact.core.run import CONFIG, LOG, RESULT, read_log

if TYPE_CHECKING:
    from contrafact.app.notebook import Explorer
    from contrafact.evaluation.result import Evaluation

ARTEFACT_KINDS: dict[str, type[Encoder] | type[Directions] | type[Generator]] = {
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
    "weights": str | None,
    "given": dict | None,
}
_NO_RUN = "it was damaged or changed by hand; take it from a copy of the run, or run again"


@dataclass(frozen=True)
class Artefacts:
    """What a method yields; the ones it does not are None.

    Attributes:
        encoder: images to codes.
        directions: how to change one factor.
        generator: what a latent looks like.

    >>> from pathlib import Path
    >>> from contrafact.core.directions import GlobalDirections
    >>> made = Artefacts(directions=GlobalDirections.of(torch.eye(3)))
    >>> made.encoder is None, made.save(Path(".")), Path("directions.safetensors").exists()
    (True, ['directions'], True)
    """

    encoder: Encoder | None = None
    directions: Directions | None = None
    generator: Generator | None = None

    def save(self, folder: Path) -> list[str]:
        """Write each artefact to ``<name>.safetensors``.

        Returns:
            Names of what can be read back. Of what cannot be rebuilt from a file (it is built around somebody's own
            module) the weights are written, and it is said how to read them.
        """
        written = []
        for name in ARTEFACT_KINDS:
            module, file = getattr(self, name), folder / f"{name}.safetensors"
            if module is None:
                continue
            why = unbuildable(module) if isinstance(module, Artefact) else f"a {type(module).__name__} is no {name}"
            if why is None:
                save_artefact(module, file)
                written.append(name)
                continue
            save_weights(module, file, why)
            print(
                f"{file} holds the weights of the {name} and not how to build it ({why}); read it with "
                f"load_run({str(folder)!r}, {name}=...), given one that you build",
                file=sys.stderr,
            )
        return written


class FinishedRun:
    """A finished run: ``.encoder(images)``, ``.directions(latent, index, magnitude)``, ``.generator(latent)``.

    Args:
        folder: the run folder.
        generator: the run's generator, for runs on a module of your own, which the folder cannot hold; or as for the
            encoder.
        encoder: the class of the run's encoder, if it is one of your own; or an instance of it, or the module it was
            built around: weights from the folder go into a copy.
        directions: the class of the run's directions, if it is one of your own, or an instance of it.

    Raises:
        ValueError: no run folder, a run that has not finished (the message says how to go on), one whose
            ``config.json`` or ``result.json`` is damaged, or one that a newer version wrote.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.VAE(width=0.1, steps=20, batch_size=8, latent_dim=6).fit(images, "runs/vae")
    >>> run.encoder.code_dim, run.generator.latent_dim, run.has("directions"), run.artefacts().directions
    (6, 6, False, None)
    >>> run.directions
    Traceback (most recent call last):
    ValueError: the vae run in runs/vae yields encoder, generator, but no directions
    >>> run.log[-1]["step"], run.annotated_factors
    (20, ())
    >>> 0 <= run.evaluate("mig", num_train=200, num_test=100).scores()["mig.score"] <= 1
    True
    """

    def __init__(
        self,
        folder: str | Path,
        generator: Generator | type[Generator] | None = None,
        encoder: nn.Module | type[Encoder] | None = None,
        directions: Directions | type[Directions] | None = None,
    ) -> None:
        self.folder = hub.local(folder, "run")
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
        if not all(isinstance(name, str) and name in ARTEFACT_KINDS for name in self.result["artefacts"]):
            raise ValueError(
                f"{result}: 'artefacts' must be among {', '.join(ARTEFACT_KINDS)}, got {self.result['artefacts']}; "
                f"{_NO_RUN}"
            )
        self._own: dict[str, Any] = {"generator": generator, "encoder": encoder, "directions": directions}

    @classmethod
    def holding(
        cls,
        folder: Path,
        artefacts: Artefacts,
        generator: Generator | None = None,
        encoder: nn.Module | None = None,
    ) -> FinishedRun:
        """The run in ``folder``, which has just finished: its artefacts are at hand and need not be read again."""
        run = cls(folder, generator, encoder)
        for name in ARTEFACT_KINDS:
            if (module := getattr(artefacts, name)) is not None:
                run.__dict__[name] = module  # where the cached property keeps it
        return run

    def __repr__(self) -> str:
        artefacts = ", ".join(self.result["artefacts"]) or "nothing"
        source = self.config["source"].get("name", "?")
        return f"FinishedRun({str(self.folder)!r}: {self.config['method']} on {source}, yields {artefacts})"

    def _repr_html_(self) -> str:
        """In a notebook: what the run is, and what its first directions do to one image."""
        facts = escape(repr(self))
        if not (self.has("directions") and self.has("generator")):
            return f"<p>{facts}</p>"
        from PIL import Image

        directions, generator = self.directions, self.generator
        shown = min(len(directions), 6)
        magnitudes = torch.tensor([-3.0, -1.5, 0.0, 1.5, 3.0], device=generator.device)
        index = torch.arange(shown, device=generator.device).repeat_interleave(len(magnitudes))
        latent = generator.sample(1, seed=0).expand(len(index), -1)
        with torch.no_grad():
            images = generator(directions.to(generator.device)(latent, index, magnitudes.repeat(shown)))
        pixels = to_bytes(images.unflatten(0, (shown, len(magnitudes))))
        stream = io.BytesIO()
        Image.fromarray(tile(enlarge(pixels, max(1, 64 // images.shape[-1])), gap=2)).save(stream, format="PNG")
        png, names = base64.b64encode(stream.getvalue()).decode(), escape(", ".join(directions.names[:shown]))
        return f'<p>{facts}</p><img alt="{names}" src="data:image/png;base64,{png}"><p>{names}</p>'

    def evaluate(
        self,
        metrics: str | Sequence[str] | None = None,
        data: ImageDataset | None = None,
        *,
        num_train: int = 10_000,
        num_test: int = 5_000,
        seed: int = 0,
    ) -> Evaluation:
        """Scores of the run's encoder or directions, also noted in its folder: what ``contrafact evaluate`` does.

        Args:
            metrics: names, in a list or separated by commas; by default the usual ones of its kind.
            data: images with factors or labels; by default what the run, or its generator, was trained on.
            num_train: images that metrics are fitted on.
            num_test: held-out images.
            seed: of the sample of images, and of metrics with randomness of their own.

        Raises:
            ValueError: unknown metrics, or nothing known of the images.
        """
        names = [metrics] if isinstance(metrics, str) else metrics
        asked = None if names is None else [part.strip() for name in names for part in name.split(",")]
        # The rooms above are reached by name: this one may not import them.
        evaluate_run = import_module("contrafact.evaluation.run").evaluate_run
        results = dict(evaluate_run(self, data, asked, num_train, num_test, seed))
        evaluation: Evaluation = import_module("contrafact.evaluation.result").Evaluation(results)
        return evaluation

    def report(self, out: str | Path | None = None) -> Path:
        """Write the report, as ``contrafact report`` does; returns its path.

        Args:
            out: the page to write; by default the run's ``report.html``.

        >>> import contrafact as cf
        >>> scene = cf.load_generator("analytic", {"size": 16})
        >>> cf.methods.Random(num_directions=2).fit(scene, "runs/two").report().name
        'report.html'
        """
        data = import_module("contrafact.evaluation.sampling").dataset_of(self)
        factors, images = (data, None) if isinstance(data, FactorDataset) else (None, data)
        path: Path = import_module("contrafact.report.page").write_report(self, factors, out=out, images=images)
        return path

    def explore(self, live: bool = True) -> Explorer:
        """A page with the run's directions as sliders, which a notebook shows in a frame: what ``contrafact explore``
        serves.

        Args:
            live: serve it on this machine; False puts the generator into the page itself, for a kernel that runs on
                another machine than the browser.

        >>> import contrafact as cf
        >>> run = cf.methods.Random(num_directions=2).fit(cf.load_generator("analytic", {"size": 16}), "runs/two")
        >>> page = run.explore()
        >>> page.address.partition(":")[0]
        'http'
        >>> page.stop()
        """
        explorer: Explorer = import_module("contrafact.app.notebook").explore(self, live)
        return explorer

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
        return load_artefact(self._file("encoder"), Encoder, self._own["encoder"]).requires_grad_(False)

    @cached_property
    def directions(self) -> Directions:
        """How to change one factor."""
        return load_artefact(self._file("directions"), Directions, self._own["directions"]).requires_grad_(False)

    @cached_property
    def generator(self) -> Generator:
        """What a latent looks like."""
        given, file = self._own["generator"], self._path("generator")
        if isinstance(given, Generator) and not (file.is_file() and is_from_outside(file)):
            if self.is_on_own_generator:
                own_generator.check(given, self.config["source"], self.folder)
            return given
        return load_artefact(self._file("generator"), Generator, given).requires_grad_(False)

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
        return artefact in self.result["artefacts"] or (
            isinstance(self._own[artefact], nn.Module) and (artefact == "generator" or self._path(artefact).exists())
        )

    def own(self, artefact: str) -> Any:
        """The module or class of somebody's own that was passed for an artefact; None where none was.

        >>> import contrafact as cf
        >>> run = cf.methods.Random(num_directions=2).fit(cf.load_generator("analytic"), "runs/two")
        >>> run.own("encoder") is None, run.own("generator").name
        (True, 'analytic')
        """
        return self._own[artefact]

    def inside(self, name: str) -> FinishedRun:
        """The run in this one's folder ``name``, such as its control: on its generator, with classes of your own.

        Raises:
            ValueError: there is none, or it has not finished.

        >>> import contrafact as cf
        >>> scene = cf.load_generator("analytic")
        >>> run = cf.methods.SeFa(num_directions=2).fit(scene, "runs/two")
        >>> _ = cf.methods.Random(num_directions=2).fit(scene, "runs/two/control")
        >>> run.inside("control").config["method"]
        'random'
        """
        generator, folder = self._own["generator"], self.folder / name
        if not (folder / "generator.safetensors").exists():
            generator = self.generator if self.has("generator") else generator
        elif isinstance(generator, nn.Module):  # this run's, and the one inside has made its own
            generator = type(generator)
        return FinishedRun(folder, generator, self._own["encoder"], self._own["directions"])

    @property
    def is_on_own_generator(self) -> bool:
        """Whether the run was made on a generator that its folder does not hold, or not without its class.

        >>> import contrafact as cf
        >>> module = nn.Sequential(nn.Linear(4, 3 * 8 * 8), nn.Tanh(), nn.Unflatten(1, (3, 8, 8)))
        >>> run = cf.methods.Random(num_directions=2).fit(cf.wrap(module, latent_dim=4), "runs/mine")
        >>> run.is_on_own_generator
        True
        """
        if self.config["source"]["kind"] != "generator":
            return False
        if "generator" not in self.result["artefacts"]:
            return True
        try:
            return is_from_outside(self._path("generator"))
        except ValueError:  # it is damaged, or gone: who reads it will say so
            return False

    def generator_options(self) -> list[str]:
        """What a command on this run takes to be given its generator again; nothing where the folder holds it.

        >>> import contrafact as cf
        >>> run = cf.methods.Random(num_directions=2).fit(cf.load_generator("analytic"), "runs/two")
        >>> run.is_on_own_generator, run.generator_options()  # the folder holds it
        (False, [])
        """
        return own_generator.options(self.config["source"], self.folder) if self.is_on_own_generator else []

    def artefacts(self) -> Artefacts:
        """All that the run yields."""
        return Artefacts(**{name: getattr(self, name) for name in ARTEFACT_KINDS if self.has(name)})

    def _path(self, artefact: str) -> Path:
        return self.folder / f"{artefact}.safetensors"

    def _file(self, artefact: str) -> Path:
        if self.has(artefact):
            return self._path(artefact)
        if self._path(artefact).exists():
            raise ValueError(
                f"{self._path(artefact)} holds the weights of the {artefact} and not how to build it: pass one that "
                f"you build, load_run(folder, {artefact}=...)"
            )
        has = ", ".join(self.result["artefacts"]) or "nothing"
        own = ""
        if artefact == "generator" and self.is_on_own_generator:
            how = own_generator.missing(self.config["source"], self.folder)
            own = f"; it ran on a generator of your own, which you give again: {how}"
        raise ValueError(f"the {self.config['method']} run in {self.folder} yields {has}, but no {artefact}{own}")


def load_run(
    folder: str | Path,
    generator: Generator | type[Generator] | None = None,
    encoder: nn.Module | type[Encoder] | None = None,
    directions: Directions | type[Directions] | None = None,
) -> FinishedRun:
    """Read a finished run.

    A class of your own need not be passed where it is loaded already, or offered by an installed package.

    Args:
        folder: run folder, or one on the Hugging Face Hub: ``hf://org/repo[/folder][@revision]``.
        generator: the run's generator, when it is a module of your own; or its class.
        encoder: the run's encoder's class, when it is your own; an instance of it, or the module it was built around.
        directions: the run's directions' class, when it is your own, or an instance of it.

    Raises:
        ValueError: no run there, or an unfinished one.

    >>> import contrafact as cf
    >>> run = cf.methods.Random(num_directions=2).fit(cf.load_generator("analytic"), "runs/two")
    >>> again = cf.load_run("runs/two")
    >>> torch.equal(again.directions.vectors(), run.directions.vectors())
    True
    """
    return FinishedRun(folder, generator, encoder, directions)
