"""Convert meshes with one index per attribute into triangles with a single index, as renderers need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.exchange.face_asset import FacePart
from backend.geometry.topology import triangulate


@dataclass(frozen=True)
class SplitMesh:
    """A part as triangles; a vertex on a UV seam of either map appears once per side of the seam.

    Attributes
    ----------
    source : (N,) int32 vertex of the part copied by each split vertex; ``part.vertices[source]`` are positions.
    uv : (N, 2) float32 map ``Head``, v up.
    uv_makehuman : (N, 2) float32 map ``MakeHuman``, v up.
    triangles : (T, 3) int32 into the split vertices, counter-clockwise from outside.
    """

    source: np.ndarray
    uv: np.ndarray
    uv_makehuman: np.ndarray
    triangles: np.ndarray


def split_at_seams(part: FacePart) -> SplitMesh:
    """Triangulate a part and split its vertices at UV seams; the order is deterministic."""
    corners = np.stack([part.quads, part.uv_quads, part.uv_makehuman_quads], axis=-1)  # (F, 4, 3)
    unique, inverse = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    split = triangulate(part.quads).apply(inverse.reshape(-1, 4))
    return SplitMesh(
        source=unique[:, 0].astype(np.int32),
        uv=part.uv[unique[:, 1]].astype(np.float32),
        uv_makehuman=part.uv_makehuman[unique[:, 2]].astype(np.float32),
        triangles=split.astype(np.int32),
    )
