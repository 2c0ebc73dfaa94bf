"""Static maps in the template's UV space of lips, brows, beards, lines and blushes; and tiles of noise."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.geometry.smoothstep import smoothstep
from backend.geometry.template import Template, load_template
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids
from trainer.data.people.surface import HEAD, PeopleSurface

BROW_UPPER = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
BROW_LOWER = ((46, 53, 52, 65, 55), (276, 283, 282, 295, 285))
LID_UPPER = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
LID_LOWER = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))
"""MediaPipe landmark ids, the person's right first, brows from the temple to the nose, lids from the outer corner."""

MAP_NAMES = (
    "lips", "mouth", "ears", "neck", "brow_along", "brow_across", "lash", "lid", "moustache", "chin", "jaw", "scalp",
    "redness", "nasolabial", "forehead_lines", "crows_feet", "eye_bag", "frown_lines", "cheeks", "nose", "relief",
)  # fmt: skip
"""``relief`` is the shading of age lines under light from above: dark at their upper edge, bright at their lower
one."""
FULL_RESOLUTION = 512
TILE = 512
TILE_NAMES = ("low", "mid", "fine", "strands", "spots")


def _spline(points: np.ndarray, count: int) -> np.ndarray:
    """(count, 3) points on the Catmull-Rom curve through points (L, 3)."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    place = np.linspace(0, len(points) - 1, count)
    start = np.minimum(place.astype(int), len(points) - 2)
    t = (place - start)[:, None]
    a, b, c, d = (padded[start + k] for k in range(4))
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def _to_curve(points: np.ndarray, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance (P,), position (P,) 0-1 along (beyond at the ends) and offset (P, 3) of points from a curve (L, 3)."""
    squared = ((points[:, None] - curve) ** 2).sum(-1)
    best = squared.argmin(1)
    step = np.gradient(curve, axis=0)
    offset = points - curve[best]
    along = (offset * step[best]).sum(1) / (step[best] ** 2).sum(1)
    across = offset - along[:, None] * step[best] * (np.abs(along) <= 1)[:, None]
    return np.linalg.norm(across, axis=1), (best + along) / (len(curve) - 1), across


def _line(points: np.ndarray, curve: np.ndarray, width: float) -> np.ndarray:
    """(P,) 1 on the curve, fading out over ``width`` metres and towards its ends."""
    value = np.zeros(len(points))
    near = np.flatnonzero(
        (np.abs(points - (curve.max(0) + curve.min(0)) / 2) < (curve.max(0) - curve.min(0)) / 2 + 2 * width).all(1)
    )
    if len(near):
        distance, place, _ = _to_curve(points[near], curve)
        ends = smoothstep(-0.05, 0.2, place) * smoothstep(1.05, 0.8, place)
        value[near] = np.exp(-((distance / width) ** 2)) * ends
    return value


