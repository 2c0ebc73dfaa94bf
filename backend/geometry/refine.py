"""Catmull-Clark refinement of vertex values in torch, many fields at a time.

Rules and order of new vertices are the same as in ``backend.geometry.subdivision``, which gives matrices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Refinement:
    """One step on a quad mesh of ``count`` vertices. It gives its vertices, then a point per edge, then one per face.

    Attributes
    ----------
    count : vertices before. quads : (F, 4), edges : (E, 2), beside : (2, B) edge and face of each side of each face,
    border : (E,) bool edges with one face; all but ``border`` int64. refined : (4 F, 4) the quads afterwards.
    """

    count: int
    quads: Tensor
    edges: Tensor
    beside: Tensor
    border: Tensor
    refined: np.ndarray

    def __call__(self, values: Tensor) -> Tensor:
        """Refine vertex values (V, C) to (V + E + F, C); differentiable, linear."""
        face_points = values[self.quads].mean(1)  # (F, C)
        middles = values[self.edges].mean(1)  # (E, C)
        uses = torch.zeros(len(self.edges), 1, dtype=values.dtype).index_add_(
            0, self.beside[0], torch.ones(self.beside.shape[1], 1, dtype=values.dtype)
        )
        around = torch.zeros_like(middles).index_add_(0, self.beside[0], face_points[self.beside[1]]) / uses
        edge_points = torch.where(self.border[:, None], middles, 0.5 * (middles + around))
        valence, middle_mean = self._mean(middles, self.edges)
        _, face_mean = self._mean(face_points, self.quads)
        smooth = (face_mean + 2 * middle_mean + (valence - 3) * values) / valence.clamp(min=1)
        on_border, border_mean = self._mean(middles[self.border], self.edges[self.border])
        vertex_points = torch.where(on_border > 0, 0.5 * (border_mean + values), smooth)
        vertex_points = torch.where(valence > 0, vertex_points, values)
        return torch.cat([vertex_points, edge_points, face_points])

    def _mean(self, values: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
        """(V, 1) number of elements (M, k vertices) at each vertex, and the mean (V, C) of their values (M, C)."""
        corners = members.shape[1]
        flat = members.t().reshape(-1)
        number = torch.bincount(flat, minlength=self.count).to(values.dtype)[:, None]
        total = torch.zeros(self.count, values.shape[1], dtype=values.dtype)
        total.index_add_(0, flat, values.repeat(corners, 1))
        return number, total / number.clamp(min=1)


def refinement(quads: np.ndarray, count: int) -> Refinement:
    """The step for quads (F, 4); raises ``ValueError`` where a quad repeats a corner."""
    quads = np.asarray(quads, np.int64)
    if (np.diff(np.sort(quads, axis=1), axis=1) == 0).any():
        raise ValueError("a quad repeats a corner")
    sides = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1)  # (F, 4, 2)
    edges, inverse = np.unique(np.sort(sides.reshape(-1, 2), axis=1), axis=0, return_inverse=True)
    face_edges = inverse.reshape(-1, 4)
    middle = count + face_edges
    centre = np.broadcast_to((count + len(edges) + np.arange(len(quads)))[:, None], quads.shape)
    refined = np.stack([quads, middle, centre, np.roll(middle, 1, axis=1)], axis=-1).reshape(-1, 4)
    beside = np.stack([face_edges.ravel(), np.repeat(np.arange(len(quads)), 4)])
    border = np.bincount(face_edges.ravel(), minlength=len(edges)) == 1
    return Refinement(
        count,
        torch.from_numpy(quads.copy()),
        torch.from_numpy(edges),
        torch.from_numpy(beside),
        torch.from_numpy(border),
        refined,
    )


def refinements(quads: np.ndarray, count: int, levels: int) -> tuple[Refinement, ...]:
    """The steps that refine quads (F, 4) of ``count`` vertices ``levels`` times; raises as ``refinement``."""
    steps = []
    for _ in range(levels):
        steps.append(refinement(quads, count))
        count += len(steps[-1].edges) + len(steps[-1].quads)
        quads = steps[-1].refined
    return tuple(steps)
