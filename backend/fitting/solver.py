"""Joint, regularised Gauss-Newton over one identity and any number of photos.

Per photo the unknowns are a pose (9), an expression (52, bounded to [0, 1]) and the strengths of the landmark
detector's correlated errors (M). All photos share the identity (K), whose prior has mean and covariance of more than
one population, and one number for the typical distance of this person's photos (``CameraPrior``). Each photo's
unknowns are eliminated by a Schur complement, so time grows linearly with the number of photos.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from backend.fitting.options import PriorWeights
from backend.fitting.parameters import POSE_SIZE, PhotoParameters, SurfacePoints, project, project_with_derivatives
from backend.geometry.template import Template, load_template
from backend.system.files import ASSETS, read_asset
from backend.system.parallel import each
from protocol.names import ARKIT_NAMES

EXPRESSION_SIZE = len(ARKIT_NAMES)

COMMON_EXPRESSIONS = (
    "eyeBlink", "eyeLook", "eyeSquint", "eyeWide", "jawOpen", "mouthSmile", "browDown", "browInnerUp", "browOuterUp",
    "cheekSquint", "mouthUpperUp", "mouthLowerDown", "mouthStretch", "mouthPucker", "mouthFunnel", "mouthClose",
)  # fmt: skip
UNSEEN_EXPRESSIONS, UNSEEN_DEVIATION = ("tongueOut",), 0.003
"""Keys that no landmark shows, and their standard deviation. It is small because they also move the jaw, which
landmarks do show."""


@dataclass(frozen=True)
class PointTargets:
    """Where surface points should appear in one photo.

    Attributes
    ----------
    points : M ``SurfacePoints``.
    pixels : (M, 2) targets in crop pixels.
    whitening : (M, 2, 2) square-root information: residual = whitening @ (projected - target), in standard
        deviations. A row of zeros leaves that direction free (points that slide along an outline).
    information : (M,) weight of each point as a share of one measurement (less for correlated errors).
    nuisance : (M, 2, E) shift of a point's target in pixels per unit of ``PhotoParameters.nuisance``.
    """

    points: SurfacePoints
    pixels: np.ndarray
    whitening: np.ndarray
    information: np.ndarray
    nuisance: np.ndarray

    def with_nuisance(self, start: int, size: int) -> PointTargets:
        """The same with its errors placed from ``start`` on in a nuisance vector of length ``size``."""
        nuisance = np.zeros((*self.nuisance.shape[:2], size))
        nuisance[..., start : start + self.nuisance.shape[2]] = self.nuisance
        return replace(self, nuisance=nuisance)

    @staticmethod
    def joined(first: PointTargets, second: PointTargets) -> PointTargets:
        """Both sets, one after the other."""
        return PointTargets(
            SurfacePoints.joined(first.points, second.points),
            np.concatenate([first.pixels, second.pixels]),
            np.concatenate([first.whitening, second.whitening]),
            np.concatenate([first.information, second.information]),
            np.concatenate([first.nuisance, second.nuisance]),
        )


@dataclass(frozen=True)
class CameraPrior:
    """Prior over one photo's camera: log distance (mean, σ), log focal length or None, principal point's σ.

    The mean of the log distance is ``log_distance + set_deviation * h`` with one h, of unit variance, for all photos:
    photos of one person tend to be taken from similar distances, and the perspective of six faces determines the
    distance better than that of one.
    """

    log_distance: float
    log_distance_deviation: float
    set_deviation: float
    log_focal: float | None
    log_focal_deviation: float
    principal_deviation: float


@dataclass(frozen=True)
class FaceEstimate:
    """The solver's state: identity (K,) in σ, one ``PhotoParameters`` per photo, and ``CameraPrior``'s h."""

    identity: np.ndarray
    photos: tuple[PhotoParameters, ...]
    distance_habit: float = 0.0


@dataclass(frozen=True)
class IdentityPrior:
    """Quadratic term on the identity a from a source other than points: cost 1/2 a^T information a - pull^T a.

    Attributes
    ----------
    information : (K, K) symmetric, positive semidefinite. pull : (K,).
    """

    information: np.ndarray
    pull: np.ndarray

    def cost(self, identity: np.ndarray) -> float:
        """Cost up to a constant."""
        return float(0.5 * identity @ self.information @ identity - self.pull @ identity)

    def combined_with(self, other: IdentityPrior | None) -> IdentityPrior:
        """Sum of both terms, as for independent sources."""
        if other is None:
            return self
        return IdentityPrior(self.information + other.information, self.pull + other.pull)


@dataclass(frozen=True)
class SolverWeights:
    """Priors in the solver's form.

    Attributes
    ----------
    identity : prior on the identity.
    expression_information : (52,) inverse variances.
    expression_bias : (52,) gradient of the linear pull towards 0.
    outlier_scale : Geman-McClure scale in standard deviations.
    """

    identity: IdentityPrior
    expression_information: np.ndarray
    expression_bias: np.ndarray
    outlier_scale: float


def solver_weights(prior: PriorWeights, identity: IdentityPrior, outlier_scale: float) -> SolverWeights:
    """Turn the declared prior and the identity prior into the solver's form."""
    return SolverWeights(identity, *expression_prior(prior), outlier_scale)


