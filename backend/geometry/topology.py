"""Topology of quad and triangle meshes: triangulation, edges, adjacency, Laplacians. numpy; matrices need scipy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Triangulation:
    """Triangles of a quad mesh.

    Attributes
    ----------
    faces : (T, 3) int64 vertex indices, in the quads' winding; quads in order, one or two triangles each.
    quad : (T,) int64 index of each triangle's quad.
    corners : (T, 3) int64 corners (0-3) of that quad.
    """

    faces: np.ndarray
    quad: np.ndarray
    corners: np.ndarray

    def apply(self, quads: np.ndarray) -> np.ndarray:
        """(T, 3) the same triangulation of another index array of these quads (Q, 4), such as the UV quads."""
        return np.asarray(quads)[self.quad[:, None], self.corners].astype(np.int64)


def triangulate(quads: np.ndarray) -> Triangulation:
    """Split quads (Q, 4) along their first diagonal; triangles with a repeated vertex are left out.

    A triangle that is stored as a quad with its last vertex repeated gives one triangle.
    """
    quads = np.asarray(quads)
    if quads.ndim != 2 or quads.shape[1] != 4:
        raise ValueError(f"quads must be (Q, 4), not {quads.shape}")
    corners = np.tile(np.array([[0, 1, 2], [0, 2, 3]]), (len(quads), 1))
    quad = np.repeat(np.arange(len(quads)), 2)
    faces = quads[quad[:, None], corners].astype(np.int64)
    kept = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return Triangulation(faces[kept], quad[kept], corners[kept])


def triangles_from_quads(quads: np.ndarray) -> np.ndarray:
    """(T, 3) int64 triangles of quads (Q, 4); see ``triangulate``."""
    return triangulate(quads).faces


def unique_edges(faces: np.ndarray) -> np.ndarray:
    """(E, 2) int64 undirected edges of triangles (F, 3) or quads (F, 4), smaller index first, sorted.

    Sides of length zero (a triangle's repeated vertex) are left out.
    """
    faces = np.asarray(faces, np.int64)
    pairs = np.stack([faces, np.roll(faces, -1, axis=1)], -1).reshape(-1, 2)
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(pairs, axis=0)


def boundary_edges(faces: np.ndarray) -> np.ndarray:
    """(B, 2) int64 edges with one face, in that face's direction."""
    faces = np.asarray(faces, np.int64)
    pairs = np.stack([faces, np.roll(faces, -1, axis=1)], -1).reshape(-1, 2)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    _, first, counts = np.unique(np.sort(pairs, axis=1), axis=0, return_index=True, return_counts=True)
    return pairs[np.sort(first[counts == 1])]


def vertex_adjacency(faces: np.ndarray, vertex_count: int) -> csr_matrix:
    """(V, V) symmetric sparse matrix with ones where two vertices share an edge of faces (F, 3 or 4)."""
    from scipy.sparse import coo_matrix

    edges = unique_edges(faces)
    rows, columns = np.concatenate([edges, edges[:, ::-1]]).T
    return coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(vertex_count, vertex_count)).tocsr()


def uniform_laplacian(faces: np.ndarray, vertex_count: int) -> csr_matrix:
    """(V, V) sparse L with (L x)_i = mean of the neighbours - x_i; zero rows for vertices without edges."""
    from scipy.sparse import diags

    adjacency = vertex_adjacency(faces, vertex_count)
    degree = np.asarray(adjacency.sum(1))[:, 0]
    scale = np.where(degree > 0, 1 / np.maximum(degree, 1), 0.0)
    return (diags(scale) @ adjacency - diags((degree > 0).astype(float))).tocsr()
