"""Guides on the head's surface: roots get a place in its UV map, and no strand runs inside the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.normals import vertex_normals
from backend.geometry.template import Template
from backend.geometry.topology import triangulate
from backend.hair.hair_views import closed_head

_NEAR_TRIANGLES = 8
_ABOVE = 0.0008  # metres that hair keeps from the skin, beyond its root
_DEEP = 0.03  # metres: what lies deeper is behind the head and not in it
_ROUNDS = 3


@dataclass(frozen=True)
class AttachedGuides:
    """``points`` : (G, P, 3) float32 metres. ``root_uv`` : (G, 2) float32 in map ``Head``."""

    points: np.ndarray
    root_uv: np.ndarray


def attach(guides: np.ndarray, template: Template, neutral: np.ndarray) -> AttachedGuides:
    """Put roots of guides (G, P, 3) on the head of ``neutral`` (V, 3) and push what lies inside it out."""
    head = template.head
    split = triangulate(template.quads[: head.face_stop])
    vertices = neutral[: head.vertex_stop].astype(np.float64)
    corners = vertices[split.faces]  # (T, 3, 3)
    ears = template.regions["ears"][: head.vertex_stop]
    usable = np.flatnonzero((ears[split.faces] < 0.3).all(1))
    near = usable[cKDTree(corners[usable].mean(1)).query(guides[:, 0], k=_NEAR_TRIANGLES)[1]]  # (G, K)
    weights = _closest(corners[near], guides[:, None, 0].astype(np.float64))  # (G, K, 3)
    places = (corners[near] * weights[..., None]).sum(2)
    best = np.linalg.norm(places - guides[:, None, 0], axis=-1).argmin(1)
    row = np.arange(len(guides))
    triangle, weight = near[row, best], weights[row, best]
    uv = template.uv_head[split.apply(template.uv_head_quads[: head.face_stop])[triangle]]  # (G, 3, 2)
    points = outside(guides.astype(np.float64), *closed_head(neutral.astype(np.float64), template))
    points[:, 0] = places[row, best]
    return AttachedGuides(points.astype(np.float32), (uv * weight[..., None]).sum(1).astype(np.float32))


def outside(points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Points (..., 3) pushed out of a closed surface along its normals, to ``_ABOVE`` metres off it."""
    normals = vertex_normals(vertices, triangles)
    tree = cKDTree(vertices)
    moved = points.reshape(-1, 3).copy()
    for _ in range(_ROUNDS):
        _, near = tree.query(moved, k=3)
        offset = moved[:, None] - vertices[near]
        height = (offset * normals[near]).sum(-1).mean(1)
        inside = (height < _ABOVE) & (height > -_DEEP)
        normal = normals[near].mean(1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        moved[inside] += normal[inside] * (_ABOVE - height[inside])[:, None]
    return moved.reshape(points.shape)


def _closest(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(..., 3) barycentric weights of the places of triangles (..., 3, 3) nearest to points (..., 3), nearly: the foot
    on the plane, with what lies outside clipped to the triangle."""
    a, b, c = (corners[..., k, :] for k in range(3))
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    area = np.maximum(d00 * d11 - d01 * d01, 1e-18)
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    weights = np.clip(np.stack([1 - v - w, v, w], -1), 0, 1)
    return weights / weights.sum(-1, keepdims=True)