def expression_prior(prior: PriorWeights) -> tuple[np.ndarray, np.ndarray]:
    """``expression_information`` and ``expression_bias`` of ``SolverWeights``, (52,) each."""
    deviation = np.full(len(ARKIT_NAMES), prior.rare_expression_deviation)
    deviation[[name.startswith(COMMON_EXPRESSIONS) for name in ARKIT_NAMES]] = prior.common_expression_deviation
    deviation[[name in UNSEEN_EXPRESSIONS for name in ARKIT_NAMES]] = UNSEEN_DEVIATION
    return deviation**-2.0, np.full(len(ARKIT_NAMES), prior.expression_bias)


@dataclass(frozen=True)
class _PhotoSystem:
    """Normal equations of one photo with P = 61 + M local unknowns: local block (P, P), coupling (P, K + 1), shared
    block (K + 1, K + 1) and the gradients; shared unknowns are the identity and ``distance_habit``."""

    local: np.ndarray
    coupling: np.ndarray
    shared: np.ndarray
    local_gradient: np.ndarray
    shared_gradient: np.ndarray


def residuals(parameters: PhotoParameters, identity: np.ndarray, targets: PointTargets) -> np.ndarray:
    """(M, 2) whitened residuals in standard deviations."""
    positions = targets.points.positions(identity, parameters.expression)
    off = project(parameters, positions)[0] + targets.nuisance @ parameters.nuisance - targets.pixels
    return np.einsum("mij,mj->mi", targets.whitening, off)


def robust_cost(residual: np.ndarray, information: np.ndarray, scale: float) -> float:
    """Geman-McClure cost: sum of information * scale² r² / (scale² + r²) / 2 over the points."""
    squared = (residual**2).sum(-1)
    return float(0.5 * (information * scale**2 * squared / (scale**2 + squared)).sum())


def robust_weights(residual: np.ndarray, information: np.ndarray, scale: float) -> np.ndarray:
    """(M,) weights of least squares with the gradient of ``robust_cost``; residual (M, 2)."""
    squared = (residual**2).sum(-1)
    return information * (scale**2 / (scale**2 + squared)) ** 2


def photo_cost(
    parameters: PhotoParameters,
    estimate: FaceEstimate,
    targets: PointTargets,
    camera_prior: CameraPrior,
    weights: SolverWeights,
) -> float:
    cost = robust_cost(residuals(parameters, estimate.identity, targets), targets.information, weights.outlier_scale)
    expression = parameters.expression
    cost += 0.5 * float((weights.expression_information * expression**2).sum())
    cost += float((weights.expression_bias * expression).sum())
    cost += 0.5 * float((parameters.nuisance**2).sum())
    for value, deviation, _, _ in camera_prior_rows(parameters, estimate.distance_habit, camera_prior):
        cost += 0.5 * (value / deviation) ** 2
    return cost


def camera_prior_rows(
    parameters: PhotoParameters, habit: float, prior: CameraPrior
) -> list[tuple[float, float, np.ndarray, float]]:
    """(residual, σ, derivative by the pose step (9,), derivative by the habit) of each camera prior term."""
    unit = np.eye(POSE_SIZE)
    nearness = parameters.log_distance - prior.log_distance - prior.set_deviation * habit
    rows = [
        (nearness, prior.log_distance_deviation, unit[6], -prior.set_deviation),
        (float(parameters.principal_offset[0]), prior.principal_deviation, unit[7], 0.0),
        (float(parameters.principal_offset[1]), prior.principal_deviation, unit[8], 0.0),
    ]
    if prior.log_focal is not None:
        log_focal = parameters.log_scale + parameters.log_distance
        rows.append((log_focal - prior.log_focal, prior.log_focal_deviation, unit[5] + unit[6], 0.0))
    return rows


