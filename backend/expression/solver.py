"""Solve a clip: priors and gaps, the reading as a start, pose and weights of one picture with their information
matrix, then all frames together.

Each frame is a quadratic (the solver's Hessian at its solution). With a prior on accelerations this is one banded
least-squares problem over a window of frames. The prior is a Cauchy density with a scale per key, solved by
iteratively reweighted least squares: trembling is smoothed away, a blink or a plosive is one unlikely event and hardly
changes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solveh_banded
from scipy.spatial.transform import Rotation

from backend.expression.clip import FrameMark
from backend.expression.reading import FaceEvidence, Reading, load_reader, read_face, towards_point
from backend.expression.subject import Subject
from backend.fitting.detector_model import face_scale
from backend.fitting.landmark_targets import LandmarkModel, landmark_targets
from backend.fitting.options import LandmarkStage
from backend.fitting.parameters import POSE_SIZE, PhotoParameters, project_with_derivatives
from backend.fitting.solver import EXPRESSION_SIZE, CameraPrior, PointTargets, camera_prior_rows, robust_cost
from backend.models.landmarks import net_points
from backend.photos.collection import PhotoFace
from protocol.names import ARKIT_INDEX, ARKIT_NAMES, mirrored_name

LID_PAIRS = ((159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373))
LIP_PAIRS = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402))
EYES = (((159, 145), (33, 133), range(468, 473)), ((386, 374), (263, 362), range(473, 478)))
"""Per eye, right first: upper and lower lid, corners, iris."""
LID_PERCENT, LIP_PERCENT = 0.7, 0.8
"""Standard deviation of a gap in per cent of the face's scale."""
LIP_PIXELS = 1.5
"""Further standard deviation of lip gaps in pixels: on small faces (scale 45) 2 % is best, on photographs 0.8 %."""
GAP_INFORMATION = 0.5
SHUT, IRIS_SEEN, OPEN = 0.09, 0.15, 0.22
"""Lid gap over the eye's width, as the detector finds it: of a shut eye, of one open enough to show the iris, and of an
open one where the person's own is not known."""


@dataclass(frozen=True)
class GapTargets:
    """Target differences of points in the picture.

    Attributes
    ----------
    upper, lower : (G,) rows of the ``PointTargets`` they belong to.
    deviation : (G,) pixels.
    share : (G,) factor on the gap between the targets.
    """

    upper: np.ndarray
    lower: np.ndarray
    deviation: np.ndarray
    share: np.ndarray


def lid_opening(landmarks: np.ndarray, eye: int) -> float:
    """Gap of the lids over the eye's width, of landmarks (478, 3); eye 0 is the person's right."""
    (top, bottom), (inner, outer), _ = EYES[eye]
    width = np.linalg.norm(landmarks[inner, :2] - landmarks[outer, :2])
    return float(np.linalg.norm(landmarks[top, :2] - landmarks[bottom, :2]) / max(width, 1e-6))


def gap_targets(model: LandmarkModel, landmarks: np.ndarray, open_lids: tuple[float, float]) -> GapTargets:
    """Gaps between the rows that ``landmark_targets`` makes of ``model.landmarks``, for landmarks (478, 3).

    The detector finds shut lids ``SHUT`` eye widths apart. For lids less open than ``open_lids`` (right, left; this
    person's usual ``lid_opening``), this bias is subtracted in proportion.
    """
    scale_px = face_scale(landmarks)
    pairs = np.array(LID_PAIRS + LIP_PAIRS)
    percent = np.array([LID_PERCENT] * len(LID_PAIRS) + [LIP_PERCENT] * len(LIP_PAIRS))
    pixels = np.array([0.0] * len(LID_PAIRS) + [LIP_PIXELS] * len(LIP_PAIRS))
    known = np.isin(pairs, model.landmarks).all(1)
    rows = np.searchsorted(model.landmarks, pairs[known])
    share = np.ones(len(pairs))
    for eye in range(2):
        opening = lid_opening(landmarks, eye)
        usual = max(open_lids[eye], 1.5 * SHUT)
        if opening < usual:
            share[3 * eye : 3 * eye + 3] = max(opening - SHUT, 0.0) / max(opening, 1e-6) * usual / (usual - SHUT)
    deviation = np.hypot(percent * scale_px / 100.0, pixels)
    return GapTargets(rows[:, 0], rows[:, 1], deviation[known], share[known])


