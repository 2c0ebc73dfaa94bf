"""``ExpressionClip``: expression, head pose and gaze per frame, independent of the person's identity."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from backend.rig.arkit import ARKIT_INDEX

LOOK_DEGREES: dict[str, float] = {"Up": 25.0, "Down": 28.0, "In": 28.0, "Out": 28.0}
"""Rotation of the rig's eyeballs at weight 1 of an ``eyeLook`` key (docs/rig.md)."""


class FrameMark(IntEnum):
    """Source of a frame's values."""

    MEASURED = 0
    NO_FACE = 1
    DROPPED = 2
    UNCERTAIN = 3


@dataclass(frozen=True)
class ExpressionClip:
    """Expression, head pose and gaze per frame.

    Attributes
    ----------
    source : the file's or folder's name. kind : ``video``, ``photos`` or ``live_link``.
    fps : frames per second; None for photos, which have no order in time.
    frame_names : the photos' names; empty for a video.
    weights : (F, 52) float32 in [0, 1], order of ``ARKIT_NAMES``.
    head_positions : (F, 3) float32 metres of the middle of the face (``pivot``), relative to the camera, with the
        head's axes: x to the right in the picture (the person's left when they face the camera), y up, z towards the
        camera. NaN where the source has none.
    head_rotations : (F, 4) float32 unit quaternions (w, x, y, z) in the same axes; identity looks into the camera.
    gaze : (F, 4) float32 radians relative to the head: left eye to the person's left, up; right eye the same.
    marks : (F,) uint8 of ``FrameMark``; frames that are not measured are interpolated.
    errors : (F,) float32 median distance of projected and found landmarks in per cent of the face's scale; NaN where
        nothing was measured.
    pivot : (3,) the middle of the face in the head frame of the fitted identity, metres.
    left_out : (name, sentence) of photos without a usable face.
    """

    source: str
    kind: str
    fps: float | None
    frame_names: tuple[str, ...]
    weights: np.ndarray
    head_positions: np.ndarray
    head_rotations: np.ndarray
    gaze: np.ndarray
    marks: np.ndarray
    errors: np.ndarray
    pivot: np.ndarray
    left_out: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.weights)


def gaze_of_weights(weights: np.ndarray) -> np.ndarray:
    """(F, 4) gaze in radians: rotation of the rig's eyeballs by the ``eyeLook`` keys of (F, 52) weights."""

    def angle(key: str, side: str) -> np.ndarray:
        return np.radians(LOOK_DEGREES[key]) * weights[:, ARKIT_INDEX[f"eyeLook{key}{side}"]]

    columns = []
    for side, outwards in (("Left", 1.0), ("Right", -1.0)):
        columns += [outwards * (angle("Out", side) - angle("In", side)), angle("Up", side) - angle("Down", side)]
    return np.stack(columns, axis=-1).astype(np.float32)
