"""Facial expressions: the 52 weights in realistic combinations, lids and gaze."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backend.rig.arkit import ARKIT_NAMES

_INDEX = {name: number for number, name in enumerate(ARKIT_NAMES)}
_MOODS: Mapping[str, tuple[float, Mapping[str, float]]] = {
    # probability; weights at full strength, without Left and Right where both sides move
    "calm": (0.20, {}),
    "faint_smile": (0.14, {"mouthSmile": 0.45, "mouthDimple": 0.2, "mouthPress": 0.2, "cheekSquint": 0.2}),
    "smile": (0.20, {"mouthSmile": 0.8, "mouthUpperUp": 0.28, "cheekSquint": 0.6, "eyeSquint": 0.3, "jawOpen": 0.06,
                     "mouthStretch": 0.15, "mouthLowerDown": 0.12}),
    "laugh": (0.08, {"mouthSmile": 0.95, "jawOpen": 0.38, "mouthUpperUp": 0.4, "mouthLowerDown": 0.3,
                     "cheekSquint": 0.8, "eyeSquint": 0.55, "noseSneer": 0.15}),
    "frown": (0.05, {"mouthFrown": 0.6, "browDown": 0.55, "mouthShrugLower": 0.4, "mouthPress": 0.3}),
    "anger": (0.04, {"browDown": 0.95, "eyeSquint": 0.35, "noseSneer": 0.4, "mouthPress": 0.5, "mouthRollLower": 0.2}),
    "sadness": (0.04, {"browInnerUp": 0.8, "mouthFrown": 0.6, "mouthShrugLower": 0.35, "eyeSquint": 0.15}),
    "surprise": (0.05, {"browInnerUp": 0.7, "browOuterUp": 0.8, "eyeWide": 0.7, "jawOpen": 0.35}),
    "fear": (0.02, {"browInnerUp": 0.9, "browDown": 0.25, "eyeWide": 0.8, "mouthStretch": 0.5, "jawOpen": 0.18}),
    "disgust": (0.03, {"noseSneer": 0.85, "mouthUpperUp": 0.5, "browDown": 0.45, "eyeSquint": 0.4, "cheekSquint": 0.4}),
    "pucker": (0.03, {"mouthPucker": 0.7, "mouthFunnel": 0.15}),
    "doubt": (0.03, {"browOuterUpLeft": 0.8, "browDownRight": 0.4, "mouthSmileLeft": 0.35, "mouthLeft": 0.2}),
    "aa": (0.025, {"jawOpen": 0.45, "mouthLowerDown": 0.25, "mouthUpperUp": 0.15}),
    "ee": (0.02, {"mouthStretch": 0.5, "mouthSmile": 0.3, "jawOpen": 0.12, "mouthLowerDown": 0.35}),
    "oo": (0.02, {"mouthFunnel": 0.45, "mouthPucker": 0.35, "jawOpen": 0.15}),
    "oh": (0.015, {"mouthFunnel": 0.4, "jawOpen": 0.35}),
    "ff": (0.01, {"mouthRollLower": 0.55, "mouthUpperUp": 0.25, "jawOpen": 0.05}),
    "mm": (0.01, {"mouthRollLower": 0.3, "mouthRollUpper": 0.3, "mouthPress": 0.4}),
    "puff": (0.01, {"cheekPuff": 0.8, "mouthPucker": 0.2}),
}  # fmt: skip
MOOD_NAMES = tuple(_MOODS)
_SPARSE = tuple(n for n in range(len(ARKIT_NAMES)) if not ARKIT_NAMES[n].startswith(("eyeLook", "eyeBlink", "tongue")))
LOOK_LIMIT = np.radians(28.0)
"""Rotation of the eye at which the lids' eyeLook keys reach 1."""


@dataclass(frozen=True)
class ExpressionParameters:
    """Expression of one face in one picture.

    Attributes
    ----------
    weights : (52,) in the order of ``ARKIT_NAMES``, without eyeLook (these follow the gaze).
    at_camera : whether the person looks into the camera. glance : (2,) radians, to the person's left and up: added to
        the direction to the camera, or to straight ahead.
    """

    weights: np.ndarray
    at_camera: bool
    glance: np.ndarray


