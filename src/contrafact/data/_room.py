"""Ray caster of the Shapes3D room: shading buffers of every geometry, without colour.

A pinhole camera without pitch stands in a square room, walks a circle about its centre and looks at it; the object
stands still on the floor. Camera, room and object sizes were fitted to frames of the published set. The light is
simpler than there: a lamp that casts the object's shadow on the floor, a fill light and ambient light, at most 1.

World axes: y up, floor at y = 0, the back wall at z = -3.5; lengths in room units, images 64 x 64 pixels.
Shape suffixes: P rays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

SIZE = 64
SCALES = np.linspace(0.75, 1.25, 8)
SHAPES = ("cube", "cylinder", "sphere", "capsule")
ORIENTATIONS = np.linspace(-30.0, 30.0, 15)
"""Camera azimuth in degrees; negative stands left of the object."""

ROOM_HALF_WIDTH = 3.5
WALL_HEIGHT = 2.05
FOCAL_PIXELS = 71.4
CAMERA_HEIGHT = 0.757
CAMERA_RADIUS = 2.762

CUBE_HALF_SIDE = 0.37
CYLINDER_RADIUS, CYLINDER_HEIGHT = 0.40, 0.73
SPHERE_RADIUS = 0.40
CAPSULE_RADIUS, CAPSULE_HEIGHT = 0.36, 1.35

LAMP = np.array([-1.7, 5.0, 2.3], dtype=np.float32)
LAMP_LIGHT = 0.75
FILL = np.array([0.30, 0.06, 0.30], dtype=np.float32)
AMBIENT = 0.28

SKY, FLOOR, WALL, OBJECT = range(4)
RAYS_PER_SIDE = 4
"""Rays per pixel side: 16 rays a pixel."""


def version() -> str:
    """Digest of this renderer: buffers cached by another version are not reused."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]


def render_buffers() -> Iterator[FloatArray]:
    """Shading of every geometry, scale slowest and orientation fastest.

    Yields:
        480 arrays ``(4, 64, 64)`` in [0, 1]: per pixel the share of sky, then light times coverage of floor, walls
        and object. The image is their sum, each times its colour.
    """
    views = [_camera_rays(angle) for angle in ORIENTATIONS]
    rooms = [_room_hits(origin, rays) for origin, rays in views]
    for scale in SCALES:
        for shape in SHAPES:
            for (origin, rays), (material, light, points) in zip(views, rooms, strict=True):
                yield _buffers(shape, float(scale), origin, rays, material, light, points)


def _camera_rays(degrees: float) -> tuple[FloatArray, FloatArray]:
    """Camera position ``(3,)`` and unit ray directions ``(P, 3)``, row by row."""
    angle = np.deg2rad(degrees)
    origin = np.array([CAMERA_RADIUS * np.sin(angle), CAMERA_HEIGHT, CAMERA_RADIUS * np.cos(angle)])
    right = np.array([np.cos(angle), 0.0, -np.sin(angle)])
    forward = np.array([-np.sin(angle), 0.0, -np.cos(angle)])
    pixels = (np.arange(SIZE * RAYS_PER_SIDE) + 0.5) / RAYS_PER_SIDE - SIZE / 2
    down, across = np.meshgrid(pixels, pixels, indexing="ij")
    rays = FOCAL_PIXELS * forward + across[..., None] * right - down[..., None] * np.array([0.0, 1.0, 0.0])
    rays = rays.reshape(-1, 3)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return origin.astype(np.float32), rays.astype(np.float32)


def _lambert(points: FloatArray, normals: FloatArray) -> FloatArray:
    """Light of surfaces at ``points`` that see the lamp: ambient, a fill from one direction, and the lamp."""
    towards = LAMP - points
    cosine = (towards * normals).sum(1) / np.linalg.norm(towards, axis=1)
    light = AMBIENT + np.maximum(normals @ FILL, 0) + LAMP_LIGHT * np.maximum(cosine, 0)
    return np.asarray(np.minimum(light, 1.0), dtype=np.float32)


def _room_hits(origin: FloatArray, rays: FloatArray) -> tuple[npt.NDArray[np.int8], FloatArray, FloatArray]:
    """Material, light and point of what each ray meets in the empty room; the sky has no light of its own."""
    with np.errstate(divide="ignore"):
        walls = (np.sign(rays) * ROOM_HALF_WIDTH - origin) / rays
        floor = np.where(rays[:, 1] < 0, -origin[1] / rays[:, 1], np.inf)
    side = np.where(walls[:, 0] < walls[:, 2], 0, 2)
    wall = np.minimum(walls[:, 0], walls[:, 2])
    distance = np.minimum(wall, floor)
    points = (origin + distance[:, None] * rays).astype(np.float32)
    on_floor = floor < wall
    material = np.where(on_floor, FLOOR, np.where(points[:, 1] < WALL_HEIGHT, WALL, SKY)).astype(np.int8)
    normals = np.zeros_like(rays)
    index = np.arange(len(rays))
    normals[index, side] = -np.sign(rays[index, side])
    normals[on_floor] = (0.0, 1.0, 0.0)
    light = np.where(material == SKY, np.float32(1), _lambert(points, normals))
    return material, light, points