def _head_maps(points: np.ndarray, regions: Mapping[str, np.ndarray], marks: np.ndarray) -> dict[str, np.ndarray]:
    """Values (P,) of every map at points (P, 3) of the mean head; regions (P,) each; marks (478, 3)."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    both = np.stack([x, y, z], 1)  # everything is symmetric: use the person's left side
    maps = {"lips": regions["lips"], "mouth": regions["mouth_interior"], "ears": regions["ears"]}
    maps["neck"] = np.maximum(regions["neck"], smoothstep(0.612, 0.604, y) * smoothstep(0.115, 0.10, z))
    maps["nose"] = regions["nose"]
    # brows
    brow = _spline((marks[list(BROW_UPPER[1])] + marks[list(BROW_LOWER[1])])[::-1] / 2, 65)
    above = np.sign(y - np.interp(x, *_by_x(brow)))
    along, across = np.full(len(points), -0.5), 0.03 * above
    near = np.flatnonzero(np.linalg.norm(both - brow[32], axis=1) < 0.09)
    distance, place, _ = _to_curve(both[near], brow)
    along[near], across[near] = place, above[near] * distance
    maps["brow_along"], maps["brow_across"] = np.clip(along, -0.5, 1.5), np.clip(across, -0.03, 0.03) * 100
    # lids
    upper, lower = _spline(marks[list(LID_UPPER[1])], 65), _spline(marks[list(LID_LOWER[1])], 65)
    maps["lash"] = np.maximum(_lash(both, upper, 0.0052), 0.4 * _lash(both, lower, 0.0026))
    near = np.flatnonzero(np.linalg.norm(both - upper[32], axis=1) < 0.045)
    over = np.zeros(len(points))
    over[near] = np.exp(-((_to_curve(both[near], upper)[0] / 0.008) ** 2))
    maps["lid"] = over * smoothstep(0.0, 0.002, y - np.interp(x, *_by_x(upper)))
    # beards
    bare = 1 - np.maximum(regions["lips"], regions["mouth_interior"])
    nose_base, lip_top, lip_bottom = marks[2, 1], marks[0, 1], marks[17, 1]
    corner = marks[291]
    maps["moustache"] = (
        smoothstep(0.034, 0.024, x) * smoothstep(nose_base + 0.001, nose_base - 0.004, y)
        * smoothstep(corner[1] - 0.012, corner[1] - 0.002, y) * smoothstep(0.10, 0.12, z) * bare
    )  # fmt: skip
    chin_top = np.interp(x, [0, 0.010, 0.016, 0.026], [lip_bottom + 0.002, lip_bottom, lip_top, corner[1] + 0.002])
    maps["chin"] = (
        smoothstep(0.032, 0.024, x) * smoothstep(chin_top + 0.002, chin_top - 0.004, y)
        * smoothstep(0.596, 0.606, y) * smoothstep(0.08, 0.10, z) * bare
    )  # fmt: skip
    cheek = np.interp(x, [0.02, 0.03, 0.045, 0.058, 0.066, 0.075], [0.655, 0.658, 0.667, 0.686, 0.725, 0.76])
    maps["jaw"] = (
        smoothstep(0.022, 0.034, x) * smoothstep(cheek + 0.004, cheek - 0.006, y) * smoothstep(0.597, 0.612, y)
        * smoothstep(0.028, 0.045, z) * (1 - regions["ears"]) * bare
    )  # fmt: skip
    front = np.interp(x, [0, 0.035, 0.05, 0.062, 0.075, 0.1], [0.792, 0.788, 0.776, 0.752, 0.728, 0.72])
    line = np.where(z > 0.03, front, np.interp(z, [-0.09, -0.04, 0.0, 0.03], [0.625, 0.640, 0.70, 0.735]))
    maps["scalp"] = smoothstep(-0.004, 0.004, y - line) * (1 - regions["ears"])
    # blood near the surface
    cheeks = np.exp(-(((x - 0.043) / 0.018) ** 2) - ((y - 0.685) / 0.018) ** 2) * (z > 0.05)
    tip = np.exp(-((np.linalg.norm(points - marks[1], axis=1) / 0.016) ** 2))
    chin = np.exp(-((np.linalg.norm(points - marks[199], axis=1) / 0.016) ** 2))
    maps["cheeks"] = cheeks
    maps["redness"] = np.clip(0.8 * cheeks + 0.9 * tip + 0.35 * chin + 0.6 * regions["ears"], 0, 1.5)
    # lines of age
    wing, mouth = marks[358], marks[291]
    offsets = np.array([[0.006, 0.004, 0], [0.010, 0.001, 0], [0.008, -0.002, 0], [0.007, -0.016, -0.002]])
    fold = _spline(np.stack([wing, (wing + mouth) / 2, mouth, mouth]) + offsets, 33)
    maps["nasolabial"] = _line(both, fold, 0.0028)
    brow_top = marks[334, 1]
    lines = np.zeros(len(points))
    for height, width in ((0.012, 0.035), (0.021, 0.038), (0.030, 0.036)):
        bend = brow_top + height - 5 * x**2 * 0.6 + 0.0007 * np.sin(x * 130 + height * 900)
        lines += np.exp(-(((y - bend) / 0.0016) ** 2)) * smoothstep(width, width * 0.6, x) * (z > 0.08)
    maps["forehead_lines"] = lines
    outer = marks[263]
    crow = np.zeros(len(points))
    for rise in (-0.55, -0.15, 0.3):
        ray = outer + np.linspace(0.006, 0.024, 17)[:, None] * np.array([0.8, rise, -0.6])
        crow = np.maximum(crow, _line(both, ray, 0.0014))
    maps["crows_feet"] = crow
    below = np.array([[0.0, 0, 0], [0, -0.008, 0], [0, -0.008, 0]])
    bag = _spline(marks[[362, 374, 263]] + below, 33)
    maps["eye_bag"] = _line(both, bag, 0.0035)
    between = np.array([[0.006, marks[336, 1] - 0.006, 0], [0.0065, marks[336, 1] + 0.008, 0]])
    between[:, 2] = marks[9, 2]
    maps["frown_lines"] = _line(both * [1, 1, 0], _spline(between, 17) * [1, 1, 0], 0.0013) * (z > 0.1)
    maps["relief"] = np.clip(maps["nasolabial"] + 0.8 * maps["eye_bag"] + 0.7 * lines + 0.7 * crow, 0, 1.5)
    return maps


def _by_x(curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(curve[:, 0])
    return curve[order, 0], curve[order, 1]


def _lash(points: np.ndarray, curve: np.ndarray, width: float) -> np.ndarray:
    value = np.zeros(len(points))
    near = np.flatnonzero(np.linalg.norm(points - curve[len(curve) // 2], axis=1) < 0.03)
    distance, place, _ = _to_curve(points[near], curve)
    value[near] = smoothstep(width, width * 0.3, distance) * smoothstep(1.02, 0.85, place)
    return value


@lru_cache(maxsize=1)
def full_maps() -> Tensor:
    """(M, 512, 512) float32 of ``MAP_NAMES``; row 0 is v = 1. Computed once per process, on the CPU."""
    template: Template = load_template()
    surface = PeopleSurface(template, torch.device("cpu"))
    keep = surface.face_kind == HEAD
    faces = surface.cut_faces[keep]
    points = torch.ones(1, len(surface.uv), 3)
    points[0, :, 0] = surface.uv[:, 0] * FULL_RESOLUTION
    points[0, :, 1] = (1 - surface.uv[:, 1]) * FULL_RESOLUTION
    found = fragments(face_ids(points, faces, (FULL_RESOLUTION, FULL_RESOLUTION)), faces)
    weights = fragment_barycentrics(points, found)
    names = list(template.regions)
    region = np.stack([template.regions[name] for name in names], 1)
    region = np.concatenate([region, np.zeros((len(surface.rest) - len(region), len(names)), np.float32)])
    values = torch.cat([surface.rest, torch.from_numpy(region)], 1)[surface.source][None]
    texels = fragment_values(values, found, weights).double().numpy()
    marks = template.landmarks478.positions(surface.rest[: surface.vertex_count].double().numpy())
    regions = {name: texels[:, 3 + number] for number, name in enumerate(names)}
    maps = _head_maps(texels[:, :3], regions, marks)
    stacked = torch.from_numpy(np.stack([maps[name] for name in MAP_NAMES], 1)).float()
    images = found.scatter(stacked)[0].permute(2, 0, 1)
    covered = found.scatter(torch.ones(len(stacked), 1))[0].permute(2, 0, 1)
    images = _fill_gutter(images, covered)
    groove = images[MAP_NAMES.index("relief")].clone()
    images[MAP_NAMES.index("relief")] = torch.roll(groove, -2, 0) - torch.roll(groove, 2, 0)
    return images


def _fill_gutter(images: Tensor, covered: Tensor, passes: int = 10) -> Tensor:
    """Extend charts outwards by the mean of their neighbours."""
    known, values = covered.clone(), images * covered
    for _ in range(passes):
        count = functional.avg_pool2d(known[None], 3, 1, 1)[0]
        mean = functional.avg_pool2d((values * known)[None], 3, 1, 1)[0] / count.clamp(min=1e-6)
        values = torch.where(known > 0, values, mean)
        known = ((known > 0) | (count > 0)).float()
    return values


def maps_at(resolution: int, device: torch.device) -> Tensor:
    """(1, M, R, R) the maps, averaged down to ``resolution`` (a power of two, at most 512)."""
    return functional.interpolate(full_maps()[None], (resolution, resolution), mode="area").to(device)


@lru_cache(maxsize=1)
def full_tiles() -> Tensor:
    """(T, 512, 512) float32 periodic noise of ``TILE_NAMES``, standard deviation 1 except ``spots`` (0-1)."""
    generator = np.random.Generator(np.random.Philox(key=20261120))
    fy, fx = np.meshgrid(np.fft.fftfreq(TILE) * TILE, np.fft.rfftfreq(TILE) * TILE, indexing="ij")
    radius = np.hypot(fx, fy)

    def shaped(spectrum: np.ndarray) -> np.ndarray:
        noise = np.fft.irfft2(np.fft.rfft2(generator.standard_normal((TILE, TILE))) * spectrum, s=(TILE, TILE))
        noise -= noise.mean()
        return noise / noise.std()

    low = shaped(np.where(radius > 0, 1 / np.maximum(radius, 2) ** 1.8, 0) * np.exp(-((radius / 30) ** 2)))
    mid = shaped(np.exp(-((np.log(np.maximum(radius, 1e-3) / 24) / 0.7) ** 2)))
    fine = shaped(np.exp(-((np.log(np.maximum(radius, 1e-3) / 90) / 0.6) ** 2)))
    strands = shaped(np.exp(-((fx / 120) ** 2) - (fy / 14) ** 2) * (np.abs(fx) > 20))
    seeds = generator.random((TILE, TILE)) < 0.004
    blur = np.exp(-((radius / 75) ** 2))
    spots = np.fft.irfft2(np.fft.rfft2(seeds * generator.uniform(0.3, 1.0, (TILE, TILE))) * blur, s=(TILE, TILE))
    spots = np.clip(spots / spots.max() * 2.2, 0, 1)
    return torch.from_numpy(np.stack([low, mid, fine, strands, spots]).astype(np.float32))


def tiles_at(resolution: int, device: torch.device) -> Tensor:
    """(1, T, R + 1, R + 1) the noise at ``resolution``, with its first row and column repeated for periodic lookups."""
    tiles = functional.interpolate(full_tiles()[None], (resolution, resolution), mode="area")
    tiles = torch.cat([tiles, tiles[..., :1]], -1)
    return torch.cat([tiles, tiles[..., :1, :]], -2).to(device)


def sample_maps(maps: Tensor, uv: Tensor) -> Tensor:
    """Sample maps (1, M, R, R) bilinearly at uv (P, 2), v up, to (M, P)."""
    grid = torch.stack([uv[:, 0] * 2 - 1, 1 - uv[:, 1] * 2], -1)[None, :, None]
    return functional.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)[0, :, :, 0]


def sample_tiles(tiles: Tensor, place: Tensor) -> Tensor:
    """Sample periodic tiles (1, T, R + 1, R + 1) bilinearly at place (P, 2), period 1, to (T, P)."""
    grid = (place.remainder(1.0) * 2 - 1)[None, :, None]
    return functional.grid_sample(tiles, grid, mode="bilinear", padding_mode="border", align_corners=True)[0, :, :, 0]
