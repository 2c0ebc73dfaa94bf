"""What is the same in all frames of a take: the camera, and how the landmark detector errs on this person."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backend.expression.frame_solver import SolvedFrame, solve_frame
from backend.expression.gaps import lid_opening
from backend.expression.priors import FramePrior, frame_prior
from backend.expression.subject import Subject
from backend.fitting.fit import fit_landmarks
from backend.fitting.initial_pose import camera_prior, initial_parameters
from backend.fitting.landmark_targets import landmark_model
from backend.fitting.options import PriorWeights, fit_options_for
from backend.geometry.template import load_template
from backend.photos.collection import PhotoFace

FROM_SCRATCH = ((4.0, 14), (1.0, 14), (1.0, 14))
"""Rounds of ``solve_frame`` for a picture of which nothing is known."""

CONSTANT_SHARE = 0.7
"""How much of the detector's mean error over a few frames is believed to be the person's own."""
CHANGING_DEVIATION = 0.7
"""Standard deviation of what is left of it from frame to frame."""


FOCAL_PER_SIDE, FOCAL_DEVIATION = 0.9, 0.3
"""Focal length of video cameras (webcams, phones, portraits with a longer lens) in longer sides of the picture, and the
deviation of its logarithm: videos are seldom crops."""
FRAME_WEIGHTS = PriorWeights(focal_log_deviation=FOCAL_DEVIATION)
PHOTO_WEIGHTS = PriorWeights(principal_point_deviation=0.01)
"""A turn of the head and an unknown crop look alike: the pose is meant relative to the picture's middle."""
SEEN_DEVIATION = 0.3
"""How far the shape that the landmarks of a take agree on may be from the given one, in deviations of the identity
modes."""


@dataclass(frozen=True)
class Calibration:
    """A take's constants: the person as the landmarks see them, and the prior that every frame is solved with."""

    subject: Subject
    prior: FramePrior


def assumed_focal(pixels: np.ndarray) -> float:
    """Focal length in pixels to start from, of a video's frame (H, W, 3)."""
    return FOCAL_PER_SIDE * max(pixels.shape[:2])


def solve_photo(subject: Subject, face: PhotoFace, weights: PriorWeights | None = None) -> SolvedFrame:
    """One picture by itself. Raises ``ValueError`` when no pose explains its landmarks."""
    weights = weights or PHOTO_WEIGHTS
    modes = len(subject.model.detector.modes)
    start = initial_parameters(subject.template, face, weights, modes)
    camera = camera_prior(face, weights)
    return solve_frame(subject, face, start, frame_prior(camera, np.zeros(modes), 1.0), FROM_SCRATCH)


def calibrate(subject: Subject, faces: tuple[PhotoFace, ...]) -> Calibration:
    """From some frames of a take (at least one); all were taken with one focal length, centred."""
    focal = _focal([solve_photo(subject, face, FRAME_WEIGHTS) for face in faces])
    known = tuple(replace(face, focal_px=focal) for face in faces)
    subject = seen_subject(subject, known)
    nuisance = np.mean([solve_photo(subject, face).parameters.nuisance for face in known], axis=0)
    camera = replace(
        camera_prior(known[0], PriorWeights()),
        log_focal_deviation=1e-3,
        log_distance_deviation=2.0,
        principal_deviation=1e-3,
    )
    prior = frame_prior(camera, CONSTANT_SHARE * nuisance, CHANGING_DEVIATION)
    lids = [float(np.median([lid_opening(face.landmarks, eye) for face in faces])) for eye in range(2)]
    return Calibration(subject, replace(prior, open_lids=(lids[0], lids[1])))


def _focal(solved: list[SolvedFrame]) -> float:
    return float(np.exp(np.median([one.parameters.log_scale + one.parameters.log_distance for one in solved])))


def seen_subject(subject: Subject, faces: tuple[PhotoFace, ...]) -> Subject:
    """The subject with its shape moved a little to what the landmarks of these pictures agree on.

    The detector sees each person a bit differently from what they are, the same way in every frame. What is left to the
    expressions would be read as brows raised and lips parted all the time. With fewer than three pictures an
    expression cannot be told from that, and the subject stays.
    """
    if len(faces) < 3:
        return subject
    template = replace(subject.template, identity_modes=load_template().identity_modes)
    options = replace(fit_options_for("fast"), prior=PriorWeights(identity_deviation=SEEN_DEVIATION))
    state = fit_landmarks(template, landmark_model(template), faces, options)
    own = replace(subject.template, vertices=state.neutral().astype(np.float32))
    return Subject(own, landmark_model(own))
