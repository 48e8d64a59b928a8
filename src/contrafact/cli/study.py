"""Make a user study of runs' directions, serve it to its participants, and score its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from contrafact.cli._parse import Assignments, changes_of, parse
from contrafact.cli._types import Folder
from contrafact.core.command import quoted
from contrafact.core.ranges import Count, Panels, Port, Positive, Seed, Share, Size


@dataclass(frozen=True)
class Options:
    """make RUN...: pictures without names and a page to answer on for each participant; serve STUDY: those pages at an
    address each, until Ctrl-C; score STUDY: the answers."""

    what: Positional[Literal["make", "serve", "score"]]
    """Make a study, serve or score one."""
    folders: Positional[tuple[Folder, ...]]
    """make: run folders, on one generator or several. serve: the study. score: it, or a folder of files sent back."""
    out: Folder = Path("study")
    """make: folder to write."""
    key: Path | None = None
    """score: the study's key.json, where it is not in the folder."""
    generator: tuple[str, ...] = ()
    """make: generators of runs on modules of your own, which folders cannot hold: FILE.py:FUNCTION."""
    changes: Assignments = ()
    """make: an argument of these generators: depth=3. May be repeated."""
    directions: tuple[str, ...] = ()
    """make: names or numbers of the directions, the same for every run; by default all."""
    participants: Count = 10
    """make: how many people take part."""
    images: Panels = 3
    """make: images in each picture."""
    pool: Size = 100
    """make: images they are drawn from."""
    magnitude: Positive | None = None
    """make: how far images move left and right, in standard deviations of the latent space; by default each generator's
    own span of figures: 2.5, and 8 in a diffusion model's h."""
    truncation: Share | None = None
    """make: pulls images towards the mean: 1 leaves them, 0 is the mean; by default the generator's own."""
    seed: Seed = 0
    """make: seed of the images and of everybody's order."""
    port: Port = 0
    """serve: port to listen on; 0 takes a free one."""
    host: str = "127.0.0.1"
    """serve: address to listen on; another than this machine's own needs --expose-to-network."""
    expose_to_network: bool = False
    """serve: let other machines in: whoever learns a participant's address sees their pictures and answers for them."""


def study(arguments: Sequence[str]) -> None:
    """Write the study, or print its score."""
    options = parse(Options, arguments, "study")
    if options.what == "score":
        from contrafact.report.study_score import score_study, study_text

        if len(options.folders) != 1:
            raise ValueError(f"name one folder of answers to score, got {len(options.folders)}")
        print(study_text(score_study(options.folders[0], options.key)))
        return
    if options.what == "serve":
        _serve(options)
        return
    from contrafact.core.claim import hold
    from contrafact.report.comparison import contenders_of
    from contrafact.report.study import StudySettings, make_study
    from contrafact.report.subject import find_runs

    settings = StudySettings(
        participants=options.participants,
        images=options.images,
        pool=options.pool,
        magnitude=options.magnitude,
        seed=options.seed,
        truncation=options.truncation,
    )
    contenders = contenders_of(find_runs(options.folders, options.generator, changes_of(options.changes)))
    hold(options.out)
    make_study(contenders, options.out, [options.directions for _ in contenders], settings)
    print(f"wrote {options.out}: a folder for each of {options.participants} participants; key.json says what is what")
    print(f"next, once answers are in:\n  contrafact study score {quoted(options.out)}")


def _serve(options: Options) -> None:
    from contrafact.app.answers import Answers, study_application
    from contrafact.app.door import Door
    from contrafact.app.listen import check_host, serve_until_stopped

    if len(options.folders) != 1:
        raise ValueError(f"name one study to serve, got {len(options.folders)}")
    check_host(options.host, options.expose_to_network)
    answers = Answers(options.folders[0])

    def ready(base: str, door: Door) -> None:
        print("give each participant one of these addresses:")
        for name, token in answers.tokens.items():
            print(f"  {name}  {base}/study/{token}/")
        print("Ctrl-C ends it", flush=True)

    serve_until_stopped(
        lambda door: study_application(answers, door),
        ready,
        options.host,
        options.port,
        options.expose_to_network,
        ("/study/",),
    )
    print(f"next:\n  contrafact study score {quoted(options.folders[0])}")
