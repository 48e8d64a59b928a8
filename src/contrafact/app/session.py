"""What a page may ask of a generator and its directions, in Python: the facts it begins with, and pictures of states.

Shape suffixes: N states, K style layers, L latent dimensions, J codes, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contrafact.app.again import lines_that_make, prefix_of
from contrafact.app.sketch import SAMPLES, Sketch
from contrafact.app.state import Between, Drawn, Latent, Photo, State, Values
from contrafact.app.survey import GRID, Survey, survey
from contrafact.core.direction_files import load_directions
from contrafact.core.directions import Directions
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator, images_at_once, sample_latents
from contrafact.core.method import load_run
from contrafact.editing.directions import is_own
from contrafact.editing.latents import StoredLatents, edit, load_latents, on_layers
from contrafact.editing.latents import is_own as holds_own_latents
from contrafact.report.subject import Subject, find_subject

LATENTS = "latents.safetensors"
HARD_LIMIT = 6.0
"""Every direction may be moved this far, in standard deviations; and twice its own limit where that is more."""
_LEARNING_SECONDS = 20.0


class Session:
    """A generator, directions that move its latents, and what else a page shows of them.

    Args:
        subject: generator, directions and, if there is one, encoder.
        source: what it was opened with, for the command that gives a picture again: ``run``, ``generator``, ``use``,
            ``changes``, ``truncation``.

    Attributes:
        generator: makes the pictures.
        directions: move the latents.
        encoder: reads the pictures; None where there is none for this generator's images.
        latents: latents known by name, None for none.
        home: file that latents found later are kept in, None to keep them in memory.
        folder: the run's, None without a run.
        named_in: run folder or file that names of directions are written to; None where they are a generator's axes or
            another program's.
        rivals: sessions of other runs that can be compared, by name.
        sketch: small pictures of a slow generator that makes none itself; None until :meth:`learn_sketch`.
    """

    def __init__(self, subject: Subject, source: Mapping[str, Any] | None = None) -> None:
        self.generator: Generator = subject.generator
        self.directions: Directions = subject.directions
        self.kind, self.folder = subject.kind, subject.folder
        self.source = dict(source or {})
        self.latents: StoredLatents | None = None
        self.home: Path | None = None
        self.rivals: dict[str, Session] = {}
        self.sketch: Sketch | None = None
        self.notes: list[str] = []
        self.encoder: Encoder | None = None
        if subject.encoder is not None:
            if tuple(subject.encoder.image_shape) == tuple(self.generator.image_shape):
                self.encoder = subject.encoder.to(self.generator.device).eval()
            else:
                self.notes.append("the run's encoder takes images of another size, so there are no codes")
        use = self.source.get("use")
        home = Path(use) if use is not None else self.folder if self.kind == "direction" else None
        # Another program's file has no place for names.
        self.named_in: Path | None = home if home is not None and is_own(home) else None
        self._on_layers: dict[tuple[int, int], Directions] = {}

    @classmethod
    def open(
        cls,
        run: Path | None = None,
        generator: str | None = None,
        use: Path | None = None,
        *,
        latents: Path | None = None,
        compare: Sequence[Path] = (),
        device: str = "auto",
        truncation: float | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> Session:
        """A session on a run folder; on a generator with directions of a file; or on a generator's own latent axes.

        Args:
            run: run folder.
            generator: name or file of a generator instead of the run's.
            use: run folder or file whose directions to take instead of the run's.
            latents: file of latents known by name; by default the run's own, if it has one.
            compare: other run folders, on generators of the same latent size.
            device: where to work.
            truncation: of the generator instead of its own.
            changes: arguments of the generator that shall differ.

        Raises:
            ValueError: what :func:`~contrafact.report.subject.find_subject` refuses, latents of another generator, or
                a run to compare whose latents are of another size.
        """
        subject = find_subject(run, generator, use, device, truncation, changes)
        source = {"run": run, "generator": generator, "use": use, "changes": changes, "truncation": truncation}
        session = cls(subject, source)
        session.know(latents)
        for folder in compare:
            other = cls(find_subject(folder, None, None, device, truncation), {"run": folder, "truncation": truncation})
            session.add_rival(other)
        return session

    def know(self, file: Path | None = None) -> None:
        """Know latents by name: those of a file, or else of the run's own, which are also where others are kept.

        Args:
            file: file of latents; by default :data:`LATENTS` in the run's folder, if there is a run.

        Raises:
            ValueError: a file that is named and is not one of latents of this generator. If the run's own is not, that
                is a note, and latents found later are kept in memory.
        """
        home = file or (None if self.folder is None else self.folder / LATENTS)
        if home is not None and (file is not None or home.exists()):
            try:
                stored = load_latents(home, self.generator)
            except ValueError as error:
                if file is not None:
                    raise
                self.notes.append(str(error))
                return
            self.latents = stored
            if not holds_own_latents(home):  # another program's file stays as it is
                home = None
        self.home = home

    def add_rival(self, other: Session) -> None:
        """Let another run be compared with this one: states that name it are drawn by it.

        Raises:
            ValueError: its latents are of another size, so that the same noise means nothing to both.
        """
        mine, its = self.generator, other.generator
        if (mine.prior_dim, mine.latent_dim, mine.space) != (its.prior_dim, its.latent_dim, its.space):
            raise ValueError(
                f"{other.title} has {its.latent_dim} latent dimensions of {its.space}, {self.title} has "
                f"{mine.latent_dim} of {mine.space}: runs can be compared on the same latents only"
            )
        name = other.title
        while name in self.rivals or name == self.title:
            name += "'"
        self.rivals[name] = other

    @property
    def generator_name(self) -> str:
        """What the generator is called; one that a run keeps has no name, and is called by what it was trained on."""
        name = self.generator.name
        if self.folder is not None and name == type(self.generator).name:
            name = self.generator.note.get("trained_on") or load_run(self.folder).config["source"]["name"]
        return Path(str(name)).name

    @property
    def title(self) -> str:
        """What the page is headed: the run's folder name, or the generator's."""
        return self.generator.name if self.folder is None else self.folder.resolve().name

    @cached_property
    def survey(self) -> Survey:
        """What each direction does, measured once."""
        return survey(self.generator, self.directions, self.encoder, self.codes if self.encoder is not None else None)

    def facts(self) -> dict[str, Any]:
        """What a page begins with, JSON-ready. The first call measures the directions, which takes a few seconds."""
        generator, surveyed = self.generator, self.survey
        names = [] if surveyed.codes is None else self.code_names
        layers = None if self.directions.layers is None else list(self.directions.layers)
        return {
            "format": 1,
            "title": self.title,
            "generator": self.generator_name,
            "space": generator.space,
            "latent_dim": generator.latent_dim,
            "num_layers": generator.num_layers,
            "image_shape": list(generator.image_shape),
            "engine": "server",
            "truncation": {"value": generator.truncation, "changeable": generator.truncated_in != "nowhere"},
            "seeds": None,
            "unit": "standard deviations",
            "directions": [
                {
                    "number": found.number,
                    "name": self.directions.names[found.number],
                    "kind": self.kind,
                    "group": found.group,
                    "strength": found.strength,
                    "limit": found.limit,
                    "circle": self.directions.is_circle(found.number),
                    "layers": layers,
                    "moves": [list(move) for move in found.moves] if surveyed.codes is not None else None,
                }
                for found in surveyed.directions
            ],
            "codes": None
            if surveyed.codes is None
            else [{"name": n, "low": low, "high": high} for n, (low, high) in zip(names, surveyed.codes, strict=True)],
            "photos": [] if self.latents is None else list(self.latents.names),
            "runs": list(self.rivals),
            "can": [],
            "notes": [*self.notes, *surveyed.notes],
            "command": {"edit": prefix_of(self.source), "python": lines_that_make(self.source, self.kind)},
        }

    @cached_property
    def code_names(self) -> list[str]:
        """A name for each of the encoder's codes: of its factor where codes belong to factors, else ``code 3``."""
        assert self.encoder is not None
        count = self.encoder.code_dim
        named = getattr(self.encoder, "factor_names", None) or getattr(self.encoder, "names", None) or ()
        if not named and self.folder is not None:
            named = load_run(self.folder).annotated_factors
        each = getattr(self.encoder, "factor_dim", 1) if named else 1
        if len(named) * each != count:
            return [f"code {j}" for j in range(count)]
        return [name if each == 1 else f"{name} {k}" for name in named for k in range(each)]

    @torch.no_grad()
    def latent_of(self, latent: Latent, truncation: float | None = None) -> Tensor:
        """Where a state starts, before it is edited: ``(1, L)``, or ``(1, K, L)``.

        Raises:
            ValueError: no latent of that name, numbers of another size, or a truncation the generator does not have.
        """
        generator = self.generator
        if isinstance(latent, Drawn):
            rng = torch.Generator().manual_seed(latent.seed)
            return sample_latents(generator.truncated(truncation), 1, rng)
        if isinstance(latent, Photo):
            if self.latents is None or latent.name not in self.latents.names:
                known = "none" if self.latents is None else ", ".join(self.latents.names[:20])
                raise ValueError(f"there is no latent called {latent.name!r}; known: {known}")
            place = self.latents.names.index(latent.name)
            return self.latents.latents[place : place + 1].to(generator.device)
        if isinstance(latent, Values):
            numbers, size = latent.tensor(), generator.latent_dim
            if len(numbers) == size:
                return numbers[None].to(generator.device)
            if generator.num_layers > 1 and len(numbers) == generator.num_layers * size:
                return numbers.view(1, -1, size).to(generator.device)
            also = f" or {generator.num_layers}·{size}" if generator.num_layers > 1 else ""
            raise ValueError(f"a latent here has {size}{also} numbers, got {len(numbers)}")
        return self._between(latent, truncation)

    def _between(self, latent: Between, truncation: float | None) -> Tensor:
        first, last = (self.latent_of(end, truncation) for end in (latent.first, latent.last))
        if first.ndim != last.ndim:
            first, last = (
                end if end.ndim == 3 else end[:, None].expand(-1, self.generator.num_layers, -1)
                for end in (first, last)
            )
        return self.generator.latent_between(first, last, latent.share)

    def moved(self, state: State) -> Tensor:
        """The latent a state ends at: ``(1, L)``, or ``(1, K, L)``; of this run, whatever run the state names.

        Raises:
            ValueError: what :meth:`latent_of` refuses, no such direction, a magnitude beyond its hard limit, or layers
                the generator does not have.
        """
        for number, magnitude in state.magnitudes:
            if number >= self.directions.num_directions:
                self.directions.index(number)
            if abs(magnitude) > self.hard_limit(number):
                raise ValueError(
                    f"direction {number} can be moved by at most {self.hard_limit(number):g} {self.unit(number)} here, "
                    f"got {magnitude:g}"
                )
        latent = self.latent_of(state.latent, state.truncation)
        directions = self.directions
        if state.layers is not None:
            directions = self.acting_on(state.layers)
        return edit(self.generator, directions, latent, state.magnitudes) if state.magnitudes else latent

    def acting_on(self, layers: tuple[int, int]) -> Directions:
        """The directions on other style layers (ValueError for layers the generator does not have)."""
        found = self._on_layers.get(layers)
        if found is None:
            if len(self._on_layers) >= 64:
                self._on_layers.clear()
            found = self._on_layers[layers] = on_layers(self.directions, layers, self.generator)
        return found

    def unit(self, number: int) -> str:
        """What a direction's magnitudes are in: σ, standard deviations, or rad, where it turns around a circle."""
        return "rad" if self.directions.is_circle(number) else "σ"

    def hard_limit(self, number: int) -> float:
        """How far a direction can be moved at all."""
        return max(HARD_LIMIT, 2 * self._limits.get(number, GRID[0]))

    @cached_property
    def _limits(self) -> dict[int, float]:
        return {found.number: found.limit for found in self.survey.directions}

    @cached_property
    def latent_scale(self) -> float:
        """Length of a standard deviation in the latent space."""
        return self.generator.latent_scale()

    def warnings(self, state: State) -> list[str]:
        """What to say beside a picture: directions that are beyond their limit."""
        session = self.of(state)
        names = session.directions.names
        return [
            f"{names[number]} is beyond {limit:.3g} {session.unit(number)}, where images leave the data"
            for number, magnitude in state.magnitudes
            if abs(magnitude) > (limit := session._limits.get(number, GRID[-1]))
        ]

    def of(self, state: State) -> Session:
        """The session that draws a state: this one, or the run that it names (ValueError if that is not known)."""
        if state.run is None or state.run == self.title:
            return self
        if state.run not in self.rivals:
            raise ValueError(
                f"there is no run called {state.run!r} here; known: {', '.join([self.title, *self.rivals])}"
            )
        return self.rivals[state.run]

    @torch.no_grad()
    def render(self, states: Sequence[State]) -> Tensor:
        """Images ``(N, C, H, W)`` of states, not clamped, on the CPU; those that go together in one call.

        A state alone gives to the byte what ``generator(edit(...))`` gives. Beside others its numbers may differ in the
        last digits, as sums of batches do.

        Raises:
            ValueError: a state that does not fit (:meth:`moved`).
        """
        return self.images([(state, self.of(state).moved(state)) for state in states])

    @torch.no_grad()
    def images(self, moved: Sequence[tuple[State, Tensor]]) -> Tensor:
        """Images ``(N, C, H, W)`` of states whose latents are at hand, as :meth:`render` makes them."""
        groups: dict[tuple[str | None, float | None, int], list[int]] = {}
        for place, (state, latent) in enumerate(moved):
            groups.setdefault((state.run, state.truncation, latent.ndim), []).append(place)
        found: dict[int, Tensor] = {}
        for (_, truncation, _), places in groups.items():
            generator = self.of(moved[places[0]][0]).generator.truncated(truncation)
            latents = torch.cat([moved[place][1] for place in places])
            made = [generator(part) for part in latents.to(generator.device).split(images_at_once(generator))]
            found.update(zip(places, torch.cat(made).float().cpu(), strict=True))
        return torch.stack([found[place] for place in range(len(moved))])

    def learn_sketch(self, side: int, seconds: float) -> None:
        """Learn small pictures in half the time of a whole one, unless the generator makes some on its way.

        Args:
            side: pixels that would be enough.
            seconds: that a whole one takes.
        """
        generator = self.generator
        if generator.preview(self.latent_of(Drawn(0)).to(generator.device), side) is None:
            fewest, most = SAMPLES
            sketch = Sketch.learned(generator, max(fewest, min(most, int(_LEARNING_SECONDS / seconds))))
            self.sketch = None if sketch is None else sketch.within(generator, seconds / 2)

    @torch.no_grad()
    def preview(self, state: State, latent: Tensor, side: int) -> tuple[Tensor | None, bool]:
        """A small image ``(C, h, w)`` of a state's latent, None for none; and whether it is a rough one.

        One that the generator makes on its way is what its layers have; one of :attr:`sketch` is a guess.
        """
        session = self.of(state)
        generator = session.generator.truncated(state.truncation)
        latent = latent.to(generator.device)
        small = generator.preview(latent, side)
        is_rough = small is None
        if small is None and session.sketch is not None:
            small = session.sketch(generator, latent, side)
        return (None if small is None else small[0].float().cpu()), is_rough

    @torch.no_grad()
    def codes(self, images: Tensor) -> Tensor:
        """The encoder's codes ``(N, J)`` of images ``(N, C, H, W)``, on the CPU.

        Raises:
            ValueError: there is no encoder.
        """
        if self.encoder is None:
            raise ValueError("there is no encoder to read the image with")
        codes: Tensor = self.encoder(images.to(self.generator.device).clamp(0, 1))
        return codes.float().cpu()

    def renamed(self) -> None:
        """Read the directions' names again, which somebody has written to the run."""
        if self.named_in is not None:
            self.directions.names = list(load_directions(self.named_in).names)
            self._on_layers.clear()
