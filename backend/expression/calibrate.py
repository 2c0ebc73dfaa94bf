"""What is the same in all frames of a take: the camera, and how the landmark detector errs on this person."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backend.expression.frame_solver import SolvedFrame, solve_frame
from backend.expression.priors import FramePrior, frame_prior
from backend.expression.subject import Subject
from backend.fitting.initial_pose import camera_prior, initial_parameters
from backend.fitting.options import PriorWeights
from backend.photos.collection import PhotoFace

FROM_SCRATCH = ((4.0, 14), (1.0, 14), (1.0, 14))
"""Rounds of ``solve_frame`` for a picture of which nothing is known."""

CONSTANT_SHARE = 0.7
"""How much of the detector's mean error over a few frames is believed to be the person's own."""
CHANGING_DEVIATION = 0.7
"""Standard deviation of what is left of it from frame to frame."""


@dataclass(frozen=True)
class Calibration:
    """A take's constants: the prior that every frame is solved with."""

    prior: FramePrior


def solve_photo(subject: Subject, face: PhotoFace) -> SolvedFrame:
    """One picture by itself. Raises ``ValueError`` when no pose explains its landmarks."""
    modes = len(subject.model.detector.modes)
    weights = PriorWeights()
    start = initial_parameters(subject.template, face, weights, modes)
    camera = camera_prior(face, weights)
    return solve_frame(subject, face, start, frame_prior(camera, np.zeros(modes), 1.0), FROM_SCRATCH)


def calibrate(subject: Subject, faces: tuple[PhotoFace, ...]) -> Calibration:
    """From some frames of a take (at least one); all were taken with one focal length, centred."""
    solved = [solve_photo(subject, face) for face in faces]
    log_focals = [frame.parameters.log_scale + frame.parameters.log_distance for frame in solved]
    nuisance = np.mean([frame.parameters.nuisance for frame in solved], axis=0)
    camera = camera_prior(faces[0], PriorWeights())
    camera = replace(
        camera,
        log_focal=float(np.median(log_focals)),
        log_focal_deviation=1e-3,
        log_distance_deviation=2.0,
        principal_deviation=1e-3,
    )
    return Calibration(frame_prior(camera, CONSTANT_SHARE * nuisance, CHANGING_DEVIATION))
