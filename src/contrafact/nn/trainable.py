"""The encoder and the directions a method trains: fresh ones of a chosen kind, or ones from a file to go on with."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from contrafact.core.artefact import load_artefact
from contrafact.core.catalog import unknown_name_message
from contrafact.core.directions import CurvedDirections, Directions, GlobalDirections
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator
from contrafact.core.run import Run
from contrafact.nn.encoders import SLOPE, ConvEncoder, LocatelloEncoder
from contrafact.nn.own_encoder import OwnEncoder
from contrafact.nn.perceptron import MLPEncoder
from contrafact.nn.resnet import Depth, ResNetEncoder, Stem

EncoderKind = Literal["conv", "locatello", "mlp", "resnet18", "resnet34", "resnet50"]
EncoderChoice = EncoderKind | nn.Module
NavigatorKind = Literal["unit", "orthonormal", "curved"]
OWN, OWN_MIXED = "own", "own_mixed"


_LIGHT: dict[str, type[ConvEncoder | LocatelloEncoder | MLPEncoder]] = {
    "conv": ConvEncoder,
    "locatello": LocatelloEncoder,
    "mlp": MLPEncoder,
}
_DEPTHS: dict[str, Depth] = {"resnet18": 18, "resnet34": 34, "resnet50": 50}


def fresh_encoder(
    kind: EncoderChoice,
    image_shape: tuple[int, int, int],
    code_dim: int | None = None,
    width: float = 1.0,
    stem: Stem = "auto",
    slope: float = SLOPE,
) -> Encoder:
    """An encoder with new weights, or a copy of somebody's own module.

    Args:
        kind: DisCo's encoder (``conv``), the small one of Locatello et al. 2019, a perceptron on the pixels (``mlp``,
            for images of 8 to 16 pixels), or a ResNet; or a module that turns images into codes ``(N, D)``, which keeps
            its weights and has no use for width and stem.
        image_shape: ``(C, H, W)``.
        code_dim: J; None for as many as the network has features: 512 (ResNet-18, -34), 2048 (ResNet-50), 256 (the
            others), times the width.
        width: multiplies every channel count.
        stem: a ResNet's first layers, see :class:`~contrafact.nn.resnet.ResNetEncoder`.
        slope: of the leaky ReLU of ``conv``.

    Raises:
        ValueError: an unknown kind, or arguments the network refuses.
    """
    if isinstance(kind, nn.Module):
        return OwnEncoder(kind, image_shape, code_dim)
    if kind == "conv":
        return ConvEncoder(image_shape, _light_codes(code_dim, width), width, slope=slope)
    if kind in _LIGHT:
        return _LIGHT[kind](image_shape, _light_codes(code_dim, width), width)
    if kind not in _DEPTHS:
        raise ValueError(unknown_name_message("encoder", kind, [*_LIGHT, *_DEPTHS]))
    return ResNetEncoder(image_shape, code_dim, _DEPTHS[kind], stem, width)


def _light_codes(code_dim: int | None, width: float) -> int:
    return max(8, round(256 * width)) if code_dim is None else code_dim


def trainable_encoder(
    run: Run,
    image_shape: tuple[int, int, int],
    code_dim: int | None,
    kind: EncoderChoice = "conv",
    width: float = 1.0,
    pretrained: str | None = None,
    slope: float = SLOPE,
) -> Encoder:
    """An encoder on the run's device: seeded by the run, or read from the file ``pretrained``.

    Args:
        run: supplies seed and device.
        image_shape: ``(C, H, W)``.
        code_dim: J; None for as many as the network has features, as in :func:`fresh_encoder`.
        kind: a light convolutional encoder, a ResNet of full width, or somebody's own module.
        width: multiplies a light encoder's channel counts.
        pretrained: an ``encoder.safetensors``; kind and width are then the file's. One that was built around a module
            needs that module as ``kind``.
        slope: of the leaky ReLU of a fresh ``conv``.

    Raises:
        ValueError: the file's encoder takes other images or gives another number of codes.
    """
    if pretrained is not None:
        encoder = load_artefact(pretrained, Encoder, kind if isinstance(kind, nn.Module) else None)
        if encoder.image_shape != tuple(image_shape) or code_dim not in (None, encoder.code_dim):
            raise ValueError(
                f"the pretrained encoder takes images {encoder.image_shape} to {encoder.code_dim} codes; expected "
                f"images {tuple(image_shape)} and code_dim {code_dim}: use a fitting one, or set code_dim"
            )
        return encoder.to(run.device)
    with run.seeded_init("encoder"):
        chosen = width if kind in _LIGHT else 1.0
        return fresh_encoder(kind, image_shape, code_dim, chosen, slope=slope).to(run.device)


def _given(generator: Generator, initial: str, num_directions: int) -> Directions:
    """Directions of a file, or the generator's own, as they are or entangled (DisCo's Table 12)."""
    if initial not in (OWN, OWN_MIXED):
        return load_artefact(initial, Directions)
    own = generator.own_directions()
    if num_directions > own.num_directions:
        return own  # refused, as those of a file are
    with torch.no_grad():
        every = torch.arange(num_directions)
        vectors = own.shift(torch.zeros(num_directions, generator.edit_dim), every, torch.ones(num_directions))
    mixed = vectors if initial == OWN else vectors + vectors.roll(-1, dims=0)
    return GlobalDirections.of(mixed, own.scale)


def trainable_directions(
    run: Run,
    generator: Generator,
    num_directions: int,
    kind: NavigatorKind = "unit",
    initial: str | None = None,
    layers: tuple[int | None, int | None] = (None, None),
) -> Directions:
    """Directions in a generator's edit space, on the run's device: drawn at random, or read from the file ``initial``.

    Args:
        run: supplies seed and device.
        generator: whose latents they move.
        num_directions: D.
        kind: vectors of unit length, an orthonormal frame, or a three-layer network.
        initial: a ``directions.safetensors``; kind and layers are then the file's. Or ``own``, the first of those that
            the generator has (:meth:`~contrafact.core.generator.Generator.own_directions`), or ``own_mixed``, each of
            these half way to the next.
        layers: first and last (excluded) style layer they act on; None for the generator's first and last.

    Raises:
        ValueError: the file's directions are of another number or another latent size.
    """
    if initial is not None:
        directions = _given(generator, initial, num_directions)
        if (directions.latent_dim, directions.num_directions) != (generator.edit_dim, num_directions):
            raise ValueError(
                f"{initial} holds {directions.num_directions} directions in {directions.latent_dim} dimensions; "
                f"expected {num_directions} in {generator.edit_dim}: set num_directions, or use the generator they "
                "were found on"
            )
        return directions.to(run.device)
    chosen = generator.layer_range(*layers)
    latent_dim, scale = generator.edit_dim, generator.latent_scale()
    where: dict[str, Any] = {"layers": chosen, "num_layers": generator.num_layers, "columns": generator.edit_columns}
    with run.seeded_init("directions"):
        if kind == "curved":
            curved = CurvedDirections(latent_dim, num_directions, scale=scale, **where)
            return curved.to(run.device)
        vectors = GlobalDirections(latent_dim, num_directions, kind, scale, **where)
        # About unit length: how far Adam turns a rescaled vector in a step depends on its length before rescaling.
        nn.init.normal_(vectors.weight, std=latent_dim**-0.5)
    return vectors.to(run.device)
