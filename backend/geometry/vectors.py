"""Small vector functions: unit vectors, vertex normals, smooth steps, directions, lengths along lines, discs of pixels,
tubes."""

from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from backend.system.numba_cache import njit

Array = TypeVar("Array", np.ndarray, torch.Tensor)
_TINY = 1e-20


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


def vertex_normals(vertices: Array, faces: Array) -> Array:
    """Area-weighted unit normals (..., V, 3) of vertices (..., V, 3) and faces (F, 3), counter-clockwise from outside.

    Zero where a vertex has no face or its faces cancel out. Differentiable in torch.
    """
    if isinstance(vertices, torch.Tensor):
        corners = torch.as_tensor(faces, device=vertices.device).long().unbind(1)
        a, b, c = (vertices.index_select(-2, corner) for corner in corners)
        doubled = torch.linalg.cross(b - a, c - a)  # (..., F, 3), of length twice the area
        total = torch.zeros_like(vertices)
        for corner in corners:
            total = total.index_add(-2, corner, doubled)
        squared = (total * total).sum(-1, keepdim=True)
        return total * squared.masked_fill(squared <= _TINY * _TINY, torch.inf).rsqrt()
    vertices, faces = np.asarray(vertices), np.asarray(faces)
    total = summed(area_vectors(vertices, faces), faces, vertices.shape[-2])
    squared = squared_lengths(total)[..., None]
    return total / np.sqrt(np.where(squared > _TINY * _TINY, squared, np.inf))


def area_vectors(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(..., F, 3) normals of faces (F, 3) of vertices (..., V, 3), counter-clockwise from outside, of length twice the
    area."""
    a, b, c = (vertices[..., faces[:, i], :] for i in range(3))
    return np.cross(b - a, c - a)


def summed(vectors: np.ndarray, faces: np.ndarray, count: int) -> np.ndarray:
    """(..., ``count``, 3) sums of vectors (..., F, 3) over the corners of faces (F, 3)."""
    flat = vectors.reshape(-1, *vectors.shape[-2:])
    total = np.empty((len(flat), count, 3), vectors.dtype)
    corners = faces.T.reshape(-1)
    for i, one in enumerate(flat):
        for axis in range(3):
            total[i, :, axis] = np.bincount(corners, np.tile(one[:, axis], 3), minlength=count)
    return total.reshape(*vectors.shape[:-2], count, 3)


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
