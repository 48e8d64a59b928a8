"""Rectified flow (Liu et al. 2023): noise to images in few steps, edited in its bottleneck.

Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow, ICLR 2023,
https://arxiv.org/abs/2209.03003. The network says the velocity v = ε − x₀ at x_t = (1 − t) x₀ + t ε; its bottleneck is
the "h" of "Diffusion Models Already Have a Semantic Latent Space" (Kwon, Jeong & Uh, ICLR 2023,
https://arxiv.org/abs/2210.10960). An edit is one shift of h at all steps, or at a range of them.

Deviations: a step follows two velocities instead of one (Adams and Bashforth's rule), so that eight of them give images
as sharp and as varied as 32 of Euler's; the shift acts on the whole velocity, without Asyrp's asymmetry, which costs a
second pass a step and gains little here; h is the mean over the steps, in units of its own spread, so that a magnitude
of 1 is a change such as samples show.

Shape suffixes: N samples, F numbers of h, C channels.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.generators._sampled import Sampled, unit_of
from contrafact.nn.unet import UNet

Space = Literal["h", "noise"]
_MEASURED = 512
_ROUNDS, _SEARCHED = 4, 32
"""Looks at the network in each step of the way back, and images searched at once, whose activations are all kept."""


class RectifiedFlow(Sampled):
    """A U-Net that is asked for the way from noise to an image; its edit space is h, or the noise.

    Args:
        image_shape: ``(C, H, W)``.
        channels: of the U-Net's levels.
        patch: pixels folded into channels, see :class:`contrafact.nn.unet.UNet`.
        steps: K; each costs a pass, and more of them give sharper images.
        space: ``h``: edits shift the bottleneck, the noise stays; ``noise``: edits move the noise.
        checkpointed: for gradients, keep only the images between steps.
        gradient_steps: how many of the last steps gradients go through; None for all.

    >>> generator = RectifiedFlow((1, 16, 16), channels=(8, 16)).freeze()
    >>> latent = generator.sample(2, seed=0)
    >>> generator(latent).shape, generator.edit_columns, generator.features(latent, "h").shape
    (torch.Size([2, 1, 16, 16]), (256, 1280), torch.Size([2, 16, 8, 8]))
    """

    unit: Tensor

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        channels: tuple[int, ...] = (32, 64, 128),
        patch: int = 1,
        steps: int = 8,
        space: Space = "h",
        checkpointed: bool = False,
        gradient_steps: int | None = None,
    ) -> None:
        super().__init__()
        if space not in ("h", "noise"):
            raise ValueError(unknown_name_message("space", space, ["h", "noise"]))
        shape = (image_shape[0], image_shape[1], image_shape[2])
        self.image_shape, self.space = shape, space
        self.unet = UNet(shape, tuple(channels), patch)
        self.unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # what torch's own types leave out
        self.register_buffer("unit", torch.ones(self.unet.h_shape[0], 1, 1))
        width = self.unet.h_shape[0] * self.unet.h_shape[1] * self.unet.h_shape[2]
        self.settle(shape, steps, width if space == "h" else 0, checkpointed, gradient_steps)
        self.edit_layer = "h" if space == "h" else None
        self.layer_names = ("h", *(f"up{level}" for level in range(len(self.unet.channels))))

    @classmethod
    def tiny(cls) -> RectifiedFlow:
        """A small one with random weights, for the tests."""
        generator = cls((1, 12, 12), channels=(8, 16), steps=3)
        with torch.no_grad():
            for weights in generator.parameters():  # much of a fresh network is zero
                weights.add_(torch.randn_like(weights), alpha=0.1)
        generator.measure(torch.Generator().manual_seed(0), samples=256)
        return generator

    def ask(self, x: Tensor, step: int, edit: Tensor | None) -> Tensor:
        velocity: Tensor = self.unet(x, self._time(x, step), self._shift(edit))
        return velocity

    def solver(self) -> list[Tensor]:
        """Holds the last velocity."""
        return []

    def go(self, said: Tensor, x: Tensor, step: int, solver: list[Tensor]) -> Tensor:
        before = solver.pop() if solver else None
        solver.append(said)
        return x - self._ahead(said, before)

    def _ahead(self, said: Tensor, before: Tensor | None) -> Tensor:
        """How far a step goes by its velocity and the last one's: Adams and Bashforth's rule of two."""
        return (said if before is None else 1.5 * said - 0.5 * before) / self.steps

    def forward(self, latent: Tensor) -> Tensor:
        """Images ``(N, C, H, W)``."""
        return self.in_parts(lambda part: (self.walk(*self.split(part)) + 1) / 2, latent)

    def features(self, latent: Tensor, layer: str) -> Tensor:
        """``h``: the bottleneck's mean over steps ``(N, C, H, W)``, in units; ``up0`` …: levels of the last step."""
        if layer not in self.layer_names:
            return super().features(latent, layer)
        return self.in_parts(lambda part: self._activations(part, layer), latent)

    def _activations(self, latent: Tensor, layer: str) -> Tensor:
        x, edits = self.split(latent)
        if layer != "h":
            x = self.walk(x, edits[:-1])
            reached = self.unet.reach(x, self._time(x, self.steps - 1))
            levels = self.unet.rise(reached, self._shift(edits[-1]))
            return next(level for number, level in enumerate(levels) if f"up{number}" == layer)
        total: Tensor = torch.zeros((), device=x.device)
        solver = self.solver()
        for step, edit in enumerate(edits):
            reached = self.unet.reach(x, self._time(x, step))
            total = total + reached.h.float()
            if step < self.steps - 1:
                said = self.unet.end(list(self.unet.rise(reached, self._shift(edit)))[-1])
                x = self.go(said, x, step, solver)
        return total / (self.steps * self.unit)

    @torch.no_grad()
    def measure(self, rng: torch.Generator, samples: int = _MEASURED) -> None:
        """Find the unit of h from samples: see :func:`contrafact.generators._sampled.unit_of`.

        Args:
            rng: draws the noise.
            samples: how many, an even number.
        """
        self.unit.fill_(1.0)
        self.unit.copy_(unit_of(self.features(self.sample(samples, rng), "h")))

    def image_latents(self, images: Tensor, descents: int = 80) -> Tensor:
        """Latents ``(N, L)`` whose paths end at images ``(N, C, H, W)``, nearly.

        The path is gone back by Euler's rule, each step in rounds to a fixed point; steps of two velocities cannot be
        solved so, and Adam brings what they make of that noise to the images.

        Args:
            images: each is searched by itself, whatever others are in the batch.
            descents: Adam's steps.
        """
        return self.map(torch.cat([self._noise_of(2 * part - 1, descents) for part in images.split(_SEARCHED)]))

    def _noise_of(self, targets: Tensor, descents: int) -> Tensor:
        with torch.no_grad():
            x = targets
            for step in reversed(range(self.steps)):
                guess = x
                for _ in range(_ROUNDS):
                    guess = x + self.ask(guess, step, None) / self.steps
                x = guess
        noise = x.requires_grad_()
        adam = torch.optim.Adam([noise], lr=0.02, betas=(0.9, 0.99))
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(adam, max(1, descents))
        for _ in range(descents):
            with torch.enable_grad():
                error = (self.walk(noise, [None] * self.steps) - targets).square().sum()
            (noise.grad,) = torch.autograd.grad(error, noise)
            adam.step()
            rate.step()
        return noise.detach().flatten(1)

    def arguments(self) -> dict[str, Any]:
        """What the constructor takes, for files."""
        return {
            "image_shape": self.image_shape,
            "channels": self.unet.channels,
            "patch": self.unet.patch,
            "steps": self.steps,
            "space": self.space,
            "checkpointed": self.checkpointed,
            "gradient_steps": self.gradient_steps,
        }

    def _time(self, x: Tensor, step: int) -> Tensor:
        return x.new_full((len(x),), 1 - step / self.steps)

    def _shift(self, edit: Tensor | None) -> Tensor | None:
        return None if edit is None else edit.unflatten(1, self.unet.h_shape) * self.unit
