"""Smooth random functions of space.

Paint eyeballs, brows and lashes per vertex, in linear light.
"""

import math
from dataclasses import dataclass

import numpy as np

from backend.geometry.vectors import smoothstep
from backend.photos.regions import BROW_LOWER, BROW_UPPER, LID_LOWER, LID_UPPER
from backend.system.numba_cache import numba


def value_noise(points: np.ndarray, wavelength: float | tuple[float, float, float], seed: int) -> np.ndarray:
    """Value noise in [-1, 1] at ``points`` (P, 3): random numbers on a lattice, blended by a quintic.

    ``wavelength`` is the lattice's spacing, one for all axes or one per axis, in the points' unit.
    """
    spacing = np.broadcast_to(np.asarray(wavelength, dtype=np.float64), 3)
    return _value_noise(np.ascontiguousarray(points, dtype=np.float64), spacing, seed & 0xFFFFFFFFFFFFFFFF)


def fractal_noise(points: np.ndarray, wavelength: float, seed: int, octaves: int = 4, gain: float = 0.5) -> np.ndarray:
    """Sum of ``value_noise`` at halved wavelengths, amplitudes falling by ``gain``; about [-1, 1]."""
    total, norm = np.zeros(len(points)), 0.0
    for octave in range(octaves):
        total += gain**octave * value_noise(points, wavelength / 2**octave, seed + 101 * octave)
        norm += gain**octave
    return total / norm


@numba.njit(cache=True)
def _lattice(x, y, z, seed):  # pragma: no cover - compiled
    """Hash an integer lattice point to a number in [-1, 1]: multiply and xor-shift rounds on 64 bits."""
    h = np.uint64(x) * np.uint64(0x9E3779B97F4A7C15)
    h += np.uint64(y) * np.uint64(0xC2B2AE3D27D4EB4F)
    h += np.uint64(z) * np.uint64(0x165667B19E3779F9)
    h += seed * np.uint64(0xD6E8FEB86659FD93)
    for _ in range(2):
        h ^= h >> np.uint64(32)
        h *= np.uint64(0xD6E8FEB86659FD93)
    h ^= h >> np.uint64(32)
    return float(h >> np.uint64(40)) / 8388608.0 - 1.0


@numba.njit(cache=True)
def _value_noise(points, spacing, seed):  # pragma: no cover - compiled
    result = np.empty(len(points))
    seed = np.uint64(seed)
    cell = np.empty(3, np.int64)
    t = np.empty(3)
    for k in range(len(points)):
        for axis in range(3):
            scaled = points[k, axis] / spacing[axis]
            low = math.floor(scaled)
            cell[axis] = int(low)
            f = scaled - low
            t[axis] = f * f * f * (f * (f * 6 - 15) + 10)
        total = 0.0
        for i in range(2):
            for j in range(2):
                for m in range(2):
                    weight = t[0] if i else 1 - t[0]
                    weight *= t[1] if j else 1 - t[1]
                    weight *= t[2] if m else 1 - t[2]
                    total += weight * _lattice(cell[0] + i, cell[1] + j, cell[2] + m, seed)
        result[k] = total
    return result


def scattered_spots(points: np.ndarray, spacing: float, radius: float, share: float, seed: int) -> np.ndarray:
    """Soft round spots (P,), 0-1, at random places in space. Each cell of side ``spacing`` has one with probability
    ``share``; its radius is 0.4 to 1 times ``radius`` (at most ``spacing``)."""
    return _scattered_spots(
        np.ascontiguousarray(points, dtype=np.float64), spacing, radius, share, seed & 0xFFFFFFFFFFFFFFFF
    )


@numba.njit(cache=True)
def _scattered_spots(points, spacing, radius, share, seed):  # pragma: no cover - compiled
    result = np.zeros(len(points))
    seed = np.uint64(seed)
    for k in range(len(points)):
        base = points[k] / spacing
        x, y, z = math.floor(base[0]), math.floor(base[1]), math.floor(base[2])
        for i in range(x - 1, x + 2):
            for j in range(y - 1, y + 2):
                for m in range(z - 1, z + 2):
                    if _lattice(i, j, m, seed) > 2 * share - 1:
                        continue
                    offset = 0.0
                    for axis in range(3):
                        corner = i if axis == 0 else (j if axis == 1 else m)
                        spot = corner + 0.5 + 0.5 * _lattice(i, j, m, seed + np.uint64(1 + axis))
                        offset += (base[axis] - spot) ** 2
                    size = radius / spacing * (0.7 + 0.3 * _lattice(i, j, m, seed + np.uint64(4)))
                    distance = math.sqrt(offset) / size
                    if distance < 1:
                        result[k] = max(result[k], (1 - distance * distance) ** 2)
    return result


@dataclass(frozen=True)
class EyeLook:
    """Iris diameter in metres (people: 11.7 mm, spread 0.4 mm), iris colour and sclera colour in linear light."""

    iris_diameter: float = 0.0117
    iris: tuple[float, float, float] = (0.09, 0.045, 0.02)
    sclera: tuple[float, float, float] = (0.62, 0.56, 0.53)


