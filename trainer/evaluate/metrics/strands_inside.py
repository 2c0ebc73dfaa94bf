"""Share of the hair that intersects the skull, the ears or the eyes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.geometry.normals import vertex_normals
from backend.geometry.template import Template
from backend.geometry.topology import boundary_edges, triangles_from_quads
from trainer.data.raytrace.bvh import build_bvh, closest_points

SKULL_DEPTH = 0.002
"""Metres under the skin from which a strand's point counts as in the skull; smaller depths are within the head shape's
accuracy."""
EAR_DEPTH = 0.001
"""Metres under an ear's skin from which a point counts as in it; ears are 3 mm thick, so few points lie much deeper."""
_ROOT_POINTS = 2  # first points of a strand, the root's, which may lie in the skin
_EAR_WEIGHT = 0.5  # region weight above which skin belongs to an ear
_BORDER_WEIGHT = 0.999  # weight of the mesh's border above which a point is outside the mesh


@dataclass(frozen=True)
class StrandsInside:
    """Shares, 0 to 1: ``skull`` and ``ears``, of the strands' points beyond the second that lie in them; ``eyes``, of
    the
    strands with a point in an eyeball."""

    skull: float
    ears: float
    eyes: float


def strands_inside(points: np.ndarray, template: Template, neutral: np.ndarray) -> StrandsInside:
    """Locate strands of points (G, P, 3) in a head of ``neutral`` (V, 3), both metres in the head frame.

    A point is assigned to the ear or the skull by its nearest skin. Points whose nearest skin is the mesh's border,
    below the neck, are in neither. Eye sockets are empty, so eyes are not in the skull.
    """
    head = template.head
    triangles = triangles_from_quads(template.quads[: head.face_stop])
    vertices = neutral[: head.vertex_stop].astype(np.float64)
    places = points[:, _ROOT_POINTS:].reshape(-1, 3).astype(np.float64)
    hit, _, weights = closest_points(build_bvh(vertices, triangles), places)
    corners = triangles[hit]  # (N, 3)

    def there(values: np.ndarray) -> np.ndarray:
        """Interpolate values (V_head, ...) at the nearest skin (N, ...)."""
        return np.einsum("nk,nk...->n...", weights, values[corners])

    normal = there(vertex_normals(vertices, triangles))
    depth = ((there(vertices) - places) * normal).sum(-1) / np.maximum(np.linalg.norm(normal, axis=-1), 1e-9)
    border = np.zeros(head.vertex_stop)
    border[boundary_edges(triangles)] = 1.0
    under = there(border) < _BORDER_WEIGHT
    ear = there(template.regions["ears"][: head.vertex_stop].astype(np.float64)) > _EAR_WEIGHT
    return StrandsInside(
        skull=float((under & ~ear & (depth > SKULL_DEPTH)).mean()),
        ears=float((under & ear & (depth > EAR_DEPTH)).mean()),
        eyes=float(_in_eyes(points[:, _ROOT_POINTS:], template, neutral).any(1).mean()),
    )


def _in_eyes(points: np.ndarray, template: Template, neutral: np.ndarray) -> np.ndarray:
    """(G, P) bool, points (G, P, 3) that lie in an eyeball, approximated by a sphere."""
    inside = np.zeros(points.shape[:2], bool)
    for name in ("eye_left", "eye_right"):
        part = template.parts[name]
        vertices = neutral[part.vertex_start : part.vertex_stop]
        centre = 0.5 * (vertices.min(0) + vertices.max(0))
        radius = np.median(np.linalg.norm(vertices - centre, axis=1))
        inside |= np.linalg.norm(points - centre, axis=-1) < radius
    return inside
