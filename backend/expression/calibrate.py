"""Constants of a take: the camera, and the landmark detector's mean error on this person.

Distance of a face, and with it the focal length, from the strength of its perspective.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import CubicSpline

from backend.expression import solver
from backend.expression.follow import FrameFace
from backend.expression.reading import Reading
from backend.expression.subject import Subject
from backend.fitting.detector_model import camera_prior, initial_parameters
from backend.fitting.options import PriorWeights
from backend.fitting.parameters import PhotoParameters
from protocol.names import LIDS

FOCAL_STEPS = (0.4, 0.55, 0.75, 1.0, 1.35, 1.8, 2.5)
"""Focal lengths that are tried, relative to the prior's mean."""
SHOWN_PERSPECTIVE, USUAL_METRES = 0.75, 1.4
"""Share of a face's nearness (1 / distance) that the landmark net's points show, and the distance that the rest is
drawn to: a net trained for small error stays near the usual distance where it is unsure. Found on 20 clips of people
that are not in the evaluation; errors of the logarithm of the focal length there: 0.37 before, 0.34 without this, 0.29
with it."""
FRAMES_WORTH = 1.6
"""Weight of all pictures' landmarks against the prior, in pictures; the net's errors are alike in all of them."""


def most_likely_focal(costs: np.ndarray, metres: float, log_deviation: float) -> float:
    """The most likely focal length, relative to the prior's mean.

    Parameters
    ----------
    costs : (S,) mean cost of a picture's landmarks at each of ``FOCAL_STEPS``. metres : the face's distance at step 1.
    log_deviation : the prior's standard deviation of the log focal length.
    """
    steps = np.log(FOCAL_STEPS)
    candidates = np.linspace(steps[0], steps[-1], 200)
    true = metres * np.exp(candidates)
    shown = 1.0 / (SHOWN_PERSPECTIVE / true + (1.0 - SHOWN_PERSPECTIVE) / USUAL_METRES)
    seen_as = np.clip(candidates + np.log(shown / true), steps[0], steps[-1])
    cost = FRAMES_WORTH * CubicSpline(steps, costs)(seen_as) + 0.5 * (candidates / log_deviation) ** 2
    return float(np.exp(candidates[cost.argmin()]))


READER_ROUNDS = ((1.0, 10),)
"""Rounds of ``solve_frame`` that start from the reader's result."""
POSE_SHARE, POSE_TRUST = 0.4, 5.0
"""Share of the information of the landmark net's points in the solve of the head's rotation, and factor on the reader's
rotation information for the result: these points determine rotations better than the reader, which uses them too, and
weights worse."""

CONSTANT_SHARE = 0.7
"""Share of the detector's mean error over a few frames that is attributed to the person."""
CHANGING_DEVIATION = 0.7
"""Standard deviation of the rest of the error from frame to frame."""


FOCAL_PER_SIDE, FOCAL_DEVIATION = 0.9, 0.3
"""Focal length of video cameras (webcams, phones, portraits with a longer lens) in longer sides of the picture, and the
standard deviation of its logarithm; it is small because videos are seldom crops."""
FRAME_WEIGHTS = PriorWeights(focal_log_deviation=FOCAL_DEVIATION)
PHOTO_FOCAL_PER_SIDE, PHOTO_FOCAL_DEVIATION = 1.1, 0.5
"""The same for photographs without EXIF: portraits, and crops."""
PHOTO_WEIGHTS = PriorWeights(principal_point_deviation=0.01)
"""Narrow, because a head's rotation and an unknown crop look alike: the pose is relative to the picture's centre."""


@dataclass(frozen=True)
class Calibration:
    """Constants of a take.

    Attributes
    ----------
    prior : prior of every frame. open_lids : (2,) the reader's weights of this person's left and right lid while the
        eyes are open.
    """

    prior: solver.FramePrior
    open_lids: np.ndarray


def solve_photo(subject: Subject, face: FrameFace) -> solver.SolvedFrame:
    """Solve one picture by itself. Raises ``ValueError`` when no pose explains its landmarks."""
    modes = subject.model.nuisance_size
    start = initial_parameters(subject.template, face.face, PHOTO_WEIGHTS, modes)
    camera = camera_prior(face.face, PHOTO_WEIGHTS)
    if camera.log_focal is None:
        size = face.face.source_size
        focal = PHOTO_FOCAL_PER_SIDE * min(max(size), 2 * min(size)) * face.face.crop_scale
        camera = replace(camera, log_focal=float(np.log(focal)), log_focal_deviation=PHOTO_FOCAL_DEVIATION)
    prior = solver.frame_prior(camera, np.zeros(modes), 1.0)
    start, prior = solver.expect(start, prior, solver.read_subject_face(subject, face.evidence))
    return _solve(subject, face, start, prior)


