"""What frequencies StyleGAN3's layers work in, and the filters that keep them there (Karras et al. 2021, Appendix C.1).

Sides and rates are in pixels and pixels per image; cutoffs and half-widths in cycles per image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Band(NamedTuple):
    """What a layer gives out.

    Attributes:
        side: pixels, with the margin around the image.
        rate: pixels per image side.
        cutoff: frequency up to which it holds signal.
        half_width: half the transition from the cutoff to silence.
    """

    side: int
    rate: int
    cutoff: float
    half_width: float


def bands_of(
    size: int,
    layers: int = 14,
    critical: int = 2,
    first_cutoff: float = 2.0,
    first_stopband: float = 2**2.1,
    last_stopband: float = 2**0.3,
    margin: int = 10,
) -> list[Band]:
    """The bands of ``layers`` layers and of the one that makes the image, by the paper's geometric progressions.

    Args:
        size: image side, a power of two.
        layers: layers before the one that makes the image.
        critical: of these, how many at the end sample critically: their cutoff is the highest there is.
        first_cutoff: of the first layer.
        first_stopband: frequency from which the first layer is silent.
        last_stopband: that of the last layer, in its cutoffs.
        margin: pixels around the image.

    Raises:
        ValueError: a size that is no power of two of at least 8, or no layer that is not critical.

    >>> [band.side for band in bands_of(64, layers=6)], bands_of(64, layers=6)[-1].cutoff
    ([36, 36, 52, 84, 84, 64, 64], 32.0)
    """
    if not isinstance(size, int) or size < 8 or size & (size - 1) or size > 1 << 14:
        raise ValueError(f"StyleGAN3 makes images of 8, 16, 32, … pixels, got size {size!r}")
    if not 0 < critical < layers:
        raise ValueError(f"StyleGAN3 needs more layers than the {critical} critical ones, got {layers}")
    last_cutoff = size / 2
    exponents = np.minimum(np.arange(layers + 1) / (layers - critical), 1)
    cutoffs = first_cutoff * (last_cutoff / first_cutoff) ** exponents
    stopbands = first_stopband * (last_cutoff * last_stopband / first_stopband) ** exponents
    rates = np.exp2(np.ceil(np.log2(np.minimum(stopbands * 2, size))))
    half_widths = np.maximum(stopbands, rates / 2) - cutoffs
    sides = rates + 2 * margin
    sides[-2:] = size
    return [
        Band(int(side), int(rate), float(cutoff), float(half_width))
        for side, rate, cutoff, half_width in zip(sides, rates, cutoffs, half_widths, strict=True)
    ]


def checked(bands: Sequence[Sequence[float]], size: int) -> list[Band]:
    """Bands as they stand in a file.

    Raises:
        ValueError: they are no bands, or do not end at the image's side.
    """
    try:
        found = [Band(side, rate, cutoff, half_width) for side, rate, cutoff, half_width in bands]  # type: ignore[arg-type]
        fit = all(_is_band(band) for band in found) and len(found) > 1 and found[-1].side == found[-1].rate == size
    except (TypeError, ValueError):
        fit = False
    if not fit:
        raise ValueError(
            f"bands are a number of layers, or (side, rate, cutoff, half-width) of each and of the image of {size} "
            f"pixels, got {bands!r}"
        )
    return found


def _is_band(band: Band) -> bool:
    whole = all(isinstance(n, int) and 0 < n <= 1 << 15 for n in (band.side, band.rate))
    return whole and band.cutoff > 0 and band.half_width > 0 and math.isfinite(band.cutoff + band.half_width)


def _kaiser(taps: int, half_width: float, rate: float) -> Array:
    """Kaiser's window for a transition of twice ``half_width``: his formulas of attenuation and shape."""
    attenuation = 2.285 * (taps - 1) * math.pi * (2 * half_width / (rate / 2)) + 7.95
    beta = 0.0
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    window: Array = np.kaiser(taps, beta)
    return window


def lowpass(taps: int, band: Band, rate: float) -> Array:
    """Windowed-sinc low-pass filter ``(taps,)`` of sum 1 at a sampling rate; one tap lets everything pass."""
    places = (np.arange(taps) - (taps - 1) / 2) * (2 * band.cutoff / rate)
    return _of_sum_one(np.sinc(places) * _kaiser(taps, band.half_width, rate))


def radial_lowpass(taps: int, band: Band, rate: float) -> Array:
    """The same of radial symmetry, ``(taps, taps)``: a jinc, windowed along both axes."""
    from scipy.special import j1

    places = (np.arange(taps) - (taps - 1) / 2) / rate
    radii = np.pi * np.hypot(*np.meshgrid(places, places))
    # At the centre of an odd filter the quotient has the limit `cutoff`.
    jinc = np.where(radii > 0, j1(2 * band.cutoff * radii) / np.where(radii > 0, radii, 1), band.cutoff)
    window = _kaiser(taps, band.half_width, rate)
    return _of_sum_one(jinc * np.outer(window, window))


def _of_sum_one(taps: Array) -> Array:
    scaled: Array = taps / taps.sum()
    return scaled