def _buffers(
    shape: str,
    scale: float,
    origin: FloatArray,
    rays: FloatArray,
    material: npt.NDArray[np.int8],
    light: FloatArray,
    points: FloatArray,
) -> FloatArray:
    """The four buffers of one geometry, given the empty room of its view."""
    distance = _object_distance(shape, scale, origin, rays)
    hit = np.flatnonzero(np.isfinite(distance))  # the object is nearer than any wall
    material, light = material.copy(), light.copy()
    floor = np.flatnonzero((material == FLOOR) & ~np.isfinite(distance))
    towards = LAMP - points[floor]
    shaded = floor[np.isfinite(_object_distance(shape, scale, points[floor], towards))]
    light[shaded] = AMBIENT + FILL[1]
    surface = origin + distance[hit, None] * rays[hit]
    material[hit] = OBJECT
    light[hit] = _lambert(surface, _object_normals(shape, scale, surface))
    fine = (material == np.arange(4, dtype=np.int8)[:, None]) * light
    blocks = fine.reshape(4, SIZE, RAYS_PER_SIDE, SIZE, RAYS_PER_SIDE)
    return np.asarray(blocks.mean(axis=(2, 4)), dtype=np.float32)


def _object_distance(shape: str, scale: float, origin: FloatArray, rays: FloatArray) -> FloatArray:
    """Distance along each ray, in ray lengths, to the first point of the object; infinite where it is missed.

    ``origin`` is ``(3,)`` or ``(P, 3)``.
    """
    origin = np.broadcast_to(origin, rays.shape)
    match shape:
        case "cube":
            half = CUBE_HALF_SIDE * scale
            return _box_distance(origin, rays, half)
        case "sphere":
            radius = SPHERE_RADIUS * scale
            return _sphere_distance(origin, rays, radius, radius)
        case "cylinder":
            radius, height = CYLINDER_RADIUS * scale, CYLINDER_HEIGHT * scale
            return np.minimum(_tube_distance(origin, rays, radius, 0.0, height), _lid(origin, rays, radius, height))
        case _:
            radius, height = CAPSULE_RADIUS * scale, CAPSULE_HEIGHT * scale
            low, high = radius, height - radius
            ends = np.minimum(_sphere_distance(origin, rays, radius, low), _sphere_distance(origin, rays, radius, high))
            return np.minimum(_tube_distance(origin, rays, radius, low, high), ends)


def _object_normals(shape: str, scale: float, points: FloatArray) -> FloatArray:
    """Outward unit normals at surface points ``(P, 3)``."""
    match shape:
        case "cube":
            half = CUBE_HALF_SIDE * scale
            offset = points - np.array([0, half, 0], dtype=np.float32)
            largest = np.abs(offset) == np.abs(offset).max(axis=1, keepdims=True)
            return np.where(largest, np.sign(offset), 0).astype(np.float32)
        case "cylinder":
            on_lid = points[:, 1] > CYLINDER_HEIGHT * scale - 1e-4
            offset = np.where(on_lid[:, None], (0.0, 1.0, 0.0), points * np.array([1, 0, 1], dtype=np.float32))
        case "sphere":
            offset = points - np.array([0, SPHERE_RADIUS * scale, 0], dtype=np.float32)
        case _:
            low, high = CAPSULE_RADIUS * scale, (CAPSULE_HEIGHT - CAPSULE_RADIUS) * scale
            offset = points.copy()
            offset[:, 1] -= np.clip(points[:, 1], low, high)
    return np.asarray(offset / np.linalg.norm(offset, axis=1, keepdims=True), dtype=np.float32)


def _box_distance(origin: FloatArray, rays: FloatArray, half: float) -> FloatArray:
    centre = np.array([0, half, 0], dtype=np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        one = (centre - half - origin) / rays
        two = (centre + half - origin) / rays
    enter = np.minimum(one, two).max(axis=1)
    leave = np.maximum(one, two).min(axis=1)
    return np.where((enter < leave) & (leave > 0), enter, np.inf)


def _first_root(a: FloatArray, b: FloatArray, c: FloatArray) -> FloatArray:
    """Smaller root of a t² + 2 b t + c, infinite where there is none ahead."""
    discriminant = b * b - a * c
    with np.errstate(invalid="ignore", divide="ignore"):
        root = (-b - np.sqrt(discriminant)) / a
    return np.where((discriminant > 0) & (root > 0), root, np.inf)


def _sphere_distance(origin: FloatArray, rays: FloatArray, radius: float, height: float) -> FloatArray:
    offset = origin - np.array([0, height, 0], dtype=np.float32)
    return _first_root((rays * rays).sum(1), (offset * rays).sum(1), (offset * offset).sum(1) - radius**2)


def _tube_distance(origin: FloatArray, rays: FloatArray, radius: float, low: float, high: float) -> FloatArray:
    """Side of an upright cylinder between two heights."""
    flat_origin, flat_rays = origin[:, ::2], rays[:, ::2]
    distance = _first_root(
        (flat_rays * flat_rays).sum(1),
        (flat_origin * flat_rays).sum(1),
        (flat_origin * flat_origin).sum(1) - np.float32(radius**2),
    )
    with np.errstate(invalid="ignore"):
        y = origin[:, 1] + distance * rays[:, 1]
    return np.where((y >= low) & (y <= high), distance, np.inf)


def _lid(origin: FloatArray, rays: FloatArray, radius: float, height: float) -> FloatArray:
    """Upper face of an upright cylinder."""
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = (height - origin[:, 1]) / rays[:, 1]
        x, z = origin[:, 0] + distance * rays[:, 0], origin[:, 2] + distance * rays[:, 2]
    return np.where((distance > 0) & (x * x + z * z <= radius**2), distance, np.inf)