def _photo_system(
    estimate: FaceEstimate,
    weights: SolverWeights,
    parameters: PhotoParameters,
    targets: PointTargets,
    camera_prior: CameraPrior,
) -> _PhotoSystem:
    positions = targets.points.positions(estimate.identity, parameters.expression)
    pixels, by_point, by_pose = project_with_derivatives(parameters, positions)
    off = pixels + targets.nuisance @ parameters.nuisance - targets.pixels
    residual = np.einsum("mij,mj->mi", targets.whitening, off)
    root = np.sqrt(robust_weights(residual, targets.information, weights.outlier_scale))[:, None, None]

    by_point = root * (targets.whitening @ by_point)  # (M, 2, 3)
    by_pose, by_nuisance = (root * (targets.whitening @ by) for by in (by_pose, targets.nuisance))
    by_own = np.concatenate([by_pose, by_point @ targets.points.expression, by_nuisance], axis=-1)
    by_own = by_own.reshape(-1, by_own.shape[-1])  # (2M, P)
    by_identity = (by_point @ targets.points.identity).reshape(len(by_own), -1)  # (2M, K)
    by_shared = np.concatenate([by_identity, np.zeros((len(by_own), 1))], axis=1)  # (2M, K + 1)
    residual = (root[:, :, 0] * residual).ravel()

    own = by_own.T @ by_own
    own_gradient = by_own.T @ residual
    coupling, shared, shared_gradient = by_own.T @ by_shared, by_shared.T @ by_shared, by_shared.T @ residual
    for value, deviation, by_step, by_habit in camera_prior_rows(parameters, estimate.distance_habit, camera_prior):
        own[:POSE_SIZE, :POSE_SIZE] += np.outer(by_step, by_step) / deviation**2
        own_gradient[:POSE_SIZE] += by_step * value / deviation**2
        coupling[:POSE_SIZE, -1] += by_step * by_habit / deviation**2
        shared[-1, -1] += by_habit**2 / deviation**2
        shared_gradient[-1] += by_habit * value / deviation**2
    expression, nuisance = slice(POSE_SIZE, POSE_SIZE + EXPRESSION_SIZE), slice(POSE_SIZE + EXPRESSION_SIZE, None)
    diagonal = np.einsum("ii->i", own)  # a view
    diagonal[expression] += weights.expression_information
    own_gradient[expression] += weights.expression_information * parameters.expression + weights.expression_bias
    diagonal[nuisance] += 1.0
    own_gradient[nuisance] += parameters.nuisance
    return _PhotoSystem(own, coupling, shared, own_gradient, shared_gradient)


def _solve_step(
    systems: list[_PhotoSystem], estimate: FaceEstimate, known: IdentityPrior, damping: float
) -> tuple[np.ndarray, list[np.ndarray]]:
    """One damped step: (K + 1,) for identity and distance habit, and (P,) per photo. ``known`` is the identity prior;
    expression weights held at a bound do not move."""
    size = len(estimate.identity) + 1
    shared = np.eye(size)
    shared[:-1, :-1] = known.information
    shared_gradient = np.append(known.information @ estimate.identity - known.pull, estimate.distance_habit)
    eliminated = []
    for system, parameters in zip(systems, estimate.photos, strict=True):
        gradient = system.local_gradient[POSE_SIZE : POSE_SIZE + EXPRESSION_SIZE]
        held = ((parameters.expression <= 0.0) & (gradient > 0.0)) | ((parameters.expression >= 1.0) & (gradient < 0.0))
        free = np.concatenate([np.ones(POSE_SIZE, bool), ~held, np.ones(len(parameters.nuisance), bool)])
        own = system.local[np.ix_(free, free)]
        own = own + damping * np.diag(np.diag(own))
        factor = cho_factor(own)
        coupling = system.coupling[free]
        solved = cho_solve(factor, np.column_stack([coupling, system.local_gradient[free]]))
        shared += system.shared - coupling.T @ solved[:, :size]
        shared_gradient = shared_gradient + system.shared_gradient - coupling.T @ solved[:, size]
        eliminated.append((free, solved))
    shared[np.arange(size), np.arange(size)] *= 1.0 + damping
    shared_step = -cho_solve(cho_factor(shared), shared_gradient)
    steps = []
    for free, solved in eliminated:
        step = np.zeros(len(free))
        step[free] = -solved[:, size] - solved[:, :size] @ shared_step
        steps.append(step)
    return shared_step, steps


