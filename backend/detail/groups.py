"""Groups of ARKit keys that share a wrinkle map."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES

KEY_GROUPS: Mapping[str, tuple[str, ...]] = {
    "brows_up": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "brows_down": ("browDownLeft", "browDownRight"),
    "squint": (
        "eyeSquintLeft", "eyeSquintRight", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight",
    ),
    "sneer": ("noseSneerLeft", "noseSneerRight"),
    "smile": ("mouthSmileLeft", "mouthSmileRight", "mouthDimpleLeft", "mouthDimpleRight"),
    "stretch": ("mouthStretchLeft", "mouthStretchRight", "mouthFrownLeft", "mouthFrownRight"),
    "pucker": ("mouthPucker", "mouthFunnel"),
    "jaw_open": ("jawOpen",),
    "chin": ("mouthShrugLower", "mouthRollLower", "mouthPressLeft", "mouthPressRight"),
}  # fmt: skip
"""Name of a wrinkle map -> the keys that activate it."""


def group_weights(group: str) -> np.ndarray:
    """(52,) weights in the order of ``ARKIT_NAMES``: all keys of a group at full strength, except blinking, which would
    shut the eyes and dominate the map."""
    weights = np.zeros(len(ARKIT_NAMES), np.float32)
    for key in KEY_GROUPS[group]:
        if not key.startswith("eyeBlink"):
            weights[ARKIT_INDEX[key]] = 1.0
    return weights
