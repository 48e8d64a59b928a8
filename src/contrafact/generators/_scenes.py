"""The two analytic scenes: factors in, pictures out, smooth everywhere.

Every factor is a standard normal coordinate; ±2 spans what it can do. Edges are soft, and bounded quantities go through
tanh, so gradients are finite and never vanish entirely.

Shape suffixes: N samples, K factors, H rows, W columns, T samples along a ray, P planes of the room, C colours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SPRITE_FACTORS = ("x", "y", "size", "stretch", "angle", "shape", "hue", "background hue")
ROOM_FACTORS = ("floor hue", "wall hue", "object hue", "scale", "shape", "orientation", "stretch", "light")

_RAY_SAMPLES = 18
_SURFACE_SOFTNESS = 0.06  # of the object's radius
_OPACITY = 60.0
_ROOM_HALF = 2.4
_EDGE_SHARPNESS = 160.0  # of the lines where the room's planes meet


def _bounded(factor: Tensor) -> Tensor:
    """About ±1 at ±2 standard deviations, ±1.3 at infinity."""
    return 1.3 * torch.tanh(factor / 2)


def _colour(hue: Tensor, lightness: float, strength: float) -> Tensor:
    """A smooth colour circle: hues ``(N,)`` in turns to RGB ``(N, 3)``."""
    thirds = torch.arange(3, device=hue.device, dtype=hue.dtype) / 3
    return lightness + strength * torch.cos(2 * math.pi * (hue[:, None] - thirds))


def _pixel_grid(size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """x and y ``(H, W)`` of pixel centres in (−1, 1), y upwards."""
    ticks = (torch.arange(size, device=like.device, dtype=like.dtype) + 0.5) * (2 / size) - 1
    y, x = torch.meshgrid(-ticks, ticks, indexing="ij")
    return x, y


def _log_norm(coordinates: tuple[Tensor, ...], exponent: Tensor) -> Tensor:
    """``log (Σ |x|^p)^(1/p)`` of the coordinates: negative inside; the offset keeps it smooth on the axes."""
    half = 0.5 * exponent
    powers = [torch.exp(half * torch.log(c * c + 1e-4)) for c in coordinates]
    return torch.log(torch.stack(powers).sum(0)) / exponent


def _smooth_positive(value: Tensor) -> Tensor:
    return 0.5 * (value + torch.sqrt(value * value + 0.02))


def render_sprite(factors_NK: Tensor, size: int) -> Tensor:
    """A shaded superellipse with a bright eye at its front, over its own shadow: ``(N, 3, size, size)``."""
    x, y, scale, stretch, angle, shape, hue, ground_hue = (f[:, None, None] for f in factors_NK.unbind(1))
    grid_x, grid_y = _pixel_grid(size, factors_NK)
    centre_x, centre_y = 0.45 * _bounded(x), 0.45 * _bounded(y)
    radius = 0.32 * torch.exp(0.42 * _bounded(scale))
    aspect = torch.exp(0.4 + 0.38 * _bounded(stretch))
    exponent = 2.4 * torch.exp(0.7 * _bounded(shape))
    cosine, sine = torch.cos(0.55 * angle), torch.sin(0.55 * angle)

    def body(drop: float) -> tuple[Tensor, Tensor, Tensor]:
        """Sprite coordinates and soft inside-ness of the outline moved by ``drop`` towards the lower right."""
        right, up = grid_x - centre_x - drop, grid_y - centre_y + drop
        along = (right * cosine + up * sine) / (radius * aspect.sqrt())
        across = (up * cosine - right * sine) * aspect.sqrt() / radius
        return along, across, -radius * _log_norm((along, across), exponent)

    along, across, depth = body(0.0)
    inside = torch.sigmoid(depth / 0.025)[:, None]
    shadow = torch.sigmoid(body(0.09)[2] / 0.06)[:, None]
    eye = torch.exp(-((along - 0.5) ** 2 + across**2) / 0.06)[:, None]
    light = (0.84 + 0.2 * torch.tanh(1.6 * (grid_y - centre_y - grid_x + centre_x)))[:, None]
    backdrop = _colour(0.58 + 0.2 * _bounded(ground_hue)[:, 0, 0] * 1.6, 0.62, 0.22)[:, :, None, None]
    backdrop = backdrop * (1 - 0.14 * (grid_x * grid_x + grid_y * grid_y)) * (1 - 0.45 * shadow)
    paint = _colour(0.08 + 0.34 * _bounded(hue)[:, 0, 0], 0.5, 0.42)[:, :, None, None] * light
    paint = paint + (0.97 - paint) * 0.85 * eye
    return backdrop + inside * (paint - backdrop)


def render_room(factors_NK: Tensor, size: int) -> Tensor:
    """A superquadric on the floor of a room, seen by a camera that circles it: ``(N, 3, size, size)``."""
    floor_hue, wall_hue, object_hue, scale, shape, orientation, stretch, light_side = factors_NK.unbind(1)
    origin_N3, rays_NHW3 = _camera(0.6 * _bounded(orientation), size)
    light_N3 = _unit(torch.stack((1.5 * _bounded(light_side), torch.full_like(scale, 1.4), torch.ones_like(scale)), 1))
    wide = 0.6 * torch.exp(0.34 * _bounded(scale))
    tall = wide * torch.exp(0.28 * _bounded(stretch))
    exponent = 2.3 * torch.exp(0.75 * _bounded(shape))

    backdrop = _room(origin_N3, rays_NHW3, light_N3, wide, floor_hue, wall_hue)
    cover_NHW, normals = _superquadric(origin_N3, rays_NHW3, wide, tall, exponent)
    toward_light = light_N3[:, None, None]
    diffuse = _smooth_positive((normals * toward_light).sum(-1))
    gloss = torch.exp(28 * ((normals * _unit(toward_light - rays_NHW3)).sum(-1) - 1))
    paint = _colour(0.02 + 0.36 * _bounded(object_hue), 0.55, 0.4)[:, None, None] * (0.32 + 0.68 * diffuse[..., None])
    paint = paint + (0.97 - paint) * 0.6 * gloss[..., None]
    return (backdrop + cover_NHW[..., None] * (paint - backdrop)).permute(0, 3, 1, 2)


def _unit(vectors: Tensor) -> Tensor:
    unit: Tensor = vectors / vectors.norm(dim=-1, keepdim=True)
    return unit


def _camera(azimuth: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Origin ``(N, 3)`` and unit rays ``(N, H, W, 3)`` of cameras that look at the object from ``azimuth (N,)``."""
    distance, height, target = 3.6, 1.9, 0.62
    zero = torch.zeros_like(azimuth)
    sine, cosine = torch.sin(azimuth), torch.cos(azimuth)
    origin = torch.stack((distance * sine, zero + height, distance * cosine), 1)
    forward = _unit(torch.stack((-distance * sine, zero + target - height, -distance * cosine), 1))
    right = torch.stack((cosine, zero, -sine), 1)
    up = torch.linalg.cross(right, forward)
    x, y = _pixel_grid(size, azimuth)
    rays = forward[:, None, None] + 0.52 * (x[..., None] * right[:, None, None] + y[..., None] * up[:, None, None])
    return origin, _unit(rays)


