"""What is believed of an expression, a camera and the landmark detector before a picture is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.fitting.options import FitOptions, PriorWeights
from backend.fitting.solver import CameraPrior, solver_weights
from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES, mirrored_name

SIDES_DIFFER = 0.5
"""Deviation of the difference of left and right, relative to that of the key: faces are mostly alike on both sides."""

EYES_DIFFER = 0.12
"""Deviation of the difference of what the two eyes do that move together: gaze."""


@dataclass(frozen=True)
class FramePrior:
    """Priors of one picture.

    Attributes
    ----------
    expression_information : (52, 52) inverse covariance; expression_bias : (52,) linear pull towards 0.
    camera : see ``CameraPrior`` (its set deviation is not used).
    nuisance_mean : (M,) expected detector errors of this person, in σ; nuisance_deviation : their spread.
    outlier_scale : Geman-McClure scale in standard deviations of a landmark.
    """

    expression_information: np.ndarray
    expression_bias: np.ndarray
    camera: CameraPrior
    nuisance_mean: np.ndarray
    nuisance_deviation: float
    outlier_scale: float


def expression_information(prior: PriorWeights) -> np.ndarray:
    """(52, 52) inverse covariance of the weights: a variance per key, sides alike, both eyes looking the same way."""
    diagonal = solver_weights(prior, 0, 1.0).expression_information
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
            couple(name, mirrored_name(name), SIDES_DIFFER * diagonal[ARKIT_INDEX[name]] ** -0.5)
    for first, second in (
        ("eyeLookUpLeft", "eyeLookUpRight"),
        ("eyeLookDownLeft", "eyeLookDownRight"),
        ("eyeLookInLeft", "eyeLookOutRight"),
        ("eyeLookOutLeft", "eyeLookInRight"),
    ):
        couple(first, second, EYES_DIFFER)
    return information


def frame_prior(camera: CameraPrior, nuisance_mean: np.ndarray, nuisance_deviation: float) -> FramePrior:
    """The prior of one picture with the fit's own numbers."""
    options = FitOptions()
    return FramePrior(
        expression_information=expression_information(options.prior),
        expression_bias=np.full(len(ARKIT_NAMES), options.prior.expression_bias),
        camera=camera,
        nuisance_mean=nuisance_mean,
        nuisance_deviation=nuisance_deviation,
        outlier_scale=options.landmarks.outlier_scale,
    )
