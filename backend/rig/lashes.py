"""Eyelashes follow the lids' edges: each turns about the eyeball like the edge beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from backend.geometry.template import Template
from backend.rig.face_loops import face_loops
from backend.rig.measure import eye_angles, eye_sphere, from_eye_angles, part_slice


@dataclass(frozen=True)
class LashBinding:
    """Attachment of each lash vertex to a lid's edge.

    Attributes
    ----------
    eye : (L,) 0 left, 1 right.
    edges : (L, 2) the two head vertices on the lid's outer edge beside the lash.
    shares : (L,) weight of the second one.
    """

    eye: np.ndarray
    edges: np.ndarray
    shares: np.ndarray


def bind_lashes(template: Template) -> LashBinding:
    """Bind each connected strip of the template's lashes to the nearest lid, each vertex by its azimuth."""
    place = part_slice(template.parts["lashes"])
    points = template.vertices[place].astype(np.float64)
    strips = _strips(template)
    eye = np.zeros(len(points), dtype=np.int64)
    edges = np.zeros((len(points), 2), dtype=np.int64)
    shares = np.zeros(len(points))
    lids = []
    for side, loops in enumerate(face_loops(template).eyes):
        for columns in (loops.upper, loops.lower):
            whole = np.r_[loops.inner, columns, loops.outer]
            lids.append((side, loops.rows[loops.margin + 1, whole]))
    for strip in np.unique(strips):
        members = np.flatnonzero(strips == strip)
        side, lid = min(lids, key=lambda lid: _distance(points[members], template.vertices[lid[1]]))
        centre, _ = eye_sphere(template, template.vertices, side)
        order = lid[np.argsort(eye_angles(template.vertices[lid], centre)[0])]
        azimuths = eye_angles(template.vertices[order].astype(np.float64), centre)[0]
        own = eye_angles(points[members], centre)[0]
        first = np.clip(np.searchsorted(azimuths, own) - 1, 0, len(order) - 2)
        eye[members] = side
        edges[members] = np.stack([order[first], order[first + 1]], axis=1)
        gap = np.maximum(azimuths[first + 1] - azimuths[first], 1e-6)
        shares[members] = np.clip((own - azimuths[first]) / gap, 0.0, 1.0)
    return LashBinding(eye, edges, shares)


def carry_lashes(template: Template, binding: LashBinding, neutral: np.ndarray, keys: np.ndarray) -> None:
    """Write the lashes' offsets into ``keys`` (K, V, 3).

    Azimuth, elevation and radius about the face's eyeball change as at the lid's edge beside the lash. ``keys`` must
    already hold the head's offsets.
    """
    place = part_slice(template.parts["lashes"])
    for eye in (0, 1):
        members = np.flatnonzero(binding.eye == eye)
        rows = place.start + members
        centre, _ = eye_sphere(template, neutral, eye)
        edges = binding.edges[members]  # (L, 2)
        share = binding.shares[members]
        rest = np.stack(eye_angles(neutral[edges].astype(np.float64), centre))  # (3, L, 2)
        own = np.stack(eye_angles(neutral[rows].astype(np.float64), centre))  # (3, L)
        for index in range(len(keys)):
            moved = keys[index][edges]
            if not np.any(moved):
                keys[index, rows] = 0.0
                continue
            change = np.stack(eye_angles(neutral[edges] + moved.astype(np.float64), centre)) - rest
            change = (1.0 - share) * change[..., 0] + share * change[..., 1]  # (3, L)
            keys[index, rows] = from_eye_angles(*(own + change), centre) - neutral[rows]


def _strips(template: Template) -> np.ndarray:
    part = template.parts["lashes"]
    quads = template.quads[part.face_start : part.face_stop] - part.vertex_start
    count = part.vertex_stop - part.vertex_start
    edges = np.concatenate([quads[:, [a, (a + 1) % 4]] for a in range(4)])
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count))
    return connected_components(graph, directed=False)[1]


def _distance(points: np.ndarray, line: np.ndarray) -> float:
    return float(np.linalg.norm(points[:, None] - line[None], axis=2).min(1).mean())
