"""Distances between neutral faces of one topology, independent of position, rotation and size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.fitting.population import populations
from backend.geometry.similarity import nearest_similarity
from backend.geometry.template import Template
from backend.geometry.topology import triangles_from_quads
from trainer.template.registration import vertex_areas

NOISE_MM = 0.7
"""Millimetres per coordinate, standard deviation of a face's residual from the template's modes. They miss ICT's faces
by 1.17 mm per vertex with known correspondence, which is 0.7 mm along each axis."""
_FACE, _MOUTH = 0.5, 0.3
"""Region weights: above the first a vertex belongs to the face; below the second it is outside the mouth's interior."""


def face_weights(template: Template) -> np.ndarray:
    """(V,) share of each template vertex in the face's area, without the mouth's interior; sums to 1."""
    head = template.head
    triangles = triangles_from_quads(template.quads[head.face_start : head.face_stop]).astype(np.int64)
    areas = vertex_areas(template.vertices.astype(np.float64), triangles)
    inside = (template.regions["face"] > _FACE) & (template.regions["mouth_interior"] < _MOUTH)
    weights = np.where(inside, areas, 0.0)
    return weights / weights.sum()


def aligned_faces(template: Template, neutrals: Sequence[np.ndarray]) -> np.ndarray:
    """(N, F, 3) millimetres from the template's face to each neutral (V, 3), at the face's F vertices, after aligning
    it to the template's face by a similarity."""
    weights = face_weights(template)
    chosen = weights > 0
    mean, share = template.vertices[chosen].astype(np.float64), weights[chosen]
    rows = []
    for neutral in neutrals:
        face = np.asarray(neutral, dtype=np.float64)[chosen]
        rows.append(nearest_similarity(face, mean, share).apply(face) - mean)
    return 1000 * np.stack(rows)


def plain_distances(template: Template, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) root mean square distance over the face's area, millimetres, of ``aligned_faces`` (N, F, 3), (M, F, 3)."""
    share = face_weights(template)
    root = np.sqrt(share[share > 0])[:, None]
    return _euclidean((first * root).reshape(len(first), -1), (second * root).reshape(len(second), -1))


def whitened_distances(template: Template, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) distances of ``aligned_faces`` in standard deviations of people.

    Each face is converted to its most probable identity coefficients under the population's mean and covariance, with
    independent noise of ``NOISE_MM`` at every vertex. Coefficients are compared by the Mahalanobis distance, so that
    directions with little variation among people count as much as those with most.
    """
    chosen = face_weights(template) > 0
    modes = 1000 * template.identity_modes[:, : len(chosen)][:, chosen].astype(np.float64)
    flat = modes.reshape(len(modes), -1)
    still = _similarity_directions(template.vertices[chosen].astype(np.float64))
    flat = flat - (flat @ still) @ still.T
    known = populations()
    covariance = np.eye(len(modes)) if known is None else known[1]
    root = np.linalg.cholesky(covariance)
    white = root.T @ flat  # (K, 3 F): independent modes of unit variance
    system = white @ white.T + NOISE_MM**2 * np.eye(len(white))
    codes = [np.linalg.solve(system, white @ faces.reshape(len(faces), -1).T).T for faces in (first, second)]
    return _euclidean(*codes)


def _similarity_directions(points: np.ndarray) -> np.ndarray:
    """(3 F, 7) orthonormal directions of translation, rotation and scaling of ``points`` (F, 3)."""
    moved = points - points.mean(0)
    directions = [np.tile(axis, (len(points), 1)) for axis in np.eye(3)]
    directions += [np.cross(axis, moved) for axis in np.eye(3)] + [moved]
    return np.linalg.qr(np.stack([one.ravel() for one in directions], 1))[0]


def _euclidean(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) distances between rows."""
    return np.stack([np.linalg.norm(second - row, axis=1) for row in first])
