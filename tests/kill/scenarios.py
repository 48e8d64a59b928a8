"""What is started and ended: every family of methods, and every command that works on a finished run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.kill.process import Command

GENERATOR, PHOTOGRAPH, RUN = "tiny.safetensors", "photograph.png", "run"


@dataclass(frozen=True)
class Scenario:
    """A command whose folder must end the same however often it is ended.

    Attributes:
        name: what it is called in the table.
        family: what it stands for.
        arguments: of ``contrafact``, as first started.
        prepare: writes what the command needs into its folder.
        resumes: whether going on takes ``--resume``; else the same command does.
        does: what is done instead of a command.
    """

    name: str
    family: str
    arguments: tuple[str, ...]
    prepare: Callable[[], None] = lambda: None
    resumes: bool = True
    does: Command | None = None

    def command(self, again: bool = False) -> Command:
        """The command, as first started or to go on with."""
        if self.does is not None:
            return self.does
        arguments = [*self.arguments, *(["--resume"] if again and self.resumes else [])]
        return lambda: contrafact(*arguments)


def contrafact(*arguments: str) -> int:
    """The command line, logging every second step, so that a tiny run has checkpoints, and with our own recipes."""
    import contrafact.bench.recipe as recipe
    from contrafact.cli import main
    from contrafact.core.run import Run

    defaults = Run.__init__.__kwdefaults__
    assert defaults is not None
    defaults |= {"log_every": 2, "progress": False, "save_every": 0.0}
    recipe.recipe_folder = lambda: Path(__file__).parent / "recipes"
    sys.argv = ["contrafact", *arguments]
    return main(arguments)


def prepare_generator() -> None:
    """A generator that draws in no time."""
    from contrafact.core.artefact import save_artefact
    from contrafact.generators.analytic import Analytic

    save_artefact(Analytic.tiny(), GENERATOR)


def prepare_photograph() -> None:
    """A generator, and a picture to look for with it."""
    import torch

    from contrafact.core.pictures import save_png, to_bytes
    from contrafact.generators.checkpoints import load_generator

    prepare_generator()
    generator = load_generator(GENERATOR)
    from PIL import Image

    pixels = to_bytes(generator(generator.sample(1, torch.Generator().manual_seed(5))))[0]
    save_png(Image.fromarray(pixels), PHOTOGRAPH)


def prepare_decoder() -> None:
    """A generator that says which images it was trained on, so that a table can score what is found in it."""
    assert contrafact("fit", "vae", *TINY["vae"], "--out", "vae") == 0


def prepare_run() -> None:
    """A finished run with directions, an encoder and a generator."""
    prepare_generator()
    assert contrafact("fit", "disco", *TINY["disco"], "--out", RUN) == 0


def prepare_scored_run() -> None:
    """A finished run with scores, for a report with all its parts."""
    prepare_run()
    assert contrafact("evaluate", *EVALUATION) == 0


def keep_what_a_page_found() -> int:
    """What a page writes into its run: a direction's name, and two photographs' latents, unless they are there."""
    try:
        _keep()
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError) as error:  # as the server tells the page
        print(f"contrafact: {error}", file=sys.stderr)
        return 2
    return 0


def _keep() -> None:
    from contrafact.app.keep import Keeper
    from contrafact.app.session import Session
    from contrafact.editing.latents import StoredLatents

    session = Session.open(Path(RUN), device="cpu")
    keeper = Keeper(session)
    keeper.rename(1, "rotate")
    for seed, name in enumerate(("ann", "bob")):
        if session.latents is None or name not in session.latents.names:
            found = StoredLatents.of(session.generator, session.generator.sample(1, seed=seed), [name])
            keeper.photograph(name, found)


ON_GENERATOR = ("--generator", GENERATOR, "--device", "cpu", "--precision", "float32", "--save-every", "0")
ON_IMAGES = ("--data", "shapes3d", "--size", "16", "--device", "cpu", "--precision", "float32", "--save-every", "0")
LABELLED = (*ON_IMAGES, "--labels", "20", "--factors", "shape")
EVALUATION = (RUN, "--data", "shapes3d", "--num-train", "60", "--num-test", "30", "--control")

_LATENT = "--num-images 12 --width 0.1 --batch-size 4 --steps 6"
TINY = {
    name: tuple(text.split()) + source
    for name, text, source in (
        (
            "disco",
            "--num-directions 3 --code-dim 3 --encoder-width 0.1 --steps 12 --num-queries 3 --num-positives 3 "
            "--num-negatives 4",
            ON_GENERATOR,
        ),
        ("latentclr", "--num-directions 3 --batch-size 4 --steps 12", ON_GENERATOR),
        ("sefa", "--num-directions 3", ON_GENERATOR),
        ("ganspace", "--num-directions 3 --num-samples 64 --batch-size 24", ON_GENERATOR),
        ("vae", "--width 0.1 --batch-size 4 --steps 12", ON_IMAGES),
        ("factor-vae", "--width 0.1 --batch-size 4 --steps 12", ON_IMAGES),
        ("infogan", "--preset tiny --width 0.1 --batch-size 10 --steps 8", ON_IMAGES),
        ("cd-gan", "--preset tiny --width 0.1 --batch-size 4 --steps 8 --unlabelled 0", LABELLED),
        ("stylegan2", "--preset tiny --batch-size 4 --steps 8", ON_IMAGES),
        ("lord", f"{_LATENT} --encoder-steps 6 --factor-dim 2 --residual-dim 3", LABELLED),
        ("zerodim", f"{_LATENT} --amortization-steps 4 --tuning-steps 4 --residual-dim 3", LABELLED),
        ("contralord", f"--preset tiny {_LATENT} --encoder-width 0.1 --encoder-steps 6", LABELLED),
        ("simclr", "--encoder conv --width 0.1 --batch-size 4 --steps 12 --warmup-steps 2", ON_IMAGES),
        ("sub-infomax", "--encoder conv --width 0.1 --batch-size 4 --steps 12 --warmup-steps 2", ON_IMAGES),
    )
}
_FAMILIES = {
    "disco": "directions and encoder, one loop",
    "latentclr": "directions, one loop",
    "sefa": "directions in one shot",
    "ganspace": "directions from a sample",
    "vae": "autoencoder",
    "factor-vae": "autoencoder with a critic",
    "infogan": "GAN",
    "cd-gan": "GAN with a contrastive encoder",
    "stylegan2": "style-based GAN",
    "lord": "latent optimisation, two stages",
    "zerodim": "latent optimisation, three stages",
    "contralord": "latent optimisation, two loops",
    "simclr": "contrastive encoder",
    "sub-infomax": "contrastive encoder in parts",
}

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        *(
            Scenario(
                f"fit {name}",
                _FAMILIES[name],
                ("fit", name, *options, "--out", RUN),
                prepare_generator if "--generator" in options else lambda: None,
            )
            for name, options in TINY.items()
        ),
        *(
            Scenario(arguments[0], family, arguments, prepare_run, resumes=False)
            for family, arguments in (
                ("pictures of a run", ("traverse", RUN, "--samples", "1", "--frames", "3")),
                ("a map of two directions", ("plane", RUN, "0", "1", "--steps", "5", "--pictures", "3")),
                ("edited pictures", ("edit", RUN, "--latent", "0", "--direction", "0", "--by", "2")),
                ("directions in one file", ("export", RUN)),
                ("a folder to pass on", ("share", RUN, "--to", "passed-on")),
                ("a generator in one file", ("convert", GENERATOR, "copy.safetensors")),
                ("a generator in one page", ("explore", RUN, "--export", "page.html")),
            )
        ),
        Scenario("evaluate", "scores, with a control", ("evaluate", *EVALUATION), prepare_run, resumes=False),
        Scenario(
            "report",
            "page and figures",
            ("report", RUN, "--data", "shapes3d", "--samples", "1"),
            prepare_scored_run,
            resumes=False,
        ),
        Scenario("name", "one file replaced", ("name", RUN, "1", "rotate"), prepare_run, resumes=False),
        Scenario("explore", "what a page keeps", (), prepare_run, resumes=False, does=keep_what_a_page_found),
        Scenario(
            "invert",
            "an encoder, then a search",
            (
                *("invert", PHOTOGRAPH, "--generator", GENERATOR, "--out", "inverted", "--device", "cpu"),
                *("--train-encoder", "6", "--steps", "4", "--starts", "2", "--network", "none"),
            ),
            prepare_photograph,
            resumes=False,
        ),
        Scenario(
            "bench",
            "a table of two cells",
            ("bench", "two-cells", "--seeds", "1", "--out", "table", "--device", "cpu"),
            prepare_decoder,
            resumes=False,
        ),
    )
}
