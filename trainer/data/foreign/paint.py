"""Paint skin, brows, lips, scalp and eyes as vertex colours onto heads without colour."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from trainer.data.noise3d import fractal_noise

LIPS = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)
BROWS = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))
UPPER_LIDS = ((173, 157, 158, 159, 160, 161, 246), (398, 384, 385, 386, 387, 388, 466))
"""Without the corners, which are the ends of the lower lids; from the nose outwards."""
IRISES = (468, 473)
IRIS, PUPIL = 0.0058, 0.0018  # metres


def eye_colour(points: np.ndarray, iris: np.ndarray) -> np.ndarray:
    """(N, 3) linear colours of an eyeball's points (N, 3): sclera, iris, pupil, by distance from the axis along z."""
    away = points - points.mean(0)
    radius, front = np.hypot(away[:, 0], away[:, 1]), away[:, 2] > 0
    colour = np.tile([0.62, 0.58, 0.55], (len(points), 1))
    edge = np.clip((IRIS - radius) / 0.0008, 0, 1) * front
    colour += edge[:, None] * (iris - colour)
    colour[(radius < PUPIL) & front] = 0.005
    return colour


def skin_colour(points: np.ndarray, marks: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(N, 3) random linear albedo of skin points (N, 3) of a head with landmarks ``marks`` (478, 3): a tone, blotches,
    red cheeks and nose, lips, brows, and a scalp that is shaved, dark or bald."""
    melanin = generator.uniform(0.0, 1.0)
    light, dark = np.array([0.58, 0.36, 0.26]), np.array([0.09, 0.045, 0.028])
    tone = light ** (1 - melanin) * dark**melanin * generator.uniform(0.9, 1.1, 3)
    seed = int(generator.integers(1 << 30))
    blotch = fractal_noise(points, 0.012, seed, 3)
    colour = tone * np.exp(0.10 * blotch[:, None] * [0.6, 1.0, 1.0])
    red = sum(np.exp(-((points - marks[m]) ** 2).sum(1) / 0.018**2) for m in (50, 280, 1))
    colour *= np.exp(-generator.uniform(0.05, 0.35) * np.minimum(red, 1)[:, None] * [0.1, 1.0, 0.8])
    flat, front = points[:, :2], points[:, 2] > marks[[33, 263], 2].mean() - 0.03
    lip = _inside(flat, marks[list(LIPS), :2], 0.0012) * front
    lips = tone * generator.uniform(0.55, 1.0) * np.array([1.0, 0.62, 0.62])
    colour += lip[:, None] * (lips - colour)
    hair = np.minimum(generator.choice([0.012, 0.03, 0.09, 0.2]), 0.4 * tone[0]) * np.array([1.0, 0.72, 0.5])
    thick = generator.uniform(0.0025, 0.0045)
    for brow in BROWS:
        line = marks[list(brow), :2]
        near = np.clip(1.4 - _to_line(flat, line) / thick, 0, 1) * front
        near = near * (0.75 + 0.25 * fractal_noise(points, 0.002, seed + 1, 2))
        colour += np.clip(generator.uniform(0.6, 0.95) * near, 0, 1)[:, None] * (hair - colour)
    cover = generator.choice([0.0, 0.5, 0.95])
    line = marks[10, 1] + 0.012 + 0.004 * fractal_noise(points, 0.02, seed + 2, 2)
    height = points[:, 1] - line + 0.45 * np.maximum(marks[10, 2] - 0.02 - points[:, 2], 0)
    behind = points[:, 2] < marks[10, 2] - 0.085
    scalp = np.clip(height / 0.006, 0, 1) * ((points[:, 1] > marks[168, 1]) | behind) * (points[:, 1] > marks[2, 1])
    colour += (cover * scalp)[:, None] * (hair - colour)
    return np.clip(colour, 0.004, 0.85)


def in_eye(points: np.ndarray, marks: np.ndarray, eye: int, wider: float = 0.0) -> np.ndarray:
    """(N,) bool: points (N, 3) of a face along z inside the outline of an eye (0: x < 0) by landmarks (478, 3), or
    within ``wider`` metres of it."""
    outline = marks[[*LOWER_LIDS[eye], *UPPER_LIDS[eye]]]
    near = points[:, 2] > outline[:, 2].min() - 0.01
    found = np.zeros(len(points), bool)
    found[near] = _inside(points[near, :2], outline[:, :2], max(wider, 1e-6)) > (0.0 if wider else 0.5)
    return found


def painted_eye(points: np.ndarray, marks: np.ndarray, eye: int, iris: np.ndarray) -> np.ndarray:
    """(N, 3) linear colours of points (N, 3) between the lids of a head without eyeballs: sclera, iris, pupil.

    The shadow of lids and lashes is painted too, because a skin without sockets casts none."""
    away = np.linalg.norm(points[:, :2] - marks[IRISES[eye], :2], axis=1)
    colour = np.tile([0.40, 0.36, 0.33], (len(points), 1))
    colour += np.clip((IRIS - away) / 0.0008, 0, 1)[:, None] * (iris - colour)
    colour[away < PUPIL] = 0.005
    upper = marks[[LOWER_LIDS[eye][-1], *UPPER_LIDS[eye], LOWER_LIDS[eye][0]], :2]
    lower = marks[list(LOWER_LIDS[eye]), :2]
    shade = np.clip(0.1 + _to_line(points[:, :2], upper) / 0.004, 0, 1)
    return colour * (shade * np.clip(0.4 + _to_line(points[:, :2], lower) / 0.0015, 0, 1))[:, None]


def shut_lids(colour: np.ndarray, points: np.ndarray, marks: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """Skin colours (N, 3) of shut eyes: lashes of colour ``hair`` (3,) are painted along the lower lids."""
    front = points[:, 2] > marks[[33, 263], 2].mean() - 0.03
    for lid in LOWER_LIDS:
        dark = np.clip(1.3 - _to_line(points[:, :2], marks[list(lid), :2]) / 0.0011, 0, 1) * front
        colour = colour + 0.8 * dark[:, None] * (hair - colour)
    return colour


def _inside(points: np.ndarray, polygon: np.ndarray, soft: float) -> np.ndarray:
    """(N,) mask: 1 inside a polygon (K, 2), falling to 0 over the distance ``soft``."""
    from matplotlib.path import Path as Outline

    within = Outline(polygon).contains_points(points)
    return np.where(within, 1.0, np.clip(1 - _to_line(points, np.vstack([polygon, polygon[:1]])) / soft, 0, 1))


def _to_line(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """(N,) distances to a polyline (K, 2)."""
    best = np.full(len(points), np.inf)
    for a, b in pairwise(line):
        along = np.clip(((points - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
        best = np.minimum(best, np.linalg.norm(points - a - along[:, None] * (b - a), axis=1))
    return best