def without_hidden_irises(targets: PointTargets, model: LandmarkModel, landmarks: np.ndarray) -> PointTargets:
    """The targets with irises weighted by how much of them the open lids show; landmarks (478, 3)."""
    information = targets.information.copy()
    for eye, (_, _, iris) in enumerate(EYES):
        rows = np.flatnonzero(np.isin(model.landmarks, list(iris)))
        information[rows] *= np.clip((lid_opening(landmarks, eye) - SHUT) / (IRIS_SEEN - SHUT), 0.0, 1.0)
    return replace(targets, information=information)


ASYMMETRY_DEVIATION = 0.5
"""Standard deviation of the difference of left and right, relative to that of the key: faces are mostly symmetric."""

GAZE_DIFFERENCE_DEVIATION = 0.12
"""Standard deviation of the difference of the two eyes' gaze, which move together."""


DEVIATIONS: dict[str, float] = {
    "eyeBlink": 1.0, "eyeLookUp": 0.35, "eyeLookDown": 0.35, "eyeLookIn": 0.5, "eyeLookOut": 0.5, "eyeSquint": 0.35,
    "eyeWide": 0.3, "jawOpen": 0.8, "jawForward": 0.1, "jawLeft": 0.12, "jawRight": 0.12, "mouthClose": 0.15,
    "mouthFunnel": 0.4, "mouthPucker": 0.5, "mouthLeft": 0.15, "mouthRight": 0.15, "mouthSmile": 0.7,
    "mouthFrown": 0.35, "mouthDimple": 0.2, "mouthStretch": 0.25, "mouthRoll": 0.25, "mouthShrugLower": 0.25,
    "mouthShrugUpper": 0.15, "mouthPress": 0.2, "mouthLowerDown": 0.4, "mouthUpperUp": 0.4, "browDown": 0.5,
    "browInnerUp": 0.6, "browOuterUp": 0.5, "cheekPuff": 0.2, "cheekSquint": 0.3, "noseSneer": 0.4, "tongueOut": 0.2,
}  # fmt: skip
"""Standard deviation of a weight, by the start of the key's name. Several keys lower a lid or part the lips. The one
that people mostly use has the larger deviation and gets the movement (a blink instead of half a blink and half a look
down)."""

PULL, BLINK_PULL = 0.2, 0.05
"""Linear pull of a weight towards 0, in units of the cost."""


@dataclass(frozen=True)
class FramePrior:
    """Priors of one picture.

    Attributes
    ----------
    expression_information : (52, 52) inverse covariance; expression_bias : (52,) linear pull towards 0.
    camera : see ``CameraPrior`` (its set deviation is not used).
    nuisance_mean : (M,) expected detector errors of this person, in σ; nuisance_deviation : their spread.
    outlier_scale : Geman-McClure scale in standard deviations of a landmark.
    open_lids : this person's usual opening of right and left lids (``gaps.lid_opening``).
    rotation : (3, 3) expected camera_from_head, None without one; rotation_information : (3, 3) inverse covariance of
        the rotation from it, camera frame, rad^-2.
    landmark_share : factor on the information of the detector's landmarks beside a reading, which uses them too.
    surface_share : the same for the landmark net's points.
    """

    expression_information: np.ndarray
    expression_bias: np.ndarray
    camera: CameraPrior
    nuisance_mean: np.ndarray
    nuisance_deviation: float
    outlier_scale: float
    open_lids: tuple[float, float] = (OPEN, OPEN)
    rotation: np.ndarray | None = None
    rotation_information: np.ndarray | None = None
    landmark_share: float = 1.0
    surface_share: float = 1.0


def key_deviations() -> np.ndarray:
    """(52,) standard deviation of each key (``DEVIATIONS``)."""
    return np.array([next(v for start, v in DEVIATIONS.items() if name.startswith(start)) for name in ARKIT_NAMES])


