"""Takes of the app Live Link Face as ``ExpressionClip``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from backend.errors import LikenessError
from backend.expression.clip import ExpressionClip, FrameMark, gaze_of_weights
from backend.rig.arkit import ARKIT_INDEX
from protocol.live_link import MOST_BYTES, NotATakeError, read_lines, text_of
from protocol.names import ARKIT_NAMES


def read_live_link(path: Path, fps: float | None = None) -> ExpressionClip:
    """Read the take in a CSV file (``protocol.live_link``). Rows that are missing by their times are interpolated and
    marked ``DROPPED``, rows in which the app lost the face ``NO_FACE``.

    The app gives no position. The gaze follows from the ``eyeLook`` weights. fps : as in ``protocol.live_link``.

    Raises ``LikenessError`` with code "no_photo" when the file is not such a take.
    """
    path = Path(path)
    advice = "Give the CSV file that the app wrote, with the columns Timecode, BlendShapeCount, EyeBlinkLeft, …"
    if not os.path.isfile(path):
        raise LikenessError("no_photo", f"There is no file {path}.", "Check the path.")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise NotATakeError(f"It has more than {MOST_BYTES >> 20} MB.")
        take = read_lines(text_of(path.read_bytes()).splitlines(), fps)
    except NotATakeError as error:
        raise LikenessError("no_photo", f"{path} is not a take of Live Link Face. {error}", advice) from error
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise LikenessError("no_photo", f"{path} cannot be read ({reason}).", "Check its permissions.") from error
    count = len(take.weights)
    weights = np.zeros((count, len(ARKIT_NAMES)), np.float32)
    weights[:, [ARKIT_INDEX[name] for name in take.names]] = take.weights
    marks = np.full(count, FrameMark.MEASURED, np.uint8)
    marks[~take.found] = FrameMark.NO_FACE
    marks[take.dropped] = FrameMark.DROPPED
    angles = np.zeros((count, 3)) if take.angles is None else take.angles
    rotations = np.roll(Rotation.from_euler("YXZ", angles * [1.0, -1.0, 1.0]).as_quat(), 1, axis=1)
    signs = np.sign((rotations[1:] * rotations[:-1]).sum(1))
    rotations[1:] *= np.cumprod(np.where(signs == 0, 1.0, signs))[:, None]
    return ExpressionClip(
        source=path.name,
        kind="live_link",
        fps=take.fps,
        frame_names=(),
        weights=weights,
        head_positions=np.zeros((count, 3), np.float32),
        head_rotations=rotations.astype(np.float32),
        gaze=gaze_of_weights(weights),
        marks=marks,
        errors=np.full(count, np.nan, np.float32),
        pivot=np.zeros(3, np.float32),
        notes=take.notes,
    )
