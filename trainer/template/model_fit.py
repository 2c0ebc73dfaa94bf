"""Fit the identity modes to a scan: similarity and coefficients by Gauss-Newton on closest points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.spatial.transform import Rotation

from backend.geometry.normals import vertex_normals
from backend.geometry.similarity import nearest_similarity
from trainer.template.closest_point import closest_points
from trainer.template.registration import border_vertices, vertex_areas
from trainer.template.scans import TriangleMesh

_NOISE = 0.0005
"""Metres, standard deviation of a patch of one square centimetre."""


@dataclass(frozen=True)
class ModelFit:
    """A fitted face: ``scale * rotation @ (mean + modes . coefficients) + translation`` lies on the scan."""

    coefficients: np.ndarray
    scale: float
    rotation: np.ndarray
    translation: np.ndarray
    cage: np.ndarray  # (V, 3) in the scan's frame


def fit_model(
    mean: np.ndarray,
    modes: np.ndarray,
    matrix: sp.csr_matrix,
    triangles: np.ndarray,
    weights: np.ndarray,
    scan: TriangleMesh,
    landmark_rows: sp.csr_matrix,
    landmark_targets: np.ndarray,
    *,
    landmark_noise: float = 0.002,
    iterations: int = 30,
) -> ModelFit:
    """Maximum-a-posteriori fit of a linear model to a scan.

    Parameters
    ----------
    mean : (V, 3); modes : (K, V, 3), one standard deviation each.
    matrix : (P, V) from the cage to the points that are fitted to the scan; triangles : (T, 3) of these points.
    weights : (P,) confidence of each point.
    landmark_rows : (L, V) sparse; landmark_targets : (L, 3) in the scan's frame.
    landmark_noise : standard deviation of a landmark in metres.
    """
    count = len(modes)
    scale, rotation, translation = nearest_similarity(landmark_rows @ mean, landmark_targets)
    coefficients = np.zeros(count)
    normals = vertex_normals(scan.vertices, scan.triangles)
    border = border_vertices(scan.triangles, len(scan.vertices))
    mean_points, mean_landmarks = matrix @ mean, landmark_rows @ mean
    mode_points = np.stack([matrix @ mode for mode in modes]) if count else np.zeros((0, *mean_points.shape))
    mode_landmarks = (
        np.stack([landmark_rows @ mode for mode in modes]) if count else np.zeros((0, *mean_landmarks.shape))
    )
    areas = vertex_areas(mean_points, triangles) / 1e-4
    for iteration in range(iterations):
        local = mean_points + np.tensordot(coefficients, mode_points, 1)
        points = scale * local @ rotation.T + translation
        triangle, bary, distance = closest_points(points, scan.vertices, scan.triangles)
        corners = scan.triangles[triangle]
        target = (scan.vertices[corners] * bary[..., None]).sum(1)
        normal = (normals[corners] * bary[..., None]).sum(1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        own = vertex_normals(points, triangles)
        reach = max(0.03 * 0.8**iteration, 0.006)
        trust = weights * areas * (~border[corners].any(1)) * ((own * normal).sum(1) > 0.5)
        trust = trust * np.clip(2 - 2 * distance / reach, 0, 1)
        sigma = max(_NOISE * 4 * 0.85**iteration, _NOISE)
        rows = _rows(local, mode_points, scale, rotation)  # (P, 3, 7 + K)
        plane = np.einsum("pi,pij->pj", normal, rows)
        residual = ((target - points) * normal).sum(1)
        landmarks = mean_landmarks + np.tensordot(coefficients, mode_landmarks, 1)
        extra = _rows(landmarks, mode_landmarks, scale, rotation).reshape(-1, rows.shape[2])
        extra_residual = (landmark_targets - (scale * landmarks @ rotation.T + translation)).ravel()
        size = np.linalg.norm(extra_residual.reshape(-1, 3), axis=1)
        robust = np.repeat(1 / (1 + (size / (3 * landmark_noise)) ** 2), 3) / landmark_noise**2
        system = plane.T @ (plane * (trust / sigma**2)[:, None]) + extra.T @ (extra * robust[:, None])
        right = plane.T @ (residual * trust / sigma**2) + extra.T @ (extra_residual * robust)
        system[7:, 7:] += np.eye(count)
        right[7:] -= coefficients
        system += np.eye(len(system)) * 1e-9
        step = np.linalg.solve(system, right)
        rotation = Rotation.from_rotvec(step[:3]).as_matrix() @ rotation
        translation = translation + step[3:6]
        scale *= 1.0 + step[6]
        coefficients = coefficients + step[7:]
    cage = scale * (mean + np.tensordot(coefficients, modes, 1)) @ rotation.T + translation
    return ModelFit(coefficients, scale, rotation, translation, cage)


def _rows(local: np.ndarray, modes: np.ndarray, scale: float, rotation: np.ndarray) -> np.ndarray:
    """(P, 3, 7 + K) derivatives of the posed points by rotation, translation, scale and coefficients."""
    turned = scale * local @ rotation.T
    rows = np.zeros((len(local), 3, 7 + len(modes)))
    rows[:, 0, 1], rows[:, 0, 2] = turned[:, 2], -turned[:, 1]
    rows[:, 1, 0], rows[:, 1, 2] = -turned[:, 2], turned[:, 0]
    rows[:, 2, 0], rows[:, 2, 1] = turned[:, 1], -turned[:, 0]
    rows[:, [0, 1, 2], [3, 4, 5]] = 1.0
    rows[:, :, 6] = turned
    rows[:, :, 7:] = np.einsum("ij,kpj->pik", scale * rotation, modes, optimize=True)
    return rows
