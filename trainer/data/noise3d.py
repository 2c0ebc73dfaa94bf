"""Smooth random functions of space."""

from __future__ import annotations

import numpy as np


def value_noise(points: np.ndarray, wavelength: float | tuple[float, float, float], seed: int) -> np.ndarray:
    """Value noise in [-1, 1] at ``points`` (P, 3): random numbers on a lattice, blended by a quintic.

    ``wavelength`` is the lattice's spacing, one for all axes or one per axis, in the points' unit.
    """
    scaled = points / np.asarray(wavelength, dtype=np.float64)
    cell = np.floor(scaled).astype(np.int64)
    t = scaled - cell
    t = t * t * t * (t * (t * 6 - 15) + 10)
    total = np.zeros(len(points))
    for corner in range(8):
        offset = np.array([corner & 1, corner >> 1 & 1, corner >> 2])
        weight = np.where(offset == 1, t, 1 - t).prod(1)
        total += weight * _lattice(cell + offset, seed)
    return total


def fractal_noise(points: np.ndarray, wavelength: float, seed: int, octaves: int = 4, gain: float = 0.5) -> np.ndarray:
    """Sum of ``value_noise`` at halved wavelengths, amplitudes falling by ``gain``; about [-1, 1]."""
    total, norm = np.zeros(len(points)), 0.0
    for octave in range(octaves):
        total += gain**octave * value_noise(points, wavelength / 2**octave, seed + 101 * octave)
        norm += gain**octave
    return total / norm


def _lattice(cell: np.ndarray, seed: int) -> np.ndarray:
    h = (
        cell.astype(np.uint64) * np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
    ).sum(1, dtype=np.uint64)
    h = h + np.uint64(seed * 0xD6E8FEB86659FD93 & 0xFFFFFFFFFFFFFFFF)
    h ^= h >> np.uint64(32)
    h *= np.uint64(0xD6E8FEB86659FD93)
    h ^= h >> np.uint64(32)
    h *= np.uint64(0xD6E8FEB86659FD93)
    h ^= h >> np.uint64(32)
    return (h >> np.uint64(40)).astype(np.float64) / 2**23 - 1.0
