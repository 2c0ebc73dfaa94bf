"""Plain midpoint subdivision that keeps the surface where it is, as a sparse matrix for any vertex attribute."""

from __future__ import annotations

import numpy as np
from scipy import sparse


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
        edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)  # (3F, 2)
        unique, inverse = np.unique(edges, axis=0, return_inverse=True)
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