def draw_expression(generator: np.random.Generator, mood: str | None = None) -> ExpressionParameters:
    """Draw a mood of random strength, a little of another, sparse extras, lids and gaze."""
    names = list(_MOODS)
    chances = np.array([_MOODS[name][0] for name in names])
    chosen = mood or names[generator.choice(len(names), p=chances / chances.sum())]
    second = names[generator.choice(len(names), p=chances / chances.sum())]
    strength = generator.uniform(0.35, 1.1)
    mix = generator.uniform(0.0, 0.45) * float(generator.random() < 0.35)
    weights = np.zeros(len(ARKIT_NAMES))
    lopsided = generator.normal(0, 0.09)
    for name, share in ((chosen, strength), (second, mix)):
        for key, value in _MOODS[name][1].items():
            _add(weights, key, value * share * float(np.exp(generator.normal(0, 0.18))), lopsided)
    for _ in range(generator.poisson(1.2)):
        weights[generator.choice(_SPARSE)] += generator.exponential(0.12)
    weights[_INDEX["jawOpen"]] += max(generator.normal(-0.05, 0.06), 0)
    weights[_INDEX["mouthClose"]] *= 0.0
    lid = max(generator.normal(0.02, 0.07), 0.0)
    blink = generator.random()
    if blink < 0.035:
        lid = generator.uniform(0.85, 1.0)
    elif blink < 0.09:
        lid = generator.uniform(0.25, 0.7)
    _add(weights, "eyeBlink", lid, lopsided * 0.5)
    if generator.random() < 0.012:  # a wink
        weights[_INDEX[("eyeBlinkLeft", "eyeBlinkRight")[generator.integers(2)]]] = generator.uniform(0.8, 1.0)
    if generator.random() < 0.006:
        weights[_INDEX["tongueOut"]], weights[_INDEX["jawOpen"]] = (
            generator.uniform(0.5, 1),
            generator.uniform(0.3, 0.5),
        )
    at_camera = bool(generator.random() < 0.72)
    spread = np.radians((2.5, 2.0) if at_camera else (14.0, 8.0))
    return ExpressionParameters(
        np.clip(weights, 0, 1).astype(np.float32), at_camera, (generator.standard_normal(2) * spread).astype(np.float32)
    )


def _add(weights: np.ndarray, key: str, value: float, lopsided: float) -> None:
    """Add to a key, or to its left and right keys."""
    if key in _INDEX:
        weights[_INDEX[key]] += value
        return
    weights[_INDEX[key + "Left"]] += value * (1 + lopsided)
    weights[_INDEX[key + "Right"]] += value * (1 - lopsided)


def lid_weights(gaze: np.ndarray) -> np.ndarray:
    """(52,) eyeLook weights for gaze (2, 2): radians to the person's left and up, of the left and the right eye."""
    weights = np.zeros(len(ARKIT_NAMES), np.float32)
    for side, (left, up), outwards in (("Left", gaze[0], 1.0), ("Right", gaze[1], -1.0)):
        for name, angle in (("Out", left * outwards), ("In", -left * outwards), ("Up", up), ("Down", -up)):
            weights[_INDEX[f"eyeLook{name}{side}"]] = np.clip(angle / LOOK_LIMIT, 0, 1)
    return weights


def gaze_angles(expression: ExpressionParameters, eyes: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """(2, 2) radians to the person's left and up, of the left and the right eye.

    eyes : (2, 3) centres of the eyeballs, camera : (3,) its position, both in the head frame, metres. People turn
    their eyes at most about 30 degrees; angles saturate at 30 sideways and 16 up and down (tanh).
    """
    target = camera - eyes if expression.at_camera else np.tile([0.0, 0.0, 1.0], (2, 1))
    left = np.arctan2(target[:, 0], np.maximum(target[:, 2], 0.05))
    up = np.arctan2(target[:, 1], np.hypot(target[:, 0], target[:, 2]))
    angles = np.stack([left, up], -1) + expression.glance
    limit = np.radians([30.0, 16.0])
    return (limit * np.tanh(angles / limit)).astype(np.float32)


def blend_expressions(a: ExpressionParameters, b: ExpressionParameters, share: float) -> ExpressionParameters:
    """Interpolate between two expressions, for clips."""
    return ExpressionParameters(
        ((1 - share) * a.weights + share * b.weights).astype(np.float32),
        a.at_camera,
        ((1 - share) * a.glance + share * b.glance).astype(np.float32),
    )
