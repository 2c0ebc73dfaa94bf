"""Keep the pocket behind the lips inside: no key pushes it out through the skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.template import Template
from backend.rig.face_loops import face_loops

_LEAST_DEPTH = 0.0008
"""Least depth in metres below the skin; half the neutral depth where that is less."""
_NEAR_METRES = 0.006
"""Metres from a skin vertex beyond which its tangent plane is ignored."""
_NEIGHBOURS = 4
_ROUNDS = 6
OPEN_MOUTH_KEYS = ("jawOpen", "mouthClose", "tongueOut")
"""Keys that unfold the pocket, so that its vertices no longer lie behind the skin that was in front of them."""


@dataclass(frozen=True)
class PocketBinding:
    """The skin in front of the pocket.

    Attributes
    ----------
    pocket : (P,) vertices of the pocket behind the lips.
    skin : (P, 4) nearest skin vertices of each, on the template.
    """

    pocket: np.ndarray
    skin: np.ndarray


def bind_pocket(template: Template) -> PocketBinding:
    """Bind the vertices behind the lips' contact to the skin of mouth and cheeks in front of them."""
    mouth = face_loops(template).mouth
    head = template.head.vertex_stop
    vertices = template.vertices[:head]
    hidden = template.regions["mouth_interior"][:head]
    inside = np.union1d(mouth.rows[: mouth.contact - 1], np.flatnonzero(hidden > 0.9))
    skin = hidden < 0.1
    skin[np.unique(mouth.rows[: mouth.contact + 2])] = False
    near = np.linalg.norm(vertices - vertices[mouth.rows[mouth.contact]].mean(0), axis=1) < 0.08
    candidates = np.flatnonzero(skin & near)
    nearest = cKDTree(vertices[candidates]).query(vertices[inside], k=_NEIGHBOURS)[1]
    return PocketBinding(inside, candidates[nearest])


def pocket_depths(template: Template, binding: PocketBinding, mesh: np.ndarray) -> np.ndarray:
    """Depths (P, 4) in metres of the pocket's vertices below the tangent planes of the skin in front of them."""
    return _depth(template, binding, mesh)[0]


def keep_pocket_inside(
    template: Template,
    binding: PocketBinding,
    neutral: np.ndarray,
    offsets: np.ndarray,
    allowed: np.ndarray | None = None,
) -> None:
    """Correct ``offsets`` (V, 3) in place: push back pocket vertices that come too near the skin in front of them.

    ``neutral`` is (V, 3); a vertex stays ``_LEAST_DEPTH`` behind each of its skin vertices' tangent planes, or half its
    neutral depth where that is less, or ``allowed`` (P, 4) where that is less still.
    """
    if not np.any(offsets[binding.pocket]) and not np.any(offsets[binding.skin]):
        return
    rest = _depth(template, binding, neutral)[0]
    least = np.where(rest > 0, np.minimum(0.5 * rest, _LEAST_DEPTH), rest - 1e-6)
    if allowed is not None:
        least = np.minimum(least, allowed - 1e-6)
    for _ in range(_ROUNDS):
        depth, normals = _depth(template, binding, neutral + offsets)
        mesh = neutral + offsets
        apart = np.linalg.norm(mesh[binding.skin] - mesh[binding.pocket][:, None], axis=2)
        lack = np.where(apart < _NEAR_METRES, np.clip(least - depth, 0.0, None), 0.0)  # (P, 4)
        worst = lack.argmax(1)
        if not lack.any():
            return
        rows = np.arange(len(worst))
        offsets[binding.pocket] -= lack[rows, worst, None] * normals[rows, worst]


def _depth(template: Template, binding: PocketBinding, mesh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depths (P, 4) below the tangent planes of the skin vertices and their normals (P, 4, 3)."""
    head = template.head
    quads = template.quads[head.face_start : head.face_stop]
    normals = np.zeros((head.vertex_stop, 3))
    corners = mesh[quads]
    face = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    for corner in range(4):
        for axis in range(3):
            normals[:, axis] += np.bincount(quads[:, corner], face[:, axis], head.vertex_stop)
    normals = normals[binding.skin]
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-15)
    return ((mesh[binding.skin] - mesh[binding.pocket][:, None]) * normals).sum(2), normals
