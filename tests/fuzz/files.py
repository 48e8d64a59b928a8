"""Good files by reader, and one bad file made of them by a number."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import pytest

from tests.fuzz.mutate import Bad, mutate
from tests.fuzz.targets import Target

Corpus = Mapping[str, Sequence[Path]]
"""By reader: folders of good files, each one a thing the reader takes."""


@dataclass(frozen=True)
class Made:
    """How a folder of files was made.

    Attributes:
        recipe: what was done to which file.
        must_be_refused: whether taking it for good is a fault (it leads outside its folder).
    """

    recipe: str
    must_be_refused: bool


def write_corpus(targets: Iterable[Target], folder: Path) -> dict[str, list[Path]]:
    """Write every reader's good files, and read each once: it must be good, and late imports happen now."""
    PIL.Image.init()
    corpus = {}
    for target in targets:
        places = []
        for variant, write in target.variants.items():
            place = folder / target.name.replace(":", "-") / variant
            place.mkdir(parents=True)
            with pytest.MonkeyPatch.context() as patch:  # archives and headers hold the time they were made at
                patch.setattr(time, "time", lambda: 1_767_225_600.0)
                patch.setattr(time, "asctime", lambda *moment: "Thu Jan  1 00:00:00 2026")
                write(place)
            if target.warm:
                target.read(place)
            places.append(place)
        corpus[target.name] = places
    return corpus


def lay_out(target: Target, seed: int, corpus: Corpus, folder: Path) -> Made:
    """The ``seed``-th bad file of ``target``, and good ones beside it, in ``folder``; the same ones every time."""
    rng = random.Random(f"{target.name}:{seed}")
    source = rng.choice(corpus[target.name])
    # Links cost nothing, and nobody writes into these files; what is changed is written anew.
    shutil.copytree(source, folder, copy_function=os.link)
    files = sorted(path for path in source.rglob("*") if path.is_file())
    kinds = sorted({file.suffix for file in files})
    kind = rng.choice(kinds)  # one listing among hundreds of pictures is as likely as they are
    victim = rng.choice([file for file in files if file.suffix == kind])
    others = [path for places in corpus.values() for place in places[:1] for path in sorted(place.iterdir())[:2]]
    bad = mutate(rng, victim, [path for path in others if path.is_file()])
    place = folder / victim.relative_to(source)
    _replace(place, bad)
    return Made(f"{victim.relative_to(source.parent)}: {bad.recipe}", bad.must_be_refused)


def _replace(place: Path, bad: Bad) -> None:
    place.unlink()
    if bad.content is None:
        place.mkdir()
    else:
        place.write_bytes(bad.content)