def expression_information() -> np.ndarray:
    """(52, 52) inverse covariance of the weights: a variance per key; left and right, and both eyes' gaze, coupled."""
    diagonal = key_deviations() ** -2.0
    information = np.diag(diagonal)

    def couple(first: str, second: str, deviation: float) -> None:
        i, j = ARKIT_INDEX[first], ARKIT_INDEX[second]
        strength = deviation**-2
        information[[i, j], [i, j]] += strength
        information[i, j] -= strength
        information[j, i] -= strength

    for name in ARKIT_NAMES:
        if (
            name.endswith("Left")
            and mirrored_name(name) != name
            and not name.startswith(("eyeLook", "jaw", "mouthLeft"))
        ):
            couple(name, mirrored_name(name), ASYMMETRY_DEVIATION * diagonal[ARKIT_INDEX[name]] ** -0.5)
    for first, second in (
        ("eyeLookUpLeft", "eyeLookUpRight"),
        ("eyeLookDownLeft", "eyeLookDownRight"),
        ("eyeLookInLeft", "eyeLookOutRight"),
        ("eyeLookOutLeft", "eyeLookInRight"),
    ):
        couple(first, second, GAZE_DIFFERENCE_DEVIATION)
    return information


def frame_prior(camera: CameraPrior, nuisance_mean: np.ndarray, nuisance_deviation: float) -> FramePrior:
    """The prior of one picture with the default numbers."""
    pull = [BLINK_PULL if name.startswith("eyeBlink") else PULL for name in ARKIT_NAMES]
    return FramePrior(
        expression_information=expression_information(),
        expression_bias=np.array(pull),
        camera=camera,
        nuisance_mean=nuisance_mean,
        nuisance_deviation=nuisance_deviation,
        outlier_scale=LandmarkStage().outlier_scale,
    )


LANDMARK_SHARE, SMALL_FACE, LARGEST_SHARE = 0.02, 45.0, 0.3
"""Share of the landmarks' information that counts beside a reading, because the reader uses them too; for a face whose
scale is ``SMALL_FACE`` pixels, as in the reader's training data. On larger faces the detector's error is smaller than
in training, so the share grows with the square of the size, up to the last number."""
SURFACE_SHARE = 0.05
"""The same share of the landmark net's points when weights are solved; for rotations see ``calibrate.POSE_SHARE``."""
DETECTOR_SHARE = 0.05
"""Factor on the detector's landmarks beside the net's, which have a third of the error."""
SURPRISE = 0.15
"""Standard deviation, relative to the keys' own (``priors.DEVIATIONS``), of real expressions outside the synthetic
training data."""
SHUT_READING = 0.65
"""The reader's usual weight for shut lids; half of its uncertainty is about the shape of the person's eyes."""
TONGUE = ARKIT_INDEX["tongueOut"]
EMPHASIS = {
    "noseSneer": (2.0, 0.3), "browDown": (1.5, 0.15), "browInnerUp": (2.0, 0.15), "browOuterUp": (0.5, 0.0),
    "eyeWide": (1.5, 0.15), "eyeSquint": (0.5, 0.0), "mouthFrown": (2.0, 0.15), "mouthShrugLower": (3.0, 0.15),
}  # fmt: skip
"""Strength and threshold (see ``emphasised``) by the start of the key's name, for movements whose weight the reader
underestimates even where it is right, while it is near 0 on faces without them. A sneer needs a high threshold, because
it parts the shut lips of another head."""


def read_subject_face(subject: Subject, evidence: FaceEvidence) -> Reading:
    """The committed reader's result for a picture of ``subject``, with its tongue measured and its weights emphasised.
    Raises ``ValueError`` when no pose explains it."""
    template = subject.template
    neutral = net_points().positions(template.vertices).astype(np.float64)
    reading = read_face(load_reader(), evidence, neutral)
    weights = emphasised(reading.weights)
    weights[TONGUE] = max(weights[TONGUE], evidence.tongue)
    return replace(reading, weights=weights)


def emphasised(weights: np.ndarray) -> np.ndarray:
    """Weights (52,) w + 2 e w (1 - w) (w - m) with the key's ``EMPHASIS`` e and m: values below m, mostly noise, get
    smaller, values above it larger; 0 and 1 stay."""
    strength, middle = np.array(
        [next((e for key, e in EMPHASIS.items() if name.startswith(key)), (0.0, 0.0)) for name in ARKIT_NAMES]
    ).T
    return np.clip(weights + 2.0 * strength * weights * (1.0 - weights) * (weights - middle), 0.0, 1.0)


