"""Priors of one picture on expression, camera and the landmark detector's errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.expression.gaps import OPEN
from backend.fitting.options import LandmarkStage
from backend.fitting.solver import CameraPrior
from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES, mirrored_name

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
