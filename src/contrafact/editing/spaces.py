"""What another program's file leaves open: its edit space, and what its rows are; and where it is converted to."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from contrafact.core.artefact import unbuildable
from contrafact.core.generator import Generator

SPACES = ("z", "w")


def settle_space(
    path: Path,
    program: str,
    likely: str | None,
    generator: Generator | None,
    given: str | None,
    remarks: list[str],
) -> str | None:
    """The edit space of a file's content, or None where nobody says.

    Args:
        path: the file, for messages.
        program: whose it is.
        likely: space that the program works in; None where it may be any.
        generator: the one that the content is for.
        given: what the user says, which wins.
        remarks: what is assumed is added.

    Raises:
        ValueError: no such space, or one that the generator could be edited in, but is not.
    """
    if given is not None:
        if given not in SPACES:
            raise ValueError(f"space is z (prior noise) or w (style-based generators' own), got {given!r}")
        return given
    if generator is None:
        if likely is None:
            remarks.append(
                "it does not say which edit space it belongs to, so any generator of its size takes it; contrafact "
                "convert --space z or w (space=…) says it"
            )
        return likely
    may_be_either = unbuildable(generator) is None and "space" in generator.arguments()
    if likely is not None and likely != generator.space and may_be_either:
        raise ValueError(
            f"{path} ({program}) belongs to the {likely} space, the generator is edited in {generator.space}: load it "
            f'in that space, --set space={likely} ({{"space": "{likely}"}}); or if you know better, contrafact convert '
            f"--space {generator.space} (space=…)"
        )
    if likely is not None and likely != generator.space:
        remarks.append(f"{program} works in {likely}; taken for {generator.space}, the generator's only edit space")
    if likely is None and may_be_either:
        remarks.append(
            f"it does not say which edit space it belongs to; taken for {generator.space}, which the generator is "
            "edited in (contrafact convert --space says it)"
        )
    return generator.space


def looks_layered(array: Tensor, generator: Generator | None) -> bool:
    """Whether an array ``(K, L)`` is of one thing with a row for each style layer, as far as sizes tell."""
    rows, width = array.shape
    if generator is None:
        return width == _PER_LAYER_DIM and rows in _LAYER_COUNTS
    return generator.num_layers > 1 and (rows, width) == (generator.num_layers, generator.latent_dim)


def converted_path(source: str | Path, target: str | Path) -> Path:
    """Where a file is converted to (ValueError for a name that is not ``*.safetensors``, or the source itself)."""
    path = Path(target)
    if path.suffix != ".safetensors":
        raise ValueError(f"the converted file must be called *.safetensors, got {path.name!r}")
    if path.exists() and Path(source).exists() and path.resolve() == Path(source).resolve():
        raise ValueError(f"{path} is the source itself; choose another name, so that the original stays")
    return path


_PER_LAYER_DIM, _LAYER_COUNTS = 512, (8, 10, 12, 14, 16, 18)
"""Layers of StyleGAN generators from 32 to 1024 pixels, whose latents have 512 dimensions."""