def paint_eyeball(vertices: np.ndarray, centre: np.ndarray, gaze: np.ndarray, look: EyeLook, seed: int) -> np.ndarray:
    """(P, 3) albedo of eyeball vertices (P, 3): pupil, iris with fibres and a dark rim, sclera with veins.

    ``gaze`` is the unit vector of the line of sight; distances are measured from that axis.
    """
    offset = vertices - centre
    along = offset @ gaze
    across = offset - along[:, None] * gaze
    radius = np.linalg.norm(across, axis=1)
    side = np.cross(gaze, [0.0, 1.0, 0.0])
    side /= np.linalg.norm(side)
    angle = np.arctan2(across @ np.cross(side, gaze), across @ side)
    limit = look.iris_diameter / 2
    ring = np.stack([np.cos(angle) * 12, np.sin(angle) * 12, radius / limit * 1.5], axis=1)
    fibre = 1 + 0.45 * value_noise(ring, 1.0, seed) + 0.2 * value_noise(ring * 2.3, 1.0, seed + 1)
    shade = fibre * (1.25 - 0.55 * smoothstep(0.55, 1.0, radius / limit))
    iris = np.asarray(look.iris) * shade[:, None]
    iris = iris * (1 - 0.65 * smoothstep(0.84, 0.98, radius / limit))[:, None]
    iris = iris * (1 - 0.98 * smoothstep(0.40, 0.34, radius / limit))[:, None]
    vein = fractal_noise(offset, 0.004, seed + 2)
    redness = smoothstep(0.006, 0.013, radius) * (0.10 + 0.12 * np.clip(vein, 0, 1))
    sclera = np.asarray(look.sclera) * (1 - redness[:, None] * [0.2, 1.0, 1.0])
    inside = smoothstep(limit * 1.05, limit * 0.96, radius) * (along > 0)
    return sclera + (iris - sclera) * inside[:, None]


def _polyline(points: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance (P,) of 2-D points from a polyline (L, 2) and position (P,) along it, 0-1."""
    start, step = line[:-1], np.diff(line, axis=0)
    offset = points[:, None] - start  # (P, L-1, 2)
    t = np.clip((offset * step).sum(-1) / (step**2).sum(-1), 0, 1)
    distance = np.linalg.norm(offset - t[..., None] * step, axis=-1)
    best = distance.argmin(1)
    rows = np.arange(len(points))
    return distance[rows, best], (best + t[rows, best]) / len(step)


def brow_density(vertices: np.ndarray, landmarks: np.ndarray, thickness: float, seed: int) -> np.ndarray:
    """(P,) opacity of the brow hair over the skin, 0-1, for vertices of a face that looks along +z.

    ``landmarks`` (478, 3) on that face; ``thickness`` scales the width of the brow.
    """
    density = np.zeros(len(vertices))
    for upper, lower in zip(BROW_UPPER, BROW_LOWER, strict=True):
        top, bottom = landmarks[list(upper), :2], landmarks[list(lower), :2]
        low, high = np.minimum(top, bottom).min(0) - 0.01, np.maximum(top, bottom).max(0) + 0.01
        front = vertices[:, 2] > landmarks[list(upper), 2].min() - 0.02
        near = np.flatnonzero(front & ((vertices[:, :2] > low) & (vertices[:, :2] < high)).all(1))
        if len(near) == 0:
            continue
        points = vertices[near, :2]
        distance, along = _polyline(points, (top + bottom) / 2)
        width = thickness * np.interp(along, [0, 0.3, 0.75, 1], [0.0012, 0.0034, 0.0044, 0.0040])
        ends = smoothstep(0.0, 0.12, along) * smoothstep(1.0, 0.94, along)
        body = smoothstep(1.25, 0.45, distance / width) * (0.35 + 0.65 * ends)
        outwards = np.sign(landmarks[upper[0], 0] - landmarks[upper[-1], 0])
        tilt = np.stack([points[:, 0] * outwards + 0.9 * points[:, 1], points[:, 1] - 0.5 * outwards * points[:, 0]], 1)
        strokes = value_noise(np.concatenate([tilt, np.zeros((len(near), 1))], 1), (0.0009, 0.0045, 1.0), seed)
        hair = np.clip(body * (0.85 + 0.6 * strokes), 0, 1)
        density[near] = np.maximum(density[near], hair)
    return density


def lash_density(vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(P,) darkness of the lid margins, 0-1: strong above, faint below."""
    density = np.zeros(len(vertices))
    for lines, strength, width in ((LID_UPPER, 0.85, 0.0016), (LID_LOWER, 0.45, 0.0011)):
        for line in lines:
            contour = landmarks[list(line)]
            near = np.flatnonzero(np.linalg.norm(vertices - contour.mean(0), axis=1) < 0.03)
            distance, along = _polyline(vertices[near, :2], contour[:, :2])
            fade = smoothstep(1.02, 0.85, along)
            density[near] = np.maximum(density[near], strength * fade * smoothstep(width, width * 0.35, distance))
    return density
