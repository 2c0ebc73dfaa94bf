"""Small vector functions: unit vectors, smooth steps, directions, lengths along lines, discs of pixels, tubes."""

import cv2
import numpy as np
import torch
from torch import Tensor

from backend.system.numba_cache import njit


def unit(vectors: Tensor) -> Tensor:
    """Vectors (..., 2 or 3) divided by their length (faster than ``normalize`` on so short an axis)."""
    square = sum(part * part for part in vectors.unbind(-1))
    return vectors * square.clamp(min=1e-20).rsqrt()[..., None]


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., D) divided by their length; those shorter than 1e-9 are divided by that."""
    return vectors / np.maximum(np.sqrt(squared_lengths(vectors)), 1e-9)[..., None]


def squared_lengths(vectors: np.ndarray) -> np.ndarray:
    """(...) squared lengths of vectors (..., D), part by part: numpy's sums over so short an axis take six times as
    long."""
    total = vectors[..., 0] * vectors[..., 0]
    for part in range(1, vectors.shape[-1]):
        total = total + vectors[..., part] * vectors[..., part]
    return total


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between (``low`` may exceed ``high``)."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    rising = 3.0 - 2.0 * t
    rising *= t
    rising *= t
    return rising


@njit(cache=True)
def smoothstep_at(low: float, high: float, x: np.float32) -> np.float32:
    """``smoothstep`` of one number, in ``dense`` loops; in single precision, as of an array of it."""
    t = min(max((x - np.float32(low)) / np.float32(high - low), np.float32(0.0)), np.float32(1.0))
    return (np.float32(3.0) - np.float32(2.0) * t) * t * t


def spread_directions(count: int) -> np.ndarray:
    """(count, 3) float64 unit vectors evenly spread over the sphere (Fibonacci spiral)."""
    step = np.arange(count) + 0.5
    z = 1 - 2 * step / count
    turn = np.pi * (1 + 5**0.5) * step
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], 1)


def arc_length(line: np.ndarray) -> np.ndarray:
    """(Q,) length along a line (Q, D) up to each of its points, from 0."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])


def disc(radius: int) -> np.ndarray:
    """(D, D) uint8 kernel for ``cv2.dilate`` with D = 2 ``radius`` + 1, 1 within ``radius`` pixels of the centre."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def tube(path: Tensor, radius: Tensor, sides: int, *, flatten: float = 1.0) -> tuple[Tensor, Tensor]:
    """Vertices and normals (N, P, sides, 3) of tubes around paths (N, P, 3); the last side repeats the first.

    ``radius`` (N, P) along the direction most upright; across it ``flatten`` times that.
    """
    step = torch.cat([path[:, 1:2] - path[:, :1], path[:, 2:] - path[:, :-2], path[:, -1:] - path[:, -2:-1]], 1)
    tangent = unit(step)
    upright = path.new_tensor([0.0, 1.0, 0.0]).expand_as(tangent)
    steep = tangent[..., 1:2].abs() > 0.9
    upright = torch.where(steep, path.new_tensor([0.0, 0.0, 1.0]).expand_as(tangent), upright)
    side = unit(torch.linalg.cross(upright, tangent))
    up = torch.linalg.cross(tangent, side)
    angle = torch.linspace(0, 2 * torch.pi, sides, device=path.device)
    ring = up[:, :, None] * angle.cos()[:, None] + side[:, :, None] * (flatten * angle.sin())[:, None]
    normals = up[:, :, None] * (flatten * angle.cos())[:, None] + side[:, :, None] * angle.sin()[:, None]
    vertices = path[:, :, None] + ring * radius[:, :, None, None]
    return vertices, unit(normals)
