"""Deterministic gradient noise in 3D space, so that synthesised skin is continuous across UV seams."""

import numpy as np

from backend.system.numba_cache import njit, prange


@njit(cache=True, inline="always")
def _hash(x: int, y: int, z: int, seed: int) -> np.uint32:
    h = (
        np.uint32(x) * np.uint32(0x8DA6B343)
        ^ np.uint32(y) * np.uint32(0xD8163841)
        ^ np.uint32(z) * np.uint32(0xCB1AB31F)
    )
    h ^= np.uint32(seed) * np.uint32(0x9E3779B9)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    return np.uint32(h)


_EDGES = np.array(
    [
        (1, 1, 0), (-1, 1, 0), (1, -1, 0), (-1, -1, 0), (1, 0, 1), (-1, 0, 1), (1, 0, -1), (-1, 0, -1),
        (0, 1, 1), (0, -1, 1), (0, 1, -1), (0, -1, -1), (1, 1, 0), (0, -1, 1), (-1, 1, 0), (0, -1, -1),
    ],
    np.float64,
)  # fmt: skip
"""Gradients: the twelve edge directions of a cube, four of them twice (Perlin, "Improving Noise", 2002). A table,
because branches take three times as long."""


@njit(cache=True, parallel=True, nogil=True)
def _noise(points: np.ndarray, frequency: float, seed: int, edges: np.ndarray, out: np.ndarray) -> None:
    for i in prange(points.shape[0]):
        px, py, pz = points[i, 0] * frequency, points[i, 1] * frequency, points[i, 2] * frequency
        x0, y0, z0 = int(np.floor(px)), int(np.floor(py)), int(np.floor(pz))
        fx, fy, fz = px - x0, py - y0, pz - z0
        u = fx * fx * fx * (fx * (fx * 6.0 - 15.0) + 10.0)
        v = fy * fy * fy * (fy * (fy * 6.0 - 15.0) + 10.0)
        w = fz * fz * fz * (fz * (fz * 6.0 - 15.0) + 10.0)
        total = 0.0
        for dx in range(2):
            for dy in range(2):
                for dz in range(2):
                    weight = (u if dx else 1.0 - u) * (v if dy else 1.0 - v) * (w if dz else 1.0 - w)
                    edge = edges[_hash(x0 + dx, y0 + dy, z0 + dz, seed) & np.uint32(15)]
                    total += weight * (edge[0] * (fx - dx) + edge[1] * (fy - dy) + edge[2] * (fz - dz))
        out[i] = total


def gradient_noise(points: np.ndarray, wavelength: float, seed: int) -> np.ndarray:
    """Perlin's gradient noise, mean 0 and standard deviation about 1.

    Parameters
    ----------
    points : (N, 3) positions, any unit.
    wavelength : distance between lattice points in the same unit.
    seed : another seed gives an independent pattern.

    Returns
    -------
    (N,) float32.
    """
    out = np.empty(len(points), np.float32)
    _noise(np.ascontiguousarray(points, np.float32), 1.0 / wavelength, int(seed) & 0x7FFFFFFF, _EDGES, out)
    return out * np.float32(3.7)  # this lattice noise has a standard deviation of about 0.27


def fractal_noise(points: np.ndarray, wavelength: float, octaves: int, seed: int, gain: float = 0.6) -> np.ndarray:
    """Sum of ``octaves`` noises, each with half the wavelength and ``gain`` times the amplitude of the previous one;
    (N,) float32, standard deviation about 1."""
    total = np.zeros(len(points), np.float32)
    for octave in range(octaves):
        total += np.float32(gain**octave) * gradient_noise(points, wavelength / 2**octave, seed * 31 + octave)
    return total / np.float32(np.sqrt(sum(gain ** (2 * k) for k in range(octaves))))
