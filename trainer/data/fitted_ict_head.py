"""Complete a face scan to a whole head: the most probable ICT-FaceKit head whose face matches the scan.

The scans of the simulated population are masks that end 22 to 32 mm in front of the ears. The ICT head is registered
to them and the rest is inferred: ICT's identity modes, regularised by their standard deviations, are fitted to the
scan (the conditional mean of the head given its face; Blanz et al., "A statistical method for robust 3D surface
reconstruction from sparse data", 2004). A small smooth field removes the residual at the scan's border and fades out
behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from trainer.data.face_paint import LID_LOWER, LID_UPPER
from trainer.data.ict_head import EYES, SKIN_STOP, IctModel, load_ict
from trainer.data.ict_skin import FineIct, eye_centre, fine_ict, openness
from trainer.data.midpoint import subdivide_midpoint
from trainer.data.scan_registration import (
    fit_surface,
    longest_border,
    robust_similarity,
    spread_field,
    warp_by_landmarks,
)
from trainer.data.surface_landmarks import find_surface_landmarks
from trainer.template.model_fit import fit_model
from trainer.template.scans import TriangleMesh

SEEN = 0.45
"""Openness above which a vertex counts as skin visible to a scanner (not nostrils, inner lips, lid pockets)."""
SCAN_DISTANCE_METRES = 0.015
"""Metres from the scan within which skin belongs to it. This covers nostrils, lips, lids and what holes leave out."""
FADING_EDGES = 4.0
"""Edges (of about 4 mm) over which the field fades behind the scan."""


@dataclass(frozen=True)
class FittedIctHead:
    """An ICT head fitted to a face scan, upright, at the scan's scale.

    Attributes
    ----------
    vertices : (V, 3) metres, ICT's vertices up to the eyeballs. marks : (478, 3) landmarks found on the scan, NaN where
    missing. rotation (3, 3), translation (3,) : move the scan there, ``upright = points @ rotation.T + translation``.
    """

    vertices: np.ndarray
    marks: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray


def carry_onto_scan(vertices: np.ndarray, faces: np.ndarray) -> FittedIctHead:
    """Fit the most probable head to a face scan that looks along +z: vertices (N, 3) in metres, triangles (F, 3)."""
    model, fine = load_ict(), fine_ict()
    count = EYES[1][1]
    source = fine.landmarks.positions
    found = find_surface_landmarks(vertices, faces, (vertices.max(0) + vertices.min(0)) / 2)
    marks = found.positions
    good = fine.landmarks.steady & found.steady
    scale, rotation, translation = robust_similarity(source[good], marks[good])
    rotation, translation = rotation.T, -rotation.T @ translation
    vertices, marks = vertices @ rotation.T + translation, marks @ rotation.T + translation
    placed, placed_marks = scale * model.neutral[:count], scale * source
    good &= np.nan_to_num(np.linalg.norm(placed_marks - marks, axis=1), nan=1.0) < 0.012
    warped = warp_by_landmarks(placed, placed_marks[good], marks[good])
    dense_faces, matrix = subdivide_midpoint(faces, len(vertices), 2)
    dense = matrix @ vertices
    seen = openness(placed[:SKIN_STOP], model.skin) > SEEN
    fitted = fit_surface(warped[:SKIN_STOP], model.skin, seen.astype(float), dense, dense_faces)
    scanned = scanned_part(fitted, dense, longest_border(dense_faces))
    moved = warped.copy()
    # sockets, mouth and teeth follow the skin around them; eyeballs keep their shape
    near_distance, near = cKDTree(warped[:SKIN_STOP]).query(warped[SKIN_STOP:], k=6)
    share = 1 / np.maximum(near_distance, 1e-4) ** 2
    share /= share.sum(1, keepdims=True)
    moved[SKIN_STOP:] += ((fitted - warped[:SKIN_STOP])[near] * share[..., None]).sum(1)
    likeliest = most_probable_head(model, fine, TriangleMesh(vertices, faces), marks, np.flatnonzero(good))[:SKIN_STOP]
    moved[:SKIN_STOP] = likeliest + spread_field(model.skin, scanned, fitted - likeliest, FADING_EDGES)
    fitted_marks = fine.landmarks.on(moved, fine.coarse_faces)
    for eye, (first, stop) in enumerate(EYES):
        moved[first:stop] = _seat_eyeball(model.neutral, moved, eye, source, fitted_marks)
    return FittedIctHead(moved, marks, rotation, translation)


def scanned_part(skin: np.ndarray, scan: np.ndarray, border: np.ndarray) -> np.ndarray:
    """(V,) bool: vertices of ``skin`` (V, 3) that lie on or beside the scan, but not beyond its border.

    scan : (N, 3) dense points. border : ids of the points on its outer border (the rims of holes are not among them).
    """
    distance, near = cKDTree(scan).query(skin)
    at_border = np.zeros(len(scan), bool)
    at_border[border] = True
    return (distance < SCAN_DISTANCE_METRES) & ~at_border[near]


def most_probable_head(
    model: IctModel, fine: FineIct, scan: TriangleMesh, marks: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    """Return the (V, 3) most probable ICT head, up to a free similarity, given an upright ``scan`` and some landmarks.

    marks : (478, 3) landmarks on the scan. chosen : (L,) ids of the landmarks that are used.
    """
    count = EYES[1][1]
    corners = fine.coarse_faces[fine.landmarks.faces[chosen]]
    row = np.repeat(np.arange(len(chosen)), 3)
    weights = fine.landmarks.barycentrics[chosen].ravel()
    rows = sparse.csr_matrix((weights, (row, corners.ravel())), shape=(len(chosen), count))
    seen = (openness(model.neutral[:SKIN_STOP], model.skin) > SEEN).astype(float)
    skin = sparse.identity(count, format="csr")[:SKIN_STOP]
    mean, modes = model.neutral[:count], model.identity[:, :count].astype(np.float64)
    return fit_model(mean, modes, skin, model.skin, seen, scan, rows, marks[chosen]).cage


def _seat_eyeball(
    neutral: np.ndarray, moved: np.ndarray, eye: int, marks: np.ndarray, moved_marks: np.ndarray
) -> np.ndarray:
    """Place an eyeball's vertices behind the lids of ``moved``: upright, sized and centred by the lid opening, and far
    enough back that the lids lie in front of it."""
    start, stop = EYES[eye]
    ids = sorted({*LID_UPPER[1 - eye], *LID_LOWER[1 - eye]})
    opening, moved_opening = marks[ids], moved_marks[ids]
    scale = np.ptp(moved_opening[:, 0]) / np.ptp(opening[:, 0])
    centre = eye_centre(neutral, eye)
    middle, moved_middle = ((points.max(0) + points.min(0)) / 2 for points in (opening, moved_opening))
    seat = moved_middle + scale * (centre - middle)
    lids = np.flatnonzero(np.linalg.norm(neutral[:SKIN_STOP] - centre, axis=1) < 0.0175)
    gap = np.linalg.norm(moved[lids] - seat, axis=1) - scale * np.linalg.norm(neutral[lids] - centre, axis=1)
    seat[2] += min(float(np.percentile(gap, 25)), 0.0)
    return seat + scale * (neutral[start:stop] - centre)
