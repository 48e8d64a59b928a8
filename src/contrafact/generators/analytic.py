"""Analytic: two differentiable scenes whose true directions are known; no weights.

``sprite`` is a soft shape on a background, ``room`` a soft object in a 3-D room. The latent is standard normal and
hides the scene's factors behind a random rotation (and, with ``warp``, behind a smooth invertible bend), with any
number of dead dimensions among them: whoever finds the factors again has found something.

Shape suffixes: N samples, L latent dimensions, K factors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import Generator
from contrafact.generators._scenes import ROOM_FACTORS, SPRITE_FACTORS, render_room, render_sprite

Scene = Literal["sprite", "room"]


class _SceneEntry(NamedTuple):
    factor_names: tuple[str, ...]
    render: Callable[[Tensor, int], Tensor]


SCENES: dict[str, _SceneEntry] = {
    "sprite": _SceneEntry(SPRITE_FACTORS, render_sprite),
    "room": _SceneEntry(ROOM_FACTORS, render_room),
}
_WARP_STRENGTH = 0.7


class Analytic(Generator):
    """A scene behind a mixed latent: ``factors = bend(latent) @ mix``, then a differentiable renderer.

    Args:
        scene: ``sprite`` or ``room``.
        size: image side in pixels.
        dead_dims: latent dimensions that change nothing.
        mix_seed: seed of the rotation and the bend; None leaves factors on the latent's axes, in order.
        warp: also bend the latent, so that the true directions differ from place to place.

    The rotation is computed when the generator is made, and its last digits, and with them its fingerprint, are the
    processor's own: to share latents with another kind of machine, save the generator and share its file with them.

    Attributes:
        factor_names: what each factor changes, ``(K,)``.

    Raises:
        ValueError: unknown scene, ``size`` or ``dead_dims`` out of range.

    >>> generator = Analytic("sprite", size=32, dead_dims=2)
    >>> generator.latent_dim, generator.image_shape, generator.true_directions().shape
    (10, (3, 32, 32), torch.Size([8, 10]))
    """

    def __init__(
        self,
        scene: Scene = "sprite",
        size: int = 64,
        dead_dims: int = 0,
        mix_seed: int | None = 0,
        warp: bool = False,
    ) -> None:
        super().__init__()
        if scene not in SCENES:
            raise ValueError(unknown_name_message("scene", scene, SCENES))
        if isinstance(dead_dims, bool) or not isinstance(dead_dims, int) or dead_dims < 0:
            raise ValueError(f"dead_dims must be a whole number of at least 0, got {dead_dims!r}")
        self.scene: Scene = scene
        self.size = check_count("size", size)
        self.dead_dims, self.mix_seed, self.warp = dead_dims, mix_seed, warp
        self.factor_names = SCENES[scene].factor_names
        self.latent_dim = self.prior_dim = len(self.factor_names) + dead_dims
        self.image_shape = (3, size, size)
        self.layer_names = ("factors",)
        rng = torch.Generator().manual_seed(0 if mix_seed is None else mix_seed)
        rotation = torch.linalg.qr(torch.randn(self.latent_dim, self.latent_dim, generator=rng))[0]
        # Buffers, not recomputed on loading: a file then means the same pictures on every machine.
        self.mix: Tensor
        self.register_buffer("mix", torch.eye(self.latent_dim) if mix_seed is None else rotation)
        half = self.latent_dim // 2
        self.bends: Tensor
        self.register_buffer("bends", torch.randn(2, half, self.latent_dim - half, generator=rng) / half**0.5)

    @classmethod
    def tiny(cls) -> Analytic:
        """A small instance for examples and contract tests."""
        return cls("sprite", size=16, dead_dims=1, warp=True)

    def forward(self, latent: Tensor) -> Tensor:
        # In bfloat16 edges lie elsewhere, by up to half the range of a pixel, and gradients are not finite.
        with torch.autocast(latent.device.type, enabled=False):
            exact = latent.to(torch.promote_types(latent.dtype, torch.float32))
            return SCENES[self.scene].render(self.factors(exact), self.size)

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))
        return self.factors(latent)

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        """The rotation's, without outputs that change nothing."""
        # The bend lets the dead coordinates move the factors, so that behind it every output counts.
        return self.mix.T if self.warp else self.mix.T[: len(self.factor_names)]

    def factors(self, latent: Tensor) -> Tensor:
        """True factor values ``(N, K)`` of latents ``(N, L)``, standard normal when not warped."""
        return self._coordinates(self.check_latent(latent))[:, : len(self.factor_names)]

    def latent_of(self, factors: Tensor) -> Tensor:
        """Latents ``(N, L)`` whose factors are ``(N, K)`` and whose dead coordinates are zero."""
        mixed = torch.nn.functional.pad(factors, (0, self.dead_dims))
        return self._uncoordinates(mixed)

    def true_directions(self) -> Tensor:
        """Unit directions ``(K, L)`` each of which changes one factor only.

        Raises:
            ValueError: the scene is warped, so directions differ from place to place: use :meth:`true_tangents`.
        """
        if self.warp:
            raise ValueError("a warped scene has no global directions; ask true_tangents(latent) at a latent")
        return self.mix.T[: len(self.factor_names)].clone()

    def own_directions(self) -> GlobalDirections:
        """The true directions, named after their factors.

        Raises:
            ValueError: as :meth:`true_directions`.
        """
        return GlobalDirections.of(self.true_directions(), self.latent_scale(), self.factor_names)

    def true_tangents(self, latent: Tensor) -> Tensor:
        """Unit directions ``(N, K, L)`` that, at each latent, change one factor and nothing else.

        Raises:
            ValueError: latents of the wrong shape.
        """
        coordinates = self._coordinates(self.check_latent(latent.detach()))
        jacobian: Tensor = torch.func.vmap(torch.func.jacrev(lambda c: self._uncoordinates(c[None])[0]))(coordinates)
        tangents = jacobian[:, :, : len(self.factor_names)].transpose(1, 2)
        unit: Tensor = tangents / tangents.norm(dim=2, keepdim=True)
        return unit

    def _coordinates(self, latent: Tensor) -> Tensor:
        """Factors, then dead coordinates, ``(N, L)``."""
        mixed = latent @ self.mix
        if not self.warp:
            return mixed
        # Two coupling steps: each half is shifted by a function of the other, which is invertible in closed form.
        first, second = self._halves(mixed)
        second = second + _WARP_STRENGTH * torch.sin(first @ self.bends[0])
        first = first + _WARP_STRENGTH * torch.sin(second @ self.bends[1].T)
        return torch.cat((first, second), dim=1)

    def _uncoordinates(self, coordinates: Tensor) -> Tensor:
        """Inverse of :meth:`_coordinates`."""
        if self.warp:
            first, second = self._halves(coordinates)
            first = first - _WARP_STRENGTH * torch.sin(second @ self.bends[1].T)
            second = second - _WARP_STRENGTH * torch.sin(first @ self.bends[0])
            coordinates = torch.cat((first, second), dim=1)
        return coordinates @ self.mix.T

    def _halves(self, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        half = self.latent_dim // 2
        return coordinates[:, :half], coordinates[:, half:]

    def arguments(self) -> dict[str, Any]:
        return {
            "scene": self.scene,
            "size": self.size,
            "dead_dims": self.dead_dims,
            "mix_seed": self.mix_seed,
            "warp": self.warp,
        }
