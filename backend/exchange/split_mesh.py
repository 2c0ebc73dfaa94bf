"""Polygon meshes with one index per attribute turned into triangles with one index for all, as renderers want them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.exchange.face_asset import FacePart


@dataclass(frozen=True)
class SplitMesh:
    """A part as triangles; a vertex on a seam of either UV map stands in it once per side of the seam.

    Attributes
    ----------
    source : (N,) int32 vertex of the part that each split vertex copies; ``part.vertices[source]`` are positions.
    uv : (N, 2) float32 map ``Head``, v up.
    uv_makehuman : (N, 2) float32 map ``MakeHuman``, v up.
    triangles : (T, 3) int32 into the split vertices, counter-clockwise from outside.
    """

    source: np.ndarray
    uv: np.ndarray
    uv_makehuman: np.ndarray
    triangles: np.ndarray


def split_at_seams(part: FacePart) -> SplitMesh:
    """Triangulate a part and split its vertices where a UV map needs it; the order is the same in every run."""
    corners = np.stack([part.quads, part.uv_quads, part.uv_makehuman_quads], axis=-1).reshape(-1, 3)  # (4F, 3)
    unique, inverse = np.unique(corners, axis=0, return_inverse=True)
    return SplitMesh(
        source=unique[:, 0].astype(np.int32),
        uv=part.uv[unique[:, 1]].astype(np.float32),
        uv_makehuman=part.uv_makehuman[unique[:, 2]].astype(np.float32),
        triangles=triangulate(inverse.reshape(-1, 4), part.quads),
    )


def triangulate(corner_ids: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Triangles (T, 3) int32 of ``corner_ids`` (F, 4), where ``quads`` (F, 4) says which faces are triangles.

    A face of ``quads`` that repeats its last vertex is a triangle already and gives one, every other face two.
    """
    first = corner_ids[:, [0, 1, 2]]
    second = corner_ids[:, [0, 2, 3]]
    both = np.stack([first, second], axis=1)  # (F, 2, 3)
    keep = np.stack([np.ones(len(quads), bool), quads[:, 2] != quads[:, 3]], axis=1)
    return both[keep].astype(np.int32)


def vertex_normals(vertices: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3) float32 of a quad mesh, weighted by area; a vertex without any area gets +z."""
    corners = vertices[quads].astype(np.float64)  # (F, 4, 3)
    face_normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    # A triangle repeats its last vertex: that vertex must not count twice.
    weights = np.ones(quads.shape)
    weights[quads[:, 2] == quads[:, 3], 3] = 0.0
    normals = np.stack(
        [
            np.bincount(quads.ravel(), (weights * face_normals[:, None, axis]).ravel(), minlength=len(vertices))
            for axis in range(3)
        ],
        axis=-1,
    )
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.where(length > 1e-20, normals / np.maximum(length, 1e-20), [0.0, 0.0, 1.0]).astype(np.float32)
