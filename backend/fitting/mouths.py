"""Mouths, last: in each photo the lips' edges are as far apart as the detector sees them.

The landmark net sees lips that are wide apart too near to each other, and the detector's landmarks hardly count beside
it. Of two landmarks that lie one above the other the detector errs less in the difference than in either; when the fit
has come to its end, the keys of mouth and jaw move by as little as it takes.
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
"""Per cent of the face's scale: lips that are seen less far apart, beyond what shut ones are, are shut."""
_KEYS = np.array([number for number, name in enumerate(ARKIT_NAMES) if name.startswith(("mouth", "jaw"))])
_ROUNDS = 4


def seen_mouth(
    model: LandmarkModel,
    face: PhotoFace,
    parameters: PhotoParameters,
    identity: np.ndarray,
    targets: PointTargets,
    weights: SolverWeights,
) -> PhotoParameters:
    """The photo's parameters with an expression whose lips are apart as in the photo, unless they are masked there.

    model, identity : the face as the fit has found it. targets : what the expression was solved for; how well
    they know it says what a change costs.
    """
    if face.unseen is not None and face.unseen[[*LOWER_LIP_EDGE, *UPPER_LIP_EDGE]].any():
        return parameters
    edges = model.points.take(np.searchsorted(model.landmarks, LOWER_LIP_EDGE + UPPER_LIP_EDGE))
    wanted = _wanted_gaps(edges, model, face, parameters, identity)
    deviation = np.hypot(GAP_PERCENT / 100.0 * face_scale(face.landmarks), GAP_PIXELS)
    held = _held(parameters, identity, targets, weights)
    start = now = parameters.expression
    for _ in range(_ROUNDS):
        gaps, by_keys = _gaps(edges, replace(parameters, expression=now), identity)
        rows = np.vstack([held, by_keys.reshape(-1, len(_KEYS)) / deviation])
        right = np.concatenate([held @ (start - now)[_KEYS], (wanted - gaps).ravel() / deviation])
        step = lsq_linear(rows, right, (-now[_KEYS] - 1e-9, 1.0 - now[_KEYS] + 1e-9)).x
        now = now.copy()
        now[_KEYS] = np.clip(now[_KEYS] + step, 0.0, 1.0)
    return replace(parameters, expression=now)


def _wanted_gaps(
    edges: SurfacePoints, model: LandmarkModel, face: PhotoFace, parameters: PhotoParameters, identity: np.ndarray
) -> np.ndarray:
    """(9, 2) pixels from upper to lower edge in the photo; those of the shut mouth where it is nearly shut."""
    scale = face_scale(face.landmarks)
    bias, *_ = expected_errors(model.detector, parameters, scale)
    straight = face.landmarks[:, :2].astype(np.float64) - bias
    seen = straight[list(LOWER_LIP_EDGE)] - straight[list(UPPER_LIP_EDGE)]
    shut, _ = _gaps(edges, replace(parameters, expression=np.zeros_like(parameters.expression)), identity)
    down = upright_axes(parameters.rotation)[:, 1]
    apart = (seen - shut) @ down
    return shut if np.median(apart) < SHUT_PERCENT / 100.0 * scale else seen


def _gaps(edges: SurfacePoints, parameters: PhotoParameters, identity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(9, 2) pixels from upper to lower edge on the posed face, and (9, 2, K) their derivatives by the mouth's keys."""
    pixels, by_point, _ = project_with_derivatives(parameters, edges.positions(identity, parameters.expression))
    by_keys = by_point @ edges.expression[..., _KEYS]
    count = len(LOWER_LIP_EDGE)
    return pixels[:count] - pixels[count:], by_keys[:count] - by_keys[count:]


def _held(
    parameters: PhotoParameters, identity: np.ndarray, targets: PointTargets, weights: SolverWeights
) -> np.ndarray:
    """(K, K) square root of what targets and prior know of the mouth's keys, the pose being right."""
    positions = targets.points.positions(identity, parameters.expression)
    _, by_point, _ = project_with_derivatives(parameters, positions)
    rows = targets.whitening @ by_point @ targets.points.expression[..., _KEYS]  # (M, 2, K)
    trust = robust_weights(residuals(parameters, identity, targets), targets.information, weights.outlier_scale)
    known = np.einsum("m,mia,mib->ab", trust, rows, rows) + np.diag(weights.expression_information[_KEYS])
    return np.linalg.cholesky(known).T
