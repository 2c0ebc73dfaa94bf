"""Vertex normals of triangle meshes, for torch (differentiable, batched) and numpy."""

from typing import TypeVar

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from backend.geometry.vectors import squared_lengths

Array = TypeVar("Array", np.ndarray, torch.Tensor)

_TINY = 1e-20


def vertex_normals(vertices: Array, faces: Array) -> Array:
    """Area-weighted unit normals (..., V, 3) of vertices (..., V, 3) and faces (F, 3), counter-clockwise from outside.

    Zero where a vertex has no face or its faces cancel out.
    """
    if isinstance(vertices, torch.Tensor):
        return _vertex_normals_torch(vertices, torch.as_tensor(faces, device=vertices.device).long())
    total = _summed_numpy(np.asarray(vertices), np.asarray(faces))
    squared = squared_lengths(total)[..., None]
    return total / np.sqrt(np.where(squared > _TINY * _TINY, squared, np.inf))


def _vertex_normals_torch(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    batch, count = vertices.shape[:-2], vertices.shape[-2]
    flat = vertices.reshape(-1, 3)  # (B*V, 3)
    first = torch.arange(0, len(flat), max(count, 1), device=faces.device)  # (B,)
    rows = (faces.t()[:, None] + first[:, None]).reshape(3, -1)  # (3, B*F)
    return _VertexNormals.apply(flat, rows).view(*batch, count, 3)


class _VertexNormals(torch.autograd.Function):
    """(V, 3) unit sums of (b - a) x (c - a) over the faces (3, F) at each vertex; stored by coordinate for speed."""

    @staticmethod
    def forward(ctx, vertices: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        planes = vertices.t().contiguous()  # (3, V)
        a, b, c = (planes.index_select(1, corner) for corner in rows)  # (3, F) each
        ab, ac = b.sub_(a), c.sub_(a)
        total = torch.zeros_like(planes)
        for line, part in zip(total, _cross(ab, ac), strict=True):
            for corner in rows:
                line.index_add_(0, corner, part)
        squared = (total * total).sum(0)
        scale = squared.masked_fill_(squared <= _TINY * _TINY, torch.inf).rsqrt_()  # (V,)
        total *= scale
        ctx.save_for_backward(ab, ac, rows, scale, total)
        return total.t()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        ab, ac, rows, scale, unit = ctx.saved_tensors
        planes = gradient.t().contiguous()
        planes = (planes - unit * (unit * planes).sum(0)) * scale
        at_faces = planes.index_select(1, rows[0])
        for corner in rows[1:]:
            at_faces += planes.index_select(1, corner)
        to_b, to_c = _cross(ac, at_faces), _cross(at_faces, ab)
        result = torch.zeros_like(planes)
        for corner, part, sign in ((rows[0], to_b + to_c, -1), (rows[1], to_b, 1), (rows[2], to_c, 1)):
            for line, values in zip(result, part, strict=True):
                line.index_add_(0, corner, values, alpha=sign)
        return result.t(), None


def _cross(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """(3, F) cross products of (3, F)."""
    return torch.stack([u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]])


def _summed_numpy(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[..., faces[:, i], :] for i in range(3))
    vectors = np.cross(b - a, c - a)  # (..., F, 3), of length twice the area
    count = vertices.shape[-2]
    flat = vectors.reshape(-1, *vectors.shape[-2:])
    total = np.empty((len(flat), count, 3), vertices.dtype)
    corners = faces.T.reshape(-1)
    for i, one in enumerate(flat):
        for axis in range(3):
            total[i, :, axis] = np.bincount(corners, np.tile(one[:, axis], 3), minlength=count)
    return total.reshape(vertices.shape)
