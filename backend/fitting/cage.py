"""Cage stage: smooth vertex offsets outside the identity modes, a sparse linear least-squares problem."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from backend.fitting.dense_targets import DenseTargets
from backend.fitting.options import CageStage
from backend.fitting.parameters import PhotoParameters, project_with_derivatives
from backend.fitting.solver import robust_weights
from backend.geometry.template import Template
from backend.geometry.topology import uniform_laplacian


def solve_cage(
    template: Template,
    photos: tuple[PhotoParameters, ...],
    identity: np.ndarray,
    targets: tuple[DenseTargets, ...],
    stage: CageStage,
    outlier_scale: float,
) -> np.ndarray:
    """(V, 3) offsets in metres that bring the projected points nearer to their targets.

    Minimises the robust reprojection error + smoothness * |bending|² + |offset|² / magnitude². Parts other than the
    head follow the skin around them rigidly (translation only), so that eyes stay in their sockets.
    """
    head = template.head
    count = head.vertex_stop
    laplacian = uniform_laplacian(template.quads[head.face_start : head.face_stop], count)
    bending = (laplacian.T @ laplacian).tocsc()
    sigma = stage.magnitude_deviation_mm / 1000.0
    # Bending is in metres per edge ring; in units of sigma both terms are of order one.
    system = stage.smoothness * bending / sigma**2
    trusted = np.clip(template.regions["face"][:count], 0.0, 1.0)
    system = system + sparse.diags((1.0 + 50.0 * (1.0 - trusted)) / sigma**2)
    system = sparse.kron(system, sparse.eye(3), format="csc")
    right = np.zeros(3 * count)
    for photo, cage_targets in zip(photos, targets, strict=True):
        rows, residual = _rows(photo, identity, cage_targets, count, outlier_scale)
        system = system + rows.T @ rows
        right -= rows.T @ residual
    return template.following_skin(splu(system.tocsc()).solve(right).reshape(count, 3))


def _rows(
    photo: PhotoParameters, identity: np.ndarray, cage: DenseTargets, count: int, outlier_scale: float
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Jacobian (2M, 3 V_head) and residual (2M,) of one photo's points, weighted."""
    targets = cage.targets
    pixels, by_point, _ = project_with_derivatives(photo, targets.points.positions(identity, photo.expression))
    residual = np.einsum("mij,mj->mi", targets.whitening, pixels - targets.pixels)
    root = np.sqrt(robust_weights(residual, targets.information, outlier_scale))
    values = root[:, None, None] * (targets.whitening @ by_point)  # (M, 2, 3): point, image axis, head axis
    points = len(residual)
    columns = np.broadcast_to(3 * cage.vertices[:, None, None] + np.arange(3), values.shape)
    rows = np.broadcast_to((2 * np.arange(points)[:, None] + np.arange(2))[:, :, None], values.shape)
    matrix = sparse.csr_matrix((values.ravel(), (rows.ravel(), columns.ravel())), shape=(2 * points, 3 * count))
    return matrix, (root[:, None] * residual).ravel()
