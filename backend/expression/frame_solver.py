"""Pose and expression of one picture at fixed identity, with their information matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from backend.expression.gaps import GAP_INFORMATION, GapTargets, gap_targets, without_hidden_irises
from backend.expression.priors import FramePrior
from backend.expression.subject import Subject
from backend.fitting.initial_pose import face_scale
from backend.fitting.landmark_targets import landmark_targets
from backend.fitting.options import LandmarkStage
from backend.fitting.parameters import POSE_SIZE, PhotoParameters, project_with_derivatives
from backend.fitting.solver import EXPRESSION_SIZE, PointTargets, robust_cost
from backend.photos.collection import PhotoFace

STATE_SIZE = 6 + EXPRESSION_SIZE
"""Rotation (3), lateral position (2), log distance, expression (52): the state that the smoother uses."""
_NO_IDENTITY = np.zeros(0)
_EXPRESSION = slice(POSE_SIZE, POSE_SIZE + EXPRESSION_SIZE)
_STATE = np.r_[0:5, 6, POSE_SIZE : POSE_SIZE + EXPRESSION_SIZE]


@dataclass(frozen=True)
class SolvedFrame:
    """One picture's solution.

    Attributes
    ----------
    parameters : pose, camera, expression, detector errors.
    information : (58, 58) second derivative of the cost by the state, everything else eliminated (the state is
        ``STATE_SIZE``; its rotation part is a step of ``PhotoParameters.moved``).
    gradient : (58,) first derivative there; not zero where a weight is at a bound.
    error_percent : median distance of projected and found landmarks, in per cent of the face's scale.
    cost : of the solution, including priors.
    """

    parameters: PhotoParameters
    information: np.ndarray
    gradient: np.ndarray
    error_percent: float
    cost: float = 0.0


def solve_frame(
    subject: Subject,
    face: PhotoFace,
    start: PhotoParameters,
    prior: FramePrior,
    rounds: tuple[tuple[float, int], ...],
) -> SolvedFrame:
    """Solve one picture by Levenberg-Marquardt with bounded expression weights.

    Parameters
    ----------
    start : initial parameters. rounds : (factor on the robust scale, iterations) of each round; targets are updated
        before each.
    """
    parameters = start
    gaps = gap_targets(subject.model, face.landmarks, prior.open_lids)
    usual = LandmarkStage()
    stage = LandmarkStage(
        independent_fraction=prior.landmark_share * usual.independent_fraction,
        surface_fraction=prior.surface_share * usual.surface_fraction,
    )
    for factor, iterations in rounds:
        targets = landmark_targets(subject.template, subject.model, face, parameters, _NO_IDENTITY, stage)
        targets = without_hidden_irises(targets, subject.model, face.landmarks)
        parameters = _descend(
            parameters, targets, gaps, replace(prior, outlier_scale=factor * prior.outlier_scale), iterations
        )
    cost, hessian, gradient = _system(parameters, targets, gaps, prior)
    information, gradient = _eliminated(hessian, gradient)
    off = np.linalg.norm(_pixel_errors(parameters, targets), axis=-1)
    error = float(100.0 * np.median(off) / face_scale(face.landmarks))
    return SolvedFrame(parameters, information, gradient, error, cost)


def _descend(
    parameters: PhotoParameters, targets: PointTargets, gaps: GapTargets, prior: FramePrior, iterations: int
) -> PhotoParameters:
    damping = 1e-3
    cost, hessian, gradient = _system(parameters, targets, gaps, prior)
    for _ in range(iterations):
        candidate = _step(parameters, hessian, gradient, damping)
        candidate_cost = _cost(candidate, targets, gaps, prior)
        if candidate_cost < cost:
            converged = cost - candidate_cost < 1e-4 * cost
            parameters = candidate
            damping = max(damping / 5.0, 1e-6)
            if converged:
                break
            cost, hessian, gradient = _system(parameters, targets, gaps, prior)
        else:
            damping *= 10.0
    return parameters


def _step(parameters: PhotoParameters, hessian: np.ndarray, gradient: np.ndarray, damping: float) -> PhotoParameters:
    """One damped step; weights at a bound that would leave [0, 1] are held, as are those that the step takes out."""
    held = np.zeros(len(gradient), bool)
    by_weight = gradient[_EXPRESSION]
    weights = parameters.expression
    held[_EXPRESSION] = ((weights <= 0.0) & (by_weight > 0.0)) | ((weights >= 1.0) & (by_weight < 0.0))
    step = np.zeros(len(gradient))
    damped = hessian + damping * np.diag(np.diag(hessian))
    for _ in range(4):
        free = ~held
        # The steps of weights moved to their bound change the right-hand side of the others.
        right = -gradient[free] - damped[np.ix_(free, held)] @ step[held]
        step[free] = cho_solve(cho_factor(damped[np.ix_(free, free)]), right)
        moved = weights + step[_EXPRESSION]
        over = ((moved < 0.0) | (moved > 1.0)) & ~held[_EXPRESSION]
        if not over.any():
            break
        step[_EXPRESSION][over] = np.where(moved[over] < 0.0, 0.0, 1.0) - weights[over]
        held[_EXPRESSION] |= over
    return parameters.moved(*np.split(step, [POSE_SIZE, POSE_SIZE + EXPRESSION_SIZE]))


def _pixel_errors(parameters: PhotoParameters, targets: PointTargets) -> np.ndarray:
    """(M, 2) pixels from targets to points, including the solved detector errors."""
    pixels, _, _ = project_with_derivatives(parameters, targets.points.positions(_NO_IDENTITY, parameters.expression))
    return pixels + targets.nuisance @ parameters.nuisance - targets.pixels


def _prior_terms(parameters: PhotoParameters, prior: FramePrior) -> tuple[float, np.ndarray, np.ndarray]:
    """Cost, diagonal-block Hessian (P, P) and gradient (P,) of all priors."""
    size = POSE_SIZE + EXPRESSION_SIZE + len(parameters.nuisance)
    hessian, gradient = np.zeros((size, size)), np.zeros(size)
    camera = prior.camera
    unit = np.eye(POSE_SIZE)
    rows = [
        (parameters.log_distance - camera.log_distance, camera.log_distance_deviation, unit[6]),
        (float(parameters.principal_offset[0]), camera.principal_deviation, unit[7]),
        (float(parameters.principal_offset[1]), camera.principal_deviation, unit[8]),
    ]
    if camera.log_focal is not None:
        log_focal = parameters.log_scale + parameters.log_distance
        rows.append((log_focal - camera.log_focal, camera.log_focal_deviation, unit[5] + unit[6]))
    cost = 0.0
    for value, deviation, by_step in rows:
        cost += 0.5 * (value / deviation) ** 2
        hessian[:POSE_SIZE, :POSE_SIZE] += np.outer(by_step, by_step) / deviation**2
        gradient[:POSE_SIZE] += by_step * value / deviation**2
    if prior.rotation is not None:
        turn = Rotation.from_matrix(parameters.rotation @ prior.rotation.T).as_rotvec()
        wanted = prior.rotation_information @ turn
        cost += 0.5 * float(turn @ wanted)
        hessian[:3, :3] += prior.rotation_information
        gradient[:3] += wanted
    weights = parameters.expression
    pulled = prior.expression_information @ weights
    cost += 0.5 * float(weights @ pulled) + float(prior.expression_bias @ weights)
    hessian[_EXPRESSION, _EXPRESSION] = prior.expression_information
    gradient[_EXPRESSION] = pulled + prior.expression_bias
    off = parameters.nuisance - prior.nuisance_mean
    place = slice(POSE_SIZE + EXPRESSION_SIZE, None)
    information = prior.nuisance_deviation**-2
    cost += 0.5 * information * float(off @ off)
    hessian[place, place] = information * np.eye(len(off))
    gradient[place] = information * off
    return cost, hessian, gradient


def _cost(parameters: PhotoParameters, targets: PointTargets, gaps: GapTargets, prior: FramePrior) -> float:
    positions = targets.points.positions(_NO_IDENTITY, parameters.expression)
    pixels, _, _ = project_with_derivatives(parameters, positions)
    off = pixels - targets.pixels
    wide = _gap_residual(pixels, targets, gaps)
    residual = np.einsum("mij,mj->mi", targets.whitening, off + targets.nuisance @ parameters.nuisance)
    cost = robust_cost(residual, targets.information, prior.outlier_scale)
    return (
        cost
        + 0.5 * prior.landmark_share * GAP_INFORMATION * float((wide**2).sum())
        + _prior_terms(parameters, prior)[0]
    )


def _gap_residual(pixels: np.ndarray, targets: PointTargets, gaps: GapTargets) -> np.ndarray:
    """(G, 2) errors of the gaps between points at ``pixels`` (M, 2), in standard deviations."""
    found = pixels[gaps.upper] - pixels[gaps.lower]
    wanted = gaps.share[:, None] * (targets.pixels[gaps.upper] - targets.pixels[gaps.lower])
    return (found - wanted) / gaps.deviation[:, None]


def _system(
    parameters: PhotoParameters, targets: PointTargets, gaps: GapTargets, prior: FramePrior
) -> tuple[float, np.ndarray, np.ndarray]:
    """Cost, Gauss-Newton Hessian (P, P) and gradient (P,); P = pose 9, expression 52, detector errors M."""
    positions = targets.points.positions(_NO_IDENTITY, parameters.expression)
    pixels, by_point, by_pose = project_with_derivatives(parameters, positions)
    off = pixels - targets.pixels
    residual = np.einsum("mij,mj->mi", targets.whitening, off + targets.nuisance @ parameters.nuisance)
    squared = (residual**2).sum(-1)
    scale = prior.outlier_scale**2
    root = (np.sqrt(targets.information) * scale / (scale + squared))[:, None, None]
    by_own = np.concatenate([by_pose, by_point @ targets.points.expression, targets.nuisance], axis=-1)  # (M, 2, P)
    by_gap = (by_own[gaps.upper] - by_own[gaps.lower]) / gaps.deviation[:, None, None]  # (G, 2, P)
    by_gap[:, :, POSE_SIZE + EXPRESSION_SIZE :] = 0.0  # in differences the detector's large errors cancel
    by_gap = by_gap.reshape(-1, by_own.shape[-1])
    wide = _gap_residual(pixels, targets, gaps).ravel()
    by_own = (root * (targets.whitening @ by_own)).reshape(-1, by_own.shape[-1])
    cost, hessian, gradient = _prior_terms(parameters, prior)
    cost += robust_cost(residual, targets.information, prior.outlier_scale)
    gap_information = prior.landmark_share * GAP_INFORMATION
    cost += 0.5 * gap_information * float(wide @ wide)
    hessian = hessian + by_own.T @ by_own + gap_information * by_gap.T @ by_gap
    gradient = gradient + by_own.T @ (root[:, :, 0] * residual).ravel() + gap_information * by_gap.T @ wide
    return cost, hessian, gradient


def _eliminated(hessian: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(58, 58) and (58,) of the state; focal length, principal point and detector errors are eliminated."""
    other = np.setdiff1d(np.arange(len(gradient)), _STATE)
    factor = cho_factor(hessian[np.ix_(other, other)])
    coupling = hessian[np.ix_(_STATE, other)]
    information = hessian[np.ix_(_STATE, _STATE)] - coupling @ cho_solve(factor, coupling.T)
    return (information + information.T) / 2.0, gradient[_STATE] - coupling @ cho_solve(factor, gradient[other])
