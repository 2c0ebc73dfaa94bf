"""Vertex and face normals of triangle meshes, for torch (differentiable, batched) and numpy alike."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

Array = TypeVar("Array", np.ndarray, torch.Tensor)

_TINY = 1e-20


def vertex_normals(vertices: Array, faces: Array) -> Array:
    """Area-weighted unit normals (..., V, 3) of vertices (..., V, 3) and faces (F, 3), counter-clockwise from outside.

    Zero where a vertex has no face or its faces cancel out.
    """
    if isinstance(vertices, torch.Tensor):
        return _unit(_summed_torch(vertices, torch.as_tensor(faces, device=vertices.device).long()))
    faces = np.asarray(faces)
    return _unit(_summed_numpy(np.asarray(vertices), faces))


def face_normals(vertices: Array, faces: Array) -> Array:
    """Unit normals (..., F, 3) of faces (F, 3), counter-clockwise from outside; zero for degenerate faces."""
    return _unit(_area_vectors(vertices, faces))


def _area_vectors(vertices: Array, faces: Array) -> Array:
    """(..., F, 3) normals of length twice the area."""
    a, b, c = (vertices[..., faces[:, i], :] for i in range(3))
    ab, ac = b - a, c - a
    return torch.linalg.cross(ab, ac) if isinstance(vertices, torch.Tensor) else np.cross(ab, ac)


def _unit(vectors: Array) -> Array:
    """Vectors divided by their length; the zero vector stays, with a zero gradient."""
    squared = (vectors * vectors).sum(-1)[..., None]
    if isinstance(vectors, torch.Tensor):
        return vectors * torch.where(squared > _TINY * _TINY, squared, torch.inf).rsqrt()
    return vectors / np.sqrt(np.where(squared > _TINY * _TINY, squared, np.inf))


def _summed_torch(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    batch = vertices.shape[:-2]
    flat = vertices.reshape(-1, *vertices.shape[-2:])  # (B, V, 3)
    corners = flat.index_select(1, faces.t().reshape(-1)).view(flat.shape[0], 3, -1, 3)  # (B, 3, F, 3)
    vectors = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])  # (B, F, 3)
    total = torch.zeros_like(flat)
    for corner in faces.unbind(1):
        total = total.index_add(1, corner, vectors)
    return total.view(*batch, *vertices.shape[-2:])


def _summed_numpy(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    vectors = _area_vectors(vertices, faces)  # (..., F, 3)
    count = vertices.shape[-2]
    flat = vectors.reshape(-1, *vectors.shape[-2:])
    total = np.empty((len(flat), count, 3), vertices.dtype)
    corners = faces.T.reshape(-1)
    for i, one in enumerate(flat):
        for axis in range(3):
            total[i, :, axis] = np.bincount(corners, np.tile(one[:, axis], 3), minlength=count)
    return total.reshape(vertices.shape)
