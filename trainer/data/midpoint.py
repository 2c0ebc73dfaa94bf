"""Midpoint subdivision that does not change the surface, as a sparse matrix for any vertex attribute."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def edge_keys(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges of triangles (F, 3), corners 0-1, 1-2 and 2-0 of each: (3 F, 2) directed vertex ids, and an int64 key per
    edge that is the same for both directions."""
    edges = np.asarray(faces, dtype=np.int64)[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    return edges, (edges.min(1) << 32) | edges.max(1)


def open_edges(faces: np.ndarray) -> np.ndarray:
    """(E, 2) directed edges of triangles (F, 3) that have a triangle on one side only."""
    edges, keys = edge_keys(faces)
    _, first, count = np.unique(keys, return_index=True, return_counts=True)
    return edges[first[count == 1]]


def subdivide_midpoint(faces: np.ndarray, vertex_count: int, levels: int) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Split every triangle into four, ``levels`` times.

    Parameters
    ----------
    faces : (F, 3) int. vertex_count : number of vertices that ``faces`` indexes.

    Returns
    -------
    faces (F * 4**levels, 3) int64, and the (V', V) matrix that takes vertex attributes to the finer mesh. The first V
    fine vertices are the coarse ones.
    """
    faces = np.asarray(faces, dtype=np.int64)
    matrix = sparse.identity(vertex_count, format="csr")
    for _ in range(levels):
        count = matrix.shape[0]
        keys, inverse = np.unique(edge_keys(faces)[1], return_inverse=True)
        unique = np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1)
        middle = (count + inverse.ravel()).reshape(-1, 3)
        a, b, c = faces.T
        ab, bc, ca = middle.T
        faces = np.concatenate(
            [np.stack(corners, axis=1) for corners in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        )
        rows = np.repeat(np.arange(len(unique)), 2)
        halves = sparse.csr_matrix((np.full(len(rows), 0.5), (rows, unique.ravel())), shape=(len(unique), count))
        matrix = sparse.vstack([sparse.identity(count, format="csr"), halves], format="csr") @ matrix
    return faces, matrix.tocsr()
