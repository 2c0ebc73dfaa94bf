"""Last stage of the fit: set each photo's mouth opening to the detected one.

The landmark net underestimates the gap between open lips, and the detector's landmarks have little weight beside it.
The detector's error in the difference of two landmarks one above the other is smaller than in either. After the fit,
the keys of mouth and jaw change as little as the gap needs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import lsq_linear

from backend.fitting.detector_model import expected_errors, upright_axes
from backend.fitting.initial_pose import face_scale
from backend.fitting.landmark_targets import LandmarkModel
from backend.fitting.parameters import PhotoParameters, project_with_derivatives
from backend.fitting.points import SurfacePoints
from backend.fitting.solver import PointTargets, SolverWeights, residuals, robust_weights
from backend.photos.collection import PhotoFace
from backend.photos.faces.landmarks import LOWER_LIP_EDGE, UPPER_LIP_EDGE
from backend.rig.arkit import ARKIT_NAMES

GAP_PERCENT, GAP_PIXELS = 0.5, 0.5
"""Standard deviation of a gap: per cent of the face's scale (on 130 rendered people, mostly with shut mouths, half of
the errors are below 0.3 to 0.6), and pixels."""
SHUT_PERCENT = 1.2
"""Per cent of the face's scale: lips count as shut when the detected gap exceeds the shut mouth's by less than this."""
_MOUTH_KEYS = np.array([number for number, name in enumerate(ARKIT_NAMES) if name.startswith(("mouth", "jaw"))])
_ROUNDS = 4


def seen_mouth(
    model: LandmarkModel,
    face: PhotoFace,
    parameters: PhotoParameters,
    identity: np.ndarray,
    targets: PointTargets,
    weights: SolverWeights,
) -> PhotoParameters:
    """The photo's parameters with an expression whose lips are as far apart as detected; unchanged if they are masked.

    model, identity : the fitted face. targets : the points that the expression was solved for; their information is
    the cost of changing it.
    """
    if face.unseen is not None and face.unseen[[*LOWER_LIP_EDGE, *UPPER_LIP_EDGE]].any():
        return parameters
    edges = model.points.take(np.searchsorted(model.landmarks, LOWER_LIP_EDGE + UPPER_LIP_EDGE))
    wanted = _target_gaps(edges, model, face, parameters, identity)
    deviation = np.hypot(GAP_PERCENT / 100.0 * face_scale(face.landmarks), GAP_PIXELS)
    held = _information_root(parameters, identity, targets, weights)
    start = now = parameters.expression
    for _ in range(_ROUNDS):
        gaps, by_keys = _gaps(edges, replace(parameters, expression=now), identity)
        rows = np.vstack([held, by_keys.reshape(-1, len(_MOUTH_KEYS)) / deviation])
        right = np.concatenate([held @ (start - now)[_MOUTH_KEYS], (wanted - gaps).ravel() / deviation])
        step = lsq_linear(rows, right, (-now[_MOUTH_KEYS] - 1e-9, 1.0 - now[_MOUTH_KEYS] + 1e-9)).x
        now = now.copy()
        now[_MOUTH_KEYS] = np.clip(now[_MOUTH_KEYS] + step, 0.0, 1.0)
    return replace(parameters, expression=now)


def _target_gaps(
    edges: SurfacePoints, model: LandmarkModel, face: PhotoFace, parameters: PhotoParameters, identity: np.ndarray
) -> np.ndarray:
    """(9, 2) pixels from upper to lower edge in the photo; the shut mouth's where it is nearly shut."""
    scale = face_scale(face.landmarks)
    bias, *_ = expected_errors(model.detector, parameters, scale)
    straight = face.landmarks[:, :2].astype(np.float64) - bias
    seen = straight[list(LOWER_LIP_EDGE)] - straight[list(UPPER_LIP_EDGE)]
    shut, _ = _gaps(edges, replace(parameters, expression=np.zeros_like(parameters.expression)), identity)
    down = upright_axes(parameters.rotation)[:, 1]
    apart = (seen - shut) @ down
    return shut if np.median(apart) < SHUT_PERCENT / 100.0 * scale else seen


def _gaps(edges: SurfacePoints, parameters: PhotoParameters, identity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(9, 2) pixels from upper to lower edge on the posed face, and (9, 2, K) derivatives by the mouth's keys."""
    pixels, by_point, _ = project_with_derivatives(parameters, edges.positions(identity, parameters.expression))
    by_keys = by_point @ edges.expression[..., _MOUTH_KEYS]
    count = len(LOWER_LIP_EDGE)
    return pixels[:count] - pixels[count:], by_keys[:count] - by_keys[count:]


def _information_root(
    parameters: PhotoParameters, identity: np.ndarray, targets: PointTargets, weights: SolverWeights
) -> np.ndarray:
    """(K, K) square root of the information of targets and prior on the mouth's keys, at fixed pose."""
    positions = targets.points.positions(identity, parameters.expression)
    _, by_point, _ = project_with_derivatives(parameters, positions)
    rows = targets.whitening @ by_point @ targets.points.expression[..., _MOUTH_KEYS]  # (M, 2, K)
    trust = robust_weights(residuals(parameters, identity, targets), targets.information, weights.outlier_scale)
    known = np.einsum("m,mia,mib->ab", trust, rows, rows) + np.diag(weights.expression_information[_MOUTH_KEYS])
    return np.linalg.cholesky(known).T
