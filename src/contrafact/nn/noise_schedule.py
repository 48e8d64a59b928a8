"""How a diffusion model adds noise, step by step, and how it takes noise away again without drawing any.

Ho, Jain & Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020, https://arxiv.org/abs/2006.11239 (Eq. 4),
and Song, Meng & Ermon, "Denoising Diffusion Implicit Models", ICLR 2021, https://arxiv.org/abs/2010.02502 (Eq. 12 with
σ = 0).

Shape suffixes: N images, C channels, H height, W width, T times, S steps of a solver.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count

Betas = Literal["linear", "sqrt_linear"]
Prediction = Literal["epsilon", "image"]
"""What a denoiser says of a noised image: the noise in it, or the image without."""


class NoiseSchedule(nn.Module):
    """Times 0 … T − 1 and how much of an image is left at each: x_t = √ᾱ_t · x₀ + √(1 − ᾱ_t) · ε.

    Args:
        times: T.
        first: β at time 0.
        last: β at time T − 1.
        betas: how β rises between them: ``linear``, or ``sqrt_linear``, its root linearly, as latent diffusion has it.

    Attributes:
        alpha_bar: ``(T,)`` ᾱ, the product of 1 − β.

    Raises:
        ValueError: β outside (0, 1), or an unknown rise.

    >>> schedule = NoiseSchedule(1000, 1e-4, 0.02)
    >>> round(float(schedule.alpha_bar[0]), 4), round(float(schedule.alpha_bar[-1]), 6)
    (0.9999, 4e-05)
    >>> x0, noise, t = torch.ones(2, 3, 8, 8), torch.zeros(2, 3, 8, 8), torch.tensor([0, 999])
    >>> noised = schedule.noised(x0, noise, t)
    >>> [round(float(x), 3) for x in noised[:, 0, 0, 0]]
    [1.0, 0.006]
    >>> schedule.solver_times(4).tolist()  # evenly from the last one down
    [999, 749, 499, 249]
    """

    alpha_bar: Tensor

    def __init__(self, times: int, first: float, last: float, betas: Betas = "linear") -> None:
        super().__init__()
        self.times = check_count("times", times)
        if not (0 < first < 1 and 0 < last < 1):
            raise ValueError(f"β must lie between 0 and 1, got {first:g} to {last:g}")
        if betas == "linear":
            beta_T = torch.linspace(first, last, times, dtype=torch.float64)
        elif betas == "sqrt_linear":
            beta_T = torch.linspace(first**0.5, last**0.5, times, dtype=torch.float64).square()
        else:
            raise ValueError(unknown_name_message("rise of β", betas, ["linear", "sqrt_linear"]))
        # Not in files: it is made anew from the arguments.
        self.register_buffer("alpha_bar", torch.cumprod(1 - beta_T, dim=0).float(), persistent=False)

    def _parts(self, times_N: Tensor) -> tuple[Tensor, Tensor]:
        """√ᾱ and √(1 − ᾱ) at times, ``(N, 1, 1, 1)`` each."""
        alpha_N111 = self.alpha_bar[times_N][:, None, None, None]
        return alpha_N111.sqrt(), (1 - alpha_N111).sqrt()

    def noised(self, clean: Tensor, noise: Tensor, times_N: Tensor) -> Tensor:
        """x_t ``(N, C, H, W)`` of images and standard normal noise of that shape."""
        keep, add = self._parts(times_N)
        return keep * clean + add * noise

    def both(self, said: Tensor, noised: Tensor, times_N: Tensor, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """x₀ and ε, whichever of the two a denoiser said of x_t.

        Raises:
            ValueError: an unknown prediction.

        >>> schedule, t = NoiseSchedule(10, 0.1, 0.2), torch.tensor([7])
        >>> x0, noise = torch.randn(1, 1, 2, 2), torch.randn(1, 1, 2, 2)
        >>> xt = schedule.noised(x0, noise, t)
        >>> again, _ = schedule.both(noise, xt, t, "epsilon")
        >>> _, noise_again = schedule.both(x0, xt, t, "image")
        >>> torch.allclose(again, x0, atol=1e-5), torch.allclose(noise_again, noise, atol=1e-5)
        (True, True)
        """
        keep, add = self._parts(times_N)
        if prediction == "image":
            return said, (noised - keep * said) / add
        if prediction == "epsilon":
            return (noised - add * said) / keep, said
        raise ValueError(unknown_name_message("prediction", prediction, ["epsilon", "image"]))

    def solver_times(self, steps: int) -> Tensor:
        """``(S,)`` times that a solver of so many steps visits, evenly from the last one down.

        Raises:
            ValueError: more steps than there are times.
        """
        if check_count("steps", steps) > self.times:
            raise ValueError(f"a solver has at most the schedule's {self.times} steps, got {steps}")
        return torch.arange(self.times - 1, -1, -self.times / steps).round().long()[:steps]

    def time(self, place: int, steps: int, like: Tensor) -> Tensor:
        """``(N,)`` the time at a step of a solver of so many, for as many images as ``like`` has."""
        return self.solver_times(steps)[place].to(like.device).expand(len(like))

    def go(self, said: Tensor, x: Tensor, place: int, steps: int, prediction: Prediction) -> Tensor:
        """Where a step of the deterministic solver of Song et al. leads: x_t at the next time, or x₀ after the last.

        Args:
            said: what a denoiser said of ``x``.
            x: x_t.
            place: of the step, 0 the first.
            steps: of the solver.
            prediction: what the denoiser says.

        >>> schedule, noise = NoiseSchedule(100, 1e-3, 0.2), torch.randn(1, 1, 2, 2)
        >>> black = torch.zeros_like(noise)
        >>> half = schedule.go(black, noise, 0, 2, "image")
        >>> torch.equal(schedule.go(black, half, 1, 2, "image"), black)
        True
        """
        clean, left = self.both(said, x, self.time(place, steps, x), prediction)
        return clean if place == steps - 1 else self.noised(clean, left, self.time(place + 1, steps, x))

    def solve(
        self, denoise: Callable[[Tensor, Tensor], Tensor], noise: Tensor, steps: int, prediction: Prediction
    ) -> Tensor:
        """x₀ from x_T: the same noise always gives the same image.

        Args:
            denoise: ``(x_t, times)`` to what it predicts of them; ``x_t`` is ``(N, C, H, W)``, times ``(N,)``.
            noise: x_T.
            steps: how often the denoiser is asked.
            prediction: what it says.

        >>> schedule = NoiseSchedule(100, 1e-3, 0.2)
        >>> known = torch.full((1, 1, 2, 2), 0.25)
        >>> out = schedule.solve(lambda x, t: known, torch.randn(1, 1, 2, 2), 4, "image")
        >>> torch.equal(out, known)  # a denoiser that knows the image is believed
        True
        """
        x = noise
        for place in range(steps):
            x = self.go(denoise(x, self.time(place, steps, x)), x, place, steps, prediction)
        return x
