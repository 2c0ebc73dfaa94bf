"""Expression and turn of a frontalised face by one bounded linear least-squares problem: what plain geometry says."""

from __future__ import annotations

from functools import cache

import numpy as np

from backend.expression.frontalised import FrontalisedFace, steady_landmarks
from backend.expression.priors import expression_information
from backend.fitting.detector_model import load_detector_model, view_features
from backend.geometry.template import load_template

TURN_DEVIATION, SHIFT_DEVIATION = 0.15, 0.02
"""Radians and metres."""
INDEPENDENT_SHARE = 0.3
"""Neighbouring landmarks err alike even beyond the detector model's modes."""
PULL = 0.2
ROUNDS = 12


@cache
def key_motions() -> np.ndarray:
    """(52, 478, 3) how the keys move the template's landmarks, metres."""
    template = load_template()
    return np.stack([template.landmarks478.positions(key) for key in template.expressions]).astype(np.float64)


@cache
def _whitened_errors() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(956,) information of each coordinate, (M, 956) modes times it, and the inverse (M, M) of Woodbury's identity."""
    detector = load_detector_model()
    information = INDEPENDENT_SHARE * np.repeat(detector.deviation, 2) ** -2.0
    information[~np.repeat(load_template().landmarks478.valid, 2)] = 0.0
    modes = detector.modes.reshape(len(detector.modes), -1)
    weighted = modes * information
    return information, weighted, np.linalg.inv(np.eye(len(modes)) + weighted @ modes.T)


def linear_expression(face: FrontalisedFace) -> tuple[np.ndarray, np.ndarray]:
    """Weights (52,) in [0, 1] and turn (3,) radians in the head's axes: rotation = ``face.rotation`` exp(turn)."""
    seen, steady = face.seen, steady_landmarks()
    yaw, pitch = np.degrees(face.turn)
    bias = np.tensordot(view_features(yaw, pitch, seen[steady, 2].mean()), load_detector_model().bias, 1)
    arms = seen - seen[steady].mean(0)
    axes = face.rotation.T  # the head's axes in the camera
    turned = np.cross(axes[:, None], arms[None])  # (3, 478, 3)
    shifted = np.broadcast_to(np.eye(3)[:, None], turned.shape)
    moved = np.concatenate([turned, shifted, key_motions() @ face.rotation.T])  # (58, 478, 3)
    across = face.percent_per_tangent * (moved[..., :2] - moved[..., 2:] * (seen[:, :2] / seen[:, 2:])) / seen[:, 2:]
    by_state = (across @ face.upright).reshape(58, -1)  # per cent
    residual = (face.residual[:, :2] - bias).ravel()
    information, modes, inner = _whitened_errors()
    own = by_state * information
    across_modes = by_state @ modes.T
    hessian = own @ by_state.T - across_modes @ inner @ across_modes.T
    right = own @ residual - across_modes @ inner @ (modes @ residual)
    hessian[:3, :3] += np.eye(3) * TURN_DEVIATION**-2
    hessian[3:6, 3:6] += np.eye(3) * SHIFT_DEVIATION**-2
    hessian[6:, 6:] += expression_information()
    right[6:] -= PULL
    state = bounded_least_squares(hessian, right, np.arange(len(right)) >= 6)
    return state[6:], state[:3]


def bounded_least_squares(hessian: np.ndarray, right: np.ndarray, bounded: np.ndarray) -> np.ndarray:
    """Minimise x H x / 2 - right x with the ``bounded`` (bool) variables within [0, 1], by an active set; the result is
    always within the bounds, and nearly the best."""
    held = np.zeros(len(right), bool)
    value = np.zeros(len(right))
    for _ in range(ROUNDS):
        free = ~held
        value[free] = np.linalg.solve(
            hessian[np.ix_(free, free)], right[free] - hessian[np.ix_(free, held)] @ value[held]
        )
        over = bounded & free & ((value < 0.0) | (value > 1.0))
        force = hessian @ value - right
        let_go = held & np.where(value <= 0.0, force < 0.0, force > 0.0)
        if not over.any() and not let_go.any():
            break
        value[over] = np.where(value[over] < 0.0, 0.0, 1.0)
        held = (held & ~let_go) | over
    value[bounded] = np.clip(value[bounded], 0.0, 1.0)
    return value
