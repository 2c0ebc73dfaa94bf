"""Measurements of the rig that only tests need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.geometry.template import Template
from backend.rig.measure import eye_sphere, face_loops, lid_openings, lip_openings, lower_lip, part_slice
from protocol.similarity import fit_similarity


def lid_penetration_mm(template: Template, neutral: np.ndarray, vertices: np.ndarray, eye: int) -> float:
    """How deep the lids' outer skin dips into the eyeball, beyond what it already does in ``neutral``.

    Looks at the lids from their outer edge outwards, at the vertices and at the middles of the quads between them;
    0 when nothing pokes through.
    """
    loops = face_loops(template).eyes[eye]
    rows = loops.rows[loops.margin + 1 :]

    def depth(mesh: np.ndarray) -> np.ndarray:
        centre, radius = eye_sphere(template, mesh, eye)
        grid = mesh[rows]  # (R, 28, 3)
        beside = np.roll(grid, -1, axis=1)
        middles = 0.25 * (grid[:-1] + beside[:-1] + grid[1:] + beside[1:])
        edges = 0.5 * (grid + beside)
        points = np.concatenate([grid.reshape(-1, 3), edges.reshape(-1, 3), middles.reshape(-1, 3)])
        return np.maximum(0.0, radius - np.linalg.norm(points - centre, axis=1))

    return float(np.maximum(0.0, depth(vertices) - depth(neutral)).max() * 1e3)


@dataclass(frozen=True)
class TonguePlace:
    """Where the tongue is in the median plane, in mm: its tip's place in front of the lower lip's foremost point and
    below its upper edge, and how far its underside is above that edge where it crosses it (-inf where it does not)."""

    beyond: float
    below: float
    above_lip: float


def tongue_place(template: Template, vertices: np.ndarray) -> TonguePlace:
    """The tongue's place over the lower lip."""
    edge, front = lower_lip(template, vertices)
    place = part_slice(template.parts["tongue"])
    across = template.vertices[place, 0]
    middle = vertices[place][np.abs(across - across.mean()) < 0.002]
    tip = middle[middle[:, 2].argmax()]
    crossing = middle[np.abs(middle[:, 2] - edge[2]) < 0.004, 1]
    above = crossing.min() - edge[1] if len(crossing) else -np.inf
    return TonguePlace(*(1e3 * np.array([tip[2] - front, edge[1] - tip[1], above])).tolist())


def rigidity_mm(template: Template, neutral: np.ndarray, vertices: np.ndarray, part: str) -> float:
    """The largest distance of a part's vertices from the best rigid motion of its neutral shape."""
    place = part_slice(template.parts[part])
    _, rotation, translation = fit_similarity(neutral[place], vertices[place], scale=1.0)
    moved = neutral[place] @ rotation.T + translation
    return float(np.linalg.norm(moved - vertices[place], axis=1).max() * 1e3)


def lid_gap_mm(template: Template, vertices: np.ndarray, eye: int) -> float:
    """The widest opening between the lids of eye 0 (left) or 1 (right); 0 for a shut eye."""
    return float(max(0.0, lid_openings(template, vertices, eye)[1].max()))


def lip_gap_mm(template: Template, vertices: np.ndarray) -> float:
    """The widest opening between the lips, seen from the front; 0 for a shut mouth."""
    return float(max(0.0, lip_openings(template, vertices).max()))


def side_leak(template: Template, neutral: np.ndarray, offsets: np.ndarray, side: int, margin_mm: float) -> float:
    """Largest offset (mm) by which a key of one side moves the other side of the face.

    Counts vertices further than ``margin_mm`` across the median plane, for a key of the left (``side`` = +1) or right
    (-1) side.
    """
    beyond = side * neutral[:, 0] < -margin_mm * 1e-3
    return float(np.linalg.norm(offsets[beyond], axis=1).max(initial=0.0) * 1e3)