def _room(origin: Tensor, rays: Tensor, light: Tensor, wide: Tensor, floor_hue: Tensor, wall_hue: Tensor) -> Tensor:
    """Floor, three walls and the object's shadow: ``(N, H, W, 3)``."""
    normals_P3 = torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0], [-1, 0, 0]], device=origin.device, dtype=origin.dtype)
    height_P = torch.tensor([0.0, *[-_ROOM_HALF] * 3], device=origin.device, dtype=origin.dtype)
    # 1/t of each plane is linear in the ray, finite even for rays that never meet it, and largest where it is seen.
    above_NP = origin @ normals_P3.T - height_P
    nearness_NHWP = -(rays @ normals_P3.T) / above_NP[:, None, None]
    weights = torch.softmax(_EDGE_SHARPNESS * nearness_NHWP, -1)
    lit_NP = 0.55 + 0.5 * _smooth_positive(light @ normals_P3.T)
    floor = _colour(0.3 + 0.36 * _bounded(floor_hue), 0.62, 0.28)
    walls = _colour(0.62 + 0.36 * _bounded(wall_hue), 0.68, 0.24)
    colours_NP3 = torch.stack((floor, walls, walls, walls), 1) * lit_NP[..., None]

    reach = 1 / torch.nn.functional.softplus(nearness_NHWP[..., 0], beta=40).clamp_min(1e-3)
    spot = origin[:, None, None, ::2] + reach[..., None] * rays[..., ::2]
    centre = -0.8 * (wide[:, None] * light[:, ::2])[:, None, None]
    shadow = 0.55 * torch.exp(-((spot - centre).square().sum(-1) / (1.5 * wide[:, None, None] ** 2)).square())
    dimmed = torch.cat((weights[..., :1] * (1 - shadow[..., None]), weights[..., 1:]), -1)
    return torch.einsum("nhwp,npc->nhwc", dimmed, colours_NP3)


def _superquadric(origin: Tensor, rays: Tensor, wide: Tensor, tall: Tensor, exponent: Tensor) -> tuple[Tensor, Tensor]:
    """Opacity ``(N, H, W)`` and unit normals ``(N, H, W, 3)`` of the object, a fog that thickens over its surface."""
    cosine, sine = math.cos(0.45), math.sin(0.45)
    turn = torch.tensor([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]], device=origin.device, dtype=origin.dtype)
    radii = torch.stack((wide, tall, wide), 1)
    centre = torch.stack((torch.zeros_like(tall), tall, torch.zeros_like(tall)), 1)
    start = (((origin - centre) @ turn) / radii)[:, None, None]
    step = (rays @ turn) / radii[:, None, None]

    speed = step.norm(dim=-1)
    nearest = -(start * step).sum(-1) / speed.square()
    reach = math.sqrt(3) + 3 * _SURFACE_SOFTNESS  # a cube's corner
    ticks = torch.linspace(-reach, reach, _RAY_SAMPLES, device=origin.device, dtype=origin.dtype)
    distance_NHWT = nearest[..., None] + ticks / speed[..., None]
    power = exponent[:, None, None, None]
    axes = zip(start.unbind(-1), step.unbind(-1), strict=True)
    depth = -_log_norm(tuple(a[..., None] + distance_NHWT * b[..., None] for a, b in axes), power)
    density = _OPACITY * 2 * reach / _RAY_SAMPLES * torch.sigmoid(depth / _SURFACE_SOFTNESS)
    passed = density.cumsum(-1)
    seen_NHWT = torch.exp(density - passed) - torch.exp(-passed)
    cover = 1 - torch.exp(-passed[..., -1])
    where = (seen_NHWT * distance_NHWT).sum(-1) + (1 - cover) * nearest
    surface = start + where[..., None] * step
    gradient = surface * (surface.square() + 1e-3).pow(power / 2 - 1) / radii[:, None, None]
    return cover, (gradient / (gradient.square().sum(-1, keepdim=True) + 1e-12).sqrt()) @ turn.T
