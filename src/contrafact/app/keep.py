"""What a page keeps on its machine: names, latents, directions and pictures, in the run's folder and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from contrafact.app.session import Session
from contrafact.app.state import Drawn, Photo, State
from contrafact.core.artefact import save_artefact
from contrafact.core.catalog import slug
from contrafact.core.direction_files import choose, claim_file, name_direction
from contrafact.core.pictures import save_png, to_bytes
from contrafact.editing.latents import StoredLatents, load_latents

FOLDER = "explored"
"""Folder, in the run's or else in the working folder, of what is saved."""


class Keeper:
    """Writes what a page wants to keep.

    Args:
        session: what the page shows.
        folder: where saved files go; by default :data:`FOLDER` in the run's folder, or in the working folder.

    Attributes:
        saved: files written so far, by their name: what a browser may fetch.
    """

    def __init__(self, session: Session, folder: Path | None = None) -> None:
        self.session = session
        self.folder = folder or Path(session.folder or ".", FOLDER)
        self.saved: dict[str, Path] = {}
        self._naming, self._taken = threading.Lock(), set[str]()

    def rename(self, number: int, name: str) -> str:
        """Give a direction a name, in the run or file it comes from, as ``contrafact name`` does; returns the name.

        Raises:
            ValueError: the directions come from no file, or what
                :func:`~contrafact.core.direction_files.name_direction` refuses.
        """
        if self.session.named_in is None:
            raise ValueError(
                "these directions are in no file of contrafact's, which names could be written to: save them first"
            )
        name_direction(self.session.named_in, number, name)
        self.session.renamed()
        return self.session.directions.names[number]

    def directions(self, numbers: list[int], names: Mapping[int, str]) -> Path:
        """Write some directions, under other names if wanted, to a file of their own.

        Raises:
            ValueError: no directions, no such direction, or a name that will not do.
        """
        if not numbers:
            raise ValueError("choose at least one direction to save")
        few = choose(self.session.directions, numbers)
        for place, number in enumerate(numbers):
            if number in names:
                few.rename(place, names[number])
        path = self._fresh("directions", ".safetensors")
        with claim_file(path):
            save_artefact(few, path)
        return self._noted(path)

    def latent(self, state: State, name: str = "") -> Path:
        """Write the latent where a state starts, before its edits, to a file that ``--latents`` takes.

        Raises:
            ValueError: a state that does not fit.
        """
        start = self.session.of(state).latent_of(state.latent, state.truncation)
        called = name.strip() or _called(state)
        path = self._fresh(slug(called)[:40] or "latent", ".safetensors")
        with claim_file(path):
            StoredLatents.of(self.session.of(state).generator, start, [called]).save(path)
        return self._noted(path)

    def png(self, state: State) -> Path:
        """Write a state's picture, at the generator's own size, made alone: to the byte what the command writes.

        Raises:
            ValueError: a state that does not fit, or an image with NaN in it.
        """
        from PIL import Image

        pixels = to_bytes(self.session.render([state]))[0]
        path = self._fresh(slug(_called(state))[:40] or "picture", ".png")
        with claim_file(path):
            save_png(Image.fromarray(pixels), path)
        return self._noted(path)

    def photograph(self, name: str, found: StoredLatents) -> str:
        """Remember a latent found for a picture, in the run's file of latents where there is a run; returns its name.

        Raises:
            ValueError: that file holds latents of another generator, or the run's folder is gone.
        """
        session, home = self.session, self.session.home
        if home is None:
            session.latents, called = _with(session, session.latents, name, found)
            return called
        self.check_run()
        with claim_file(home):
            known = load_latents(home) if home.exists() else None
            if known is not None:
                known.check_fit(session.generator)
            together, called = _with(session, known, name, found)
            together.save(home)
        session.latents = together
        return called

    def check_run(self) -> None:
        """Refuse to keep anything where the run's folder is gone (ValueError)."""
        folder = self.session.folder
        if folder is not None and not folder.is_dir():
            raise ValueError(f"the run's folder {folder} is gone, so nothing can be kept in it")

    def _fresh(self, stem: str, suffix: str) -> Path:
        """A path in the folder that nothing lies at, nor will soon: nothing is written over."""
        self.check_run()
        with self._naming:
            number = 1
            while (path := self.folder / f"{stem}-{number}{suffix}").exists() or path.name in self._taken:
                number += 1
            self._taken.add(path.name)
        return path

    def _noted(self, path: Path) -> Path:
        self.saved[path.name] = path
        return path


def _called(state: State) -> str:
    if isinstance(state.latent, Drawn):
        return f"seed {state.latent.seed}"
    return state.latent.name if isinstance(state.latent, Photo) else "latent"


def _with(session: Session, known: StoredLatents | None, name: str, found: StoredLatents) -> tuple[StoredLatents, str]:
    """Known latents and one more, under a name that none of them has."""
    name = "".join(c for c in name if c.isprintable()).strip()[:80] or "photograph"
    if known is None:
        known_names, latents, targets = [], found.latents, found.targets
    else:
        known_names = known.names
        latents = torch.cat(_alike(known.latents, found.latents.to(known.latents), session.generator.num_layers))
        targets = None
        if known.targets is not None and found.targets is not None:
            targets = torch.cat((known.targets, found.targets))
    called, number = name, 2
    while called in known_names:
        called, number = f"{name} {number}", number + 1
    facts = {**({} if known is None else known.facts), **found.facts}
    facts["psnr"] = [*_said_of_each(known, "psnr"), *_said_of_each(found, "psnr")]
    facts["pictures"] = [*_said_of_each(known, "pictures"), called]
    return StoredLatents.of(session.generator, latents, [*known_names, called], targets, facts), called


def _said_of_each(stored: StoredLatents | None, key: str) -> list[object]:
    """A fact of each latent; None where it is not known."""
    if stored is None:
        return []
    said = stored.facts.get(key)
    return list(said) if isinstance(said, list) and len(said) == len(stored.names) else [None] * len(stored.names)


def _alike(first: Tensor, second: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """Both with a latent for every layer where one of them has that."""
    if first.ndim == second.ndim:
        return first, second
    whole = [x if x.ndim == 3 else x[:, None].expand(-1, layers, -1) for x in (first, second)]
    return whole[0], whole[1]