def expect(start: PhotoParameters, prior: FramePrior, reading: Reading) -> tuple[PhotoParameters, FramePrior]:
    """Start and prior with the reading included; ``start`` gives the direction of the face."""
    reader = load_reader()
    rotation = towards_point(start.lateral) @ reading.rotation
    information = np.linalg.inv(reader.covariance + np.diag((SURPRISE * key_deviations()) ** 2))
    return replace(start, rotation=rotation, expression=reading.weights), replace(
        prior,
        expression_information=information,
        expression_bias=-information @ reading.weights,
        rotation=rotation,
        rotation_information=rotation @ np.linalg.inv(reader.rotation_covariance) @ rotation.T,
        landmark_share=min(LANDMARK_SHARE * (reading.scale / SMALL_FACE) ** 2, LARGEST_SHARE),
        surface_share=SURFACE_SHARE,
    )


def lids_from_open(lids: np.ndarray, open_lids: np.ndarray) -> np.ndarray:
    """Rescale lid weights (..., 2) so that ``open_lids`` (2,) become 0 and shut lids 1; not clipped."""
    return (lids - open_lids) / np.maximum(SHUT_READING - np.asarray(open_lids), 0.2)


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
    subject: Subject, face: PhotoFace, start: PhotoParameters, prior: FramePrior, rounds: tuple[tuple[float, int], ...]
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
        targets = landmark_targets(
            subject.template, subject.model, face, parameters, _NO_IDENTITY, stage, DETECTOR_SHARE
        )
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
        there = _system(candidate, targets, gaps, prior)
        if there[0] >= cost:
            damping *= 10.0
            continue
        converged = cost - there[0] < 1e-4 * cost
        parameters, (cost, hessian, gradient) = candidate, there
        damping = max(damping / 5.0, 1e-6)
        if converged:
            break
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
    cost = 0.0
    for value, deviation, by_step, _ in camera_prior_rows(parameters, 0.0, prior.camera):
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
    columns = slice(POSE_SIZE + EXPRESSION_SIZE, None)
    information = prior.nuisance_deviation**-2
    cost += 0.5 * information * float(off @ off)
    hessian[columns, columns] = information * np.eye(len(off))
    gradient[columns] = information * off
    return cost, hessian, gradient


def _gap_residual(pixels: np.ndarray, targets: PointTargets, gaps: GapTargets) -> np.ndarray:
    """(G, 2) errors of the gaps between points at ``pixels`` (M, 2), in standard deviations."""
    observed = pixels[gaps.upper] - pixels[gaps.lower]
    wanted = gaps.share[:, None] * (targets.pixels[gaps.upper] - targets.pixels[gaps.lower])
    return (observed - wanted) / gaps.deviation[:, None]


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


CHUNK, OVERLAP, MOST_HELD = 192, 24, 800
ROUNDS = 6
FRAME_SHARE = 4.0
"""Factor on a frame's information, because most of the reader's error is the same in all frames and cancels in their
differences. With more, weights tremble; with less, blinks get shallow."""
UNCERTAIN_RATIO = 2.5
"""A frame whose landmark error is this many times the window's median gets less weight."""

ACCELERATIONS: dict[str, float] = {
    "eyeBlink": 40.0, "eyeLook": 8.0, "jawOpen": 8.0, "mouthClose": 8.0, "mouthPress": 6.0, "mouthRoll": 6.0,
    "tongueOut": 6.0, "mouthPucker": 6.0, "mouthFunnel": 5.0, "mouthSmile": 4.0, "mouthLowerDown": 5.0,
    "mouthUpperUp": 5.0, "eye": 4.0, "jaw": 2.0, "mouthLeft": 2.0, "mouthRight": 2.0, "mouthShrug": 2.5, "mouth": 3.0,
    "brow": 3.0, "cheek": 2.0, "nose": 2.5,
}  # fmt: skip
"""Scale of the second derivative of a weight, per second squared, by the start of the key's name."""
ROTATION_ACCELERATION, PLACE_ACCELERATION = 4.0, 1.0
"""Radians, and tangents or log metres, per second squared."""
SPEED = 6.0
"""Scale of the first derivative; it only matters in long gaps without a face."""


@dataclass(frozen=True)
class MeasuredFrame:
    """A frame slot: its solution, or None with the reason as a mark."""

    solved: SolvedFrame | None
    mark: FrameMark


@dataclass(frozen=True)
class SmoothFrame:
    """Pose and expression after smoothing.

    Attributes
    ----------
    rotation : (3, 3) camera_from_head. position : (3,) of the pivot in the camera frame, metres. weights : (52,).
    """

    rotation: np.ndarray
    position: np.ndarray
    weights: np.ndarray
    mark: FrameMark
    error_percent: float