def solve(
    estimate: FaceEstimate,
    targets: tuple[PointTargets, ...],
    camera_priors: tuple[CameraPrior, ...],
    weights: SolverWeights,
    iterations: int,
    belief: IdentityPrior | None = None,
) -> FaceEstimate:
    """Minimise the robust, regularised reprojection error by Levenberg-Marquardt with bounded expressions.

    Parameters
    ----------
    estimate : start; targets, camera_priors : one per photo. iterations : steps, accepted or refused.
    belief : further term on this identity.
    """
    known = weights.identity.combined_with(belief)

    def total_cost(candidate: FaceEstimate) -> float:
        cost = known.cost(candidate.identity)
        cost += 0.5 * candidate.distance_habit**2
        for parameters, target, prior in zip(candidate.photos, targets, camera_priors, strict=True):
            cost += photo_cost(parameters, candidate, target, prior, weights)
        return cost

    damping = 1e-3
    cost = total_cost(estimate)
    systems: list[_PhotoSystem] | None = None
    for _ in range(iterations):
        if systems is None:
            systems = each(partial(_photo_system, estimate, weights), estimate.photos, targets, camera_priors)
        shared_step, steps = _solve_step(systems, estimate, known, damping)
        candidate = replace(
            estimate,
            identity=estimate.identity + shared_step[:-1],
            distance_habit=estimate.distance_habit + float(shared_step[-1]),
            photos=tuple(
                parameters.moved(*np.split(step, [POSE_SIZE, POSE_SIZE + EXPRESSION_SIZE]))
                for parameters, step in zip(estimate.photos, steps, strict=True)
            ),
        )
        candidate_cost = total_cost(candidate)
        if candidate_cost < cost:
            converged = cost - candidate_cost < 1e-5 * abs(cost)
            estimate, cost, systems = candidate, candidate_cost, None
            damping = max(damping / 5.0, 1e-6)
            if converged:
                break
        else:
            damping *= 10.0
    return estimate


POPULATION_PATH = ASSETS / "identity_population.safetensors"


def standard_normal(size: int, deviation: float = 1.0) -> IdentityPrior:
    """Independent coefficients (size,) around the mean face."""
    return IdentityPrior(np.eye(size) / deviation**2, np.zeros(size))


def gaussian_prior(mean: np.ndarray, covariance: np.ndarray) -> IdentityPrior:
    """Gaussian of mean (K,) and covariance (K, K) in the solver's form."""
    information = np.linalg.inv(covariance)
    information = (information + information.T) / 2
    return IdentityPrior(information, information @ mean)


def identity_prior(template: Template, prior: PriorWeights) -> IdentityPrior:
    """Prior on the identity before any photo. Coefficients are independent for other modes than the committed
    template's, which have no measured covariance, and where the populations' file is missing or damaged."""
    known = populations() if template.identity_modes is load_template().identity_modes else None
    if known is None:
        return standard_normal(len(template.identity_modes), prior.identity_deviation)
    mean, covariance = known
    return gaussian_prior(mean, covariance * prior.identity_deviation**2)


@lru_cache(maxsize=1)
def populations() -> tuple[np.ndarray, np.ndarray] | None:
    """Mean (K,) and covariance (K, K) of the identity coefficients over all populations. None without the file or where
    it belongs to another template."""
    if not POPULATION_PATH.is_file():
        return None
    found = read_asset(POPULATION_PATH)
    if found.metadata.get("template") != template_fingerprint():
        return None
    return found.arrays["mean"].astype(np.float64), found.arrays["covariance"].astype(np.float64)


def template_fingerprint() -> str:
    """SHA-256 of the mean face and its identity modes; keys and texture coordinates may change."""
    template = load_template()
    digest = hashlib.sha256(template.vertices.tobytes())
    digest.update(template.identity_modes.tobytes())
    return digest.hexdigest()