def _solve(subject: Subject, face: FrameFace, start: PhotoParameters, prior: solver.FramePrior) -> solver.SolvedFrame:
    """Solve from the reader's result: first the rotation, mostly by the landmark net's points, then the rest."""
    turned_by = replace(prior, surface_share=POSE_SHARE)
    first = solver.solve_frame(subject, face.face, start, turned_by, READER_ROUNDS).parameters
    prior = replace(prior, rotation=first.rotation, rotation_information=POSE_TRUST * prior.rotation_information)
    return solver.solve_frame(subject, face.face, replace(first, expression=start.expression), prior, READER_ROUNDS)


def calibrate(subject: Subject, faces: tuple[FrameFace, ...]) -> Calibration:
    """Estimate the constants from some frames of a take (at least one), assuming one focal length and no crop."""
    focal = _focal_by_points(subject, faces)
    known = tuple(_with_focal(one, focal) for one in faces)
    solved = [solve_photo(subject, one) for one in known]
    nuisance = np.mean([one.parameters.nuisance for one in solved], axis=0)
    camera = replace(
        camera_prior(known[0].face, PriorWeights()),
        log_focal_deviation=1e-3,
        log_distance_deviation=2.0,
        principal_deviation=1e-3,
    )
    prior = solver.frame_prior(camera, CONSTANT_SHARE * nuisance, CHANGING_DEVIATION)
    lids = [float(np.median([solver.lid_opening(one.face.landmarks, eye) for one in faces])) for eye in range(2)]
    prior = replace(prior, open_lids=(lids[0], lids[1]))
    readings = [solver.read_subject_face(subject, one.evidence) for one in faces]
    open_lids = np.median([reading.weights[LIDS] for reading in readings], axis=0)
    return Calibration(prior, open_lids)


def solve_in_take(subject: Subject, face: FrameFace, reading: Reading, prior: solver.FramePrior) -> solver.SolvedFrame:
    """Solve a frame of a take with ``Calibration.prior`` from its reading. Raises ``ValueError`` when no pose explains
    its landmarks."""
    if prior.camera.log_focal is not None:  # the head's direction, and with it its rotation, depends on it
        face = _with_focal(face, float(np.exp(prior.camera.log_focal)) / face.face.crop_scale)
    start = initial_parameters(subject.template, face.face, PriorWeights(), len(prior.nuisance_mean))
    start, prior = solver.expect(start, prior, reading)
    return _solve(subject, face, start, prior)


def _with_focal(face: FrameFace, focal: float) -> FrameFace:
    return replace(face, face=replace(face.face, focal_px=focal))


def _focal_by_points(subject: Subject, faces: tuple[FrameFace, ...]) -> float:
    """The most likely focal length in pixels by every second picture's landmarks; ``focal_px`` is the prior's mean."""
    assumed = faces[0].face.focal_px
    costs, scales = [], []
    for step in FOCAL_STEPS:
        solved = [_solve_at_focal(subject, _with_focal(one, step * assumed)) for one in faces[::2]]
        costs.append(float(np.mean([one.cost for one in solved])))
        scales.append(float(np.median([one.parameters.log_scale for one in solved])))
    metres = assumed * faces[0].face.crop_scale / float(np.exp(np.median(scales)))
    return assumed * faces[0].face.crop_scale * most_likely_focal(np.array(costs), metres, FOCAL_DEVIATION)


def _solve_at_focal(subject: Subject, face: FrameFace) -> solver.SolvedFrame:
    """Solve with the full information of the landmark net's points."""
    start = initial_parameters(subject.template, face.face, FRAME_WEIGHTS, subject.model.nuisance_size)
    camera = replace(camera_prior(face.face, FRAME_WEIGHTS), log_focal_deviation=1e-3, principal_deviation=1e-3)
    prior = solver.frame_prior(camera, np.zeros(subject.model.nuisance_size), 1.0)
    start, prior = solver.expect(start, prior, solver.read_subject_face(subject, face.evidence))
    return solver.solve_frame(subject, face.face, start, replace(prior, surface_share=1.0), READER_ROUNDS)