def smoothed(frames: Iterable[MeasuredFrame], fps: float) -> Iterator[SmoothFrame]:
    """Smooth a stream, with as many frames out as in; buffers at most ``MOST_HELD`` of them. Before the first and after
    the last face, the nearest one's values are repeated."""
    window: list[MeasuredFrame] = []
    done = 0  # frames at the window's start that were yielded already
    for frame in frames:
        window.append(frame)
        if len(window) - done == CHUNK + OVERLAP:
            yield from _smooth_window(window, fps)[done : done + CHUNK]
            done += CHUNK
            start = max(done - OVERLAP, 0)
            before = [number for number in range(done) if window[number].solved is not None]
            if before and done - before[-1] + CHUNK + OVERLAP < MOST_HELD:
                start = min(start, before[-1])  # keep the last face before a gap in the window
            window, done = window[start:], done - start
    if len(window) > done:
        yield from _smooth_window(window, fps)[done:]


def acceleration_scales(fps: float) -> np.ndarray:
    """(58,) scale of the second difference of each state variable, per frame squared."""
    weights = [next(value for start, value in ACCELERATIONS.items() if name.startswith(start)) for name in ARKIT_NAMES]
    scales = np.array([ROTATION_ACCELERATION] * 3 + [PLACE_ACCELERATION] * 3 + weights)
    return scales / fps**2


def _smooth_window(window: list[MeasuredFrame], fps: float) -> list[SmoothFrame]:
    solved = [number for number, frame in enumerate(window) if frame.solved is not None]
    if not solved:
        still = np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 1.0]), np.zeros(len(ARKIT_NAMES))
        return [SmoothFrame(*still, frame.mark, float("nan")) for frame in window]
    reference = window[solved[0]].solved.parameters.rotation
    states, information, gradient = _quadratics(window, solved, reference)
    errors = np.array([np.nan if frame.solved is None else frame.solved.error_percent for frame in window])
    trust = np.minimum((UNCERTAIN_RATIO * np.nanmedian(errors) / np.where(errors > 0, errors, np.nan)) ** 2, 1.0)
    trust = np.where(np.isnan(trust), 1.0, trust)
    # Good frames keep their weight; bad ones get at most a tenth of theirs.
    trust = np.where(trust < 1.0, 0.1 * trust, 1.0)
    trust = FRAME_SHARE * trust
    information *= trust[:, None, None]
    gradient *= trust[:, None]
    result = smooth_states(states, information, gradient, acceleration_scales(fps), SPEED / fps)
    frames = []
    for frame, state, error, share in zip(window, result, errors, trust / FRAME_SHARE, strict=True):
        depth = float(np.exp(state[5]))
        mark = FrameMark.UNCERTAIN if frame.mark == FrameMark.MEASURED and share < 1.0 else frame.mark
        frames.append(
            SmoothFrame(
                Rotation.from_rotvec(state[:3]).as_matrix() @ reference,
                depth * np.array([state[3], state[4], 1.0]),
                state[6:],
                mark,
                float(error),
            )
        )
    return frames


