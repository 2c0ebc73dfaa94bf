"""Smooth random functions of space."""

from __future__ import annotations

import math

import numba
import numpy as np


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
                        place = corner + 0.5 + 0.5 * _lattice(i, j, m, seed + np.uint64(1 + axis))
                        offset += (base[axis] - place) ** 2
                    size = radius / spacing * (0.7 + 0.3 * _lattice(i, j, m, seed + np.uint64(4)))
                    distance = math.sqrt(offset) / size
                    if distance < 1:
                        result[k] = max(result[k], (1 - distance * distance) ** 2)
    return result
