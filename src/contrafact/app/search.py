"""The nearest latent whose picture the encoder reads otherwise: what a person means who drags a code.

Shape suffixes: L latent dimensions, J codes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from contrafact.app.session import Session
from contrafact.app.state import State

STEPS = 12
_HALVINGS = 4
_LONGEST = 2.0


@dataclass(frozen=True)
class Found:
    """Where a search ended.

    Attributes:
        latent: before the state's edits ``(L,)``, or ``(K, L)``.
        value: the code there.
        distance: how far it lies from where the search began, in standard deviations of the latent space.
    """

    latent: Tensor
    value: float
    distance: float


def search(session: Session, state: State, code: int, value: float) -> Found:
    """Move a state's latent, and as little as possible, until the encoder reads ``value`` in a code.

    Gauss–Newton steps ``δ = g (value − code) / |g|²`` along the code's gradient ``g`` through encoder and generator,
    the shortest that a linear reading would need, each at most two standard deviations long and halved until it comes
    nearer; the state's edits stay as they are. The same every time.

    Args:
        session: generator, directions and encoder.
        state: where to begin.
        code: number of the code.
        value: what it shall be.

    Raises:
        ValueError: no encoder, no such code, or a state that does not fit.
    """
    session = session.of(state)
    encoder, generator = session.encoder, session.generator.truncated(state.truncation)
    if encoder is None:
        raise ValueError("there is no encoder, so there is no code to search for")
    if not 0 <= code < encoder.code_dim:
        raise ValueError(f"there is no code {code}; the encoder reads {encoder.code_dim}, from 0")
    session.moved(state)  # refuses what does not fit
    directions = session.directions if state.layers is None else session.acting_on(state.layers)
    start = session.latent_of(state.latent, state.truncation)
    scale = session.latent_scale

    def read(offset: Tensor) -> Tensor:
        latent = start + scale * offset
        for number, magnitude in state.magnitudes:
            latent = directions(latent, number, magnitude)
        codes: Tensor = encoder(generator(latent).clamp(0, 1))
        return codes[0, code]

    def left(reading: Tensor) -> float:
        """How far it is from a reading to the value; of an angle, by the shorter way."""
        difference = value - float(reading)
        return math.remainder(difference, math.tau) if code in encoder.angles else difference

    offset = torch.zeros_like(start)
    with torch.no_grad():
        reached = read(offset)
    tolerance = 1e-3 * max(abs(left(reached)), 1e-6)
    for _ in range(STEPS):
        wanted = left(reached)
        if abs(wanted) <= tolerance:
            break
        point = offset.clone().requires_grad_()
        gradient = torch.autograd.grad(read(point), point)[0]
        square = float(gradient.square().sum())
        if not square > 0:  # nothing moves the code here; NaN too
            break
        step = gradient * (wanted / square)
        step = step * min(1.0, _LONGEST / max(float(step.norm()), 1e-12))
        for _ in range(_HALVINGS):
            with torch.no_grad():
                there = read(offset + step)
            if abs(left(there)) < abs(wanted):
                offset, reached = offset + step, there
                break
            step = step / 2
        else:
            break
    return Found((start + scale * offset)[0].cpu(), float(reached), float(offset.norm()))