def _quadratics(
    window: list[MeasuredFrame], seen: list[int], reference: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States (F, 58) with gaps filled in, and each frame's second (F, 58, 58) and first derivatives (F, 58) there."""
    count = len(window)
    states = np.zeros((count, STATE_SIZE))
    information = np.zeros((count, STATE_SIZE, STATE_SIZE))
    gradient = np.zeros((count, STATE_SIZE))
    previous = np.zeros(3)
    for number in seen:
        solved = window[number].solved
        parameters = solved.parameters
        turn = Rotation.from_matrix(parameters.rotation @ reference.T).as_rotvec()
        turn = _nearest_turn(turn, previous)
        previous = turn
        states[number] = np.concatenate([turn, parameters.lateral, [parameters.log_distance], parameters.expression])
        to_step = np.eye(STATE_SIZE)
        to_step[:3, :3] = _left_jacobian(turn)
        information[number] = to_step.T @ solved.information @ to_step
        gradient[number] = to_step.T @ solved.gradient
    for column in range(STATE_SIZE):
        states[:, column] = np.interp(np.arange(count), seen, states[seen, column])
    return states, information, gradient


def _nearest_turn(turn: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """The rotation vector nearest to ``previous`` among those of the same rotation."""
    angle = float(np.linalg.norm(turn))
    if angle < 1e-9:
        return turn
    options = [turn * (1.0 + 2.0 * np.pi * k / angle) for k in (-1, 0, 1)]
    return min(options, key=lambda option: float(np.linalg.norm(option - previous)))


def _left_jacobian(turn: np.ndarray) -> np.ndarray:
    """(3, 3) of SO(3): exp(turn + d) = exp(J d) exp(turn) for small d."""
    angle = float(np.linalg.norm(turn))
    x, y, z = turn
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    if angle < 1e-4:
        return np.eye(3) + 0.5 * cross
    return np.eye(3) + (1.0 - np.cos(angle)) / angle**2 * cross + (angle - np.sin(angle)) / angle**3 * cross @ cross


def smooth_states(
    states: np.ndarray, information: np.ndarray, gradient: np.ndarray, scales: np.ndarray, speed: float
) -> np.ndarray:
    """Minimise the frames' quadratics plus the robust acceleration prior, expression weights within [0, 1].

    Parameters
    ----------
    states : (F, 58) where the quadratics were taken. information : (F, 58, 58); gradient : (F, 58).
    scales : (58,) of the second differences; speed : of the first differences.

    Returns (F, 58).
    """
    count, size = states.shape
    if count < 3:
        return states.copy()
    right = np.einsum("fij,fj->fi", information, states) - gradient
    current = states.copy()
    held = np.zeros(states.shape, bool)
    bounded = np.zeros(size, bool)
    bounded[6:] = True
    slow = np.full(size, speed**-2) * np.where(bounded, 1.0, 0.1)
    blind = ~information.any((1, 2))
    blind = blind[:-2] | blind[1:-1] | blind[2:]  # (F - 2,) in gaps the prior is quadratic, so motion spreads evenly
    for _ in range(ROUNDS):
        second = np.diff(current, 2, axis=0)
        weight = 1.0 / (scales**2 + np.where(blind[:, None], 0.0, second) ** 2)  # Cauchy
        band = _banded(information, weight, slow)
        bound = np.where(held, np.round(np.clip(current, 0.0, 1.0)), 0.0)
        stiff = 1e10 * held
        band[-1] += stiff.ravel()
        solution = solveh_banded(band, (right + stiff * bound).ravel(), check_finite=False).reshape(count, size)
        # Hold weights that left [0, 1] at the bound; release held ones whose gradient points inside.
        force = _force(solution, information, right, weight, slow)
        let_go = held & np.where(bound <= 0.0, force < 0.0, force > 0.0)
        held = (held & ~let_go) | (bounded & ((solution < 0.0) | (solution > 1.0)) & ~held)
        current = np.where(bounded, np.clip(solution, 0.0, 1.0), solution)
    return current


def _banded(information: np.ndarray, weight: np.ndarray, slow: np.ndarray) -> np.ndarray:
    """Upper banded form (2 S + 1, F S) of the whole Hessian, for ``solveh_banded``."""
    count, size, _ = information.shape
    band = np.zeros((2 * size + 1, count, size))
    top = 2 * size
    for distance in range(size):
        # Element (i, i + distance) of a frame's block lies in column i + distance of row top - distance.
        rows = np.arange(size - distance)
        band[top - distance, :, distance:] = information[:, rows, rows + distance]
    diagonal, one, two = band[top], band[top - size], band[top - 2 * size]
    for part, factor in ((slice(0, -2), 1.0), (slice(1, -1), 4.0), (slice(2, None), 1.0)):
        diagonal[part] += factor * weight
    one[1:-1] -= 2.0 * weight
    one[2:] -= 2.0 * weight
    two[2:] += weight
    diagonal[1:] += slow
    diagonal[:-1] += slow
    one[1:] -= slow
    return band.reshape(2 * size + 1, count * size)


def _force(
    states: np.ndarray, information: np.ndarray, right: np.ndarray, weight: np.ndarray, slow: np.ndarray
) -> np.ndarray:
    """(F, 58) gradient of the whole cost."""
    force = np.einsum("fij,fj->fi", information, states) - right
    pull = weight * np.diff(states, 2, axis=0)
    for rows, factor in ((slice(0, -2), 1.0), (slice(1, -1), -2.0), (slice(2, None), 1.0)):
        force[rows] += factor * pull
    drag = slow * np.diff(states, axis=0)
    force[1:] += drag
    force[:-1] -= drag
    return force
