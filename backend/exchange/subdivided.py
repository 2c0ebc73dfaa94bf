"""Parts after one Catmull-Clark step, as in the preview and in ``face.obj``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from backend.exchange.face_asset import FacePart
from backend.geometry.subdivision import catmull_clark, linear_split


@dataclass(frozen=True)
class SubdividedPart:
    """A part's topology at level 1.

    Attributes
    ----------
    matrix : (V1, V) CSR; ``matrix @ vertices`` are the level's positions, neutral or posed.
    quads : (F1, 4) int into the rows of ``matrix``.
    uv : (T1, 2) float32 map ``Head``, v up. uv_quads : (F1, 4) int.
    """

    matrix: sp.csr_matrix
    quads: np.ndarray
    uv: np.ndarray
    uv_quads: np.ndarray


def subdivided(part: FacePart) -> SubdividedPart:
    """Subdivide a part once; a part with triangles is returned unchanged, because the step needs quads."""
    count = len(part.vertices)
    if (part.quads[:, 2] == part.quads[:, 3]).any():
        return SubdividedPart(sp.identity(count, format="csr"), part.quads, part.uv, part.uv_quads)
    matrix, quads = catmull_clark(part.quads, count)
    uv_matrix, uv_quads = linear_split(part.uv_quads, len(part.uv))
    return SubdividedPart(matrix, quads, (uv_matrix @ part.uv).astype(np.float32), uv_quads)
