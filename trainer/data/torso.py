"""A dressed torso that hangs from the open rim of a head mesh."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.geometry.normals import vertex_normals
from trainer.data.midpoint import open_edges
from trainer.data.raytrace.scene import Surface


def sweep_torso(
    points: np.ndarray,
    faces: np.ndarray,
    allowed: np.ndarray,
    outline: Sequence[tuple[float, float, float]],
    cloth: np.ndarray,
) -> Surface:
    """Sweep a surface down from the open edges of a mesh.

    Parameters
    ----------
    points, faces : the head, (V, 3) metres (y up) and (F, 3).
    allowed : (V,) bool, vertices whose open edges count (the neck's rim, not the eyes').
    outline : rings below the rim, each (width factor along x, width factor along z, metres below the rim); widths are
        about the rim's centre.
    cloth : (3,) linear colour.

    Raises
    ------
    ValueError : when the mesh has no open edge there.
    """
    rim = open_edges(faces)
    rim = rim[allowed[rim].all(1)]
    if len(rim) == 0:
        raise ValueError("the mesh has no open rim to hang a torso from")
    ids, local = np.unique(rim, return_inverse=True)
    local = local.reshape(-1, 2)
    top = points[ids]
    middle = (top.max(0) + top.min(0)) / 2
    half = (top.max(0) - top.min(0)) / 2
    angle = np.arctan2((top[:, 2] - middle[2]) / half[2], (top[:, 0] - middle[0]) / half[0])
    ellipse = np.stack([half[0] * np.cos(angle), 0 * angle, half[2] * np.sin(angle)], axis=1)
    rings = [top]
    for index, (wide, deep, drop) in enumerate(outline):
        # blend from the rim's own outline and height to an ellipse
        even = min((index + 1) / 4, 1.0)
        ring = ((1 - even) * (top - middle) + even * ellipse) * [wide, 1.0, deep] + middle
        ring[:, 1] -= drop
        rings.append(ring)
    n = len(ids)
    strips = []
    for ring in range(len(rings) - 1):
        a, b = local[:, 0] + ring * n, local[:, 1] + ring * n
        strips += [np.stack([b, a, a + n], 1), np.stack([b, a + n, b + n], 1)]
    vertices, strip_faces = np.concatenate(rings), np.concatenate(strips)
    size = len(vertices)
    return Surface(
        vertices,
        strip_faces,
        vertex_normals(vertices, strip_faces),
        np.tile(cloth, (size, 1)),
        np.full(size, 0.02),
        np.full(size, 0.7),
        np.zeros(size),
    )
