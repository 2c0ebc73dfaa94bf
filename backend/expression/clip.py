"""``ExpressionClip``: expression, head pose and gaze per frame, whoever the person is; as ``expression.json``
(docs/expressions.md), and from takes of Live Link Face.
"""

import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import msgspec
import numpy as np
from scipy.spatial.transform import Rotation

from backend.errors import LikenessError
from backend.exchange.all_or_none import write_file
from protocol.live_link import MOST_BYTES, NotATakeError, read_lines, text_of
from protocol.names import ARKIT_INDEX, ARKIT_NAMES, EXPRESSION_FORMAT, EXPRESSION_VERSION

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
    frame_names : the photos' names, in the order of the frames; empty for a video.
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
    notes : sentences about how the source was read.
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
    notes: tuple[str, ...] = ()

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


CONVENTION = (
    "head rows: x y z metres of the pivot, then the rotation as quaternion w x y z; axes: x right in the picture,"
    " y up, z towards the camera; no rotation: the head looks into the camera. gaze rows: radians, left eye to the"
    " person's left and up, right eye the same, relative to the head."
)

Row = list[float]


def clip_bytes(take: ExpressionClip) -> bytes:
    """The whole file: JSON in UTF-8."""
    head = np.concatenate([take.head_positions, take.head_rotations], axis=1)
    content = dict(
        format=EXPRESSION_FORMAT,
        version=EXPRESSION_VERSION,
        source=take.source,
        kind=take.kind,
        fps=None if take.fps is None else round(float(take.fps), 6),
        frame_count=len(take),
        frame_names=list(take.frame_names),
        names=list(ARKIT_NAMES),
        weights=_rows(take.weights, 3),
        head=[row if known else None for row, known in zip(_rows(head, 5), np.isfinite(head).all(1), strict=True)],
        rest_head=_rest_head(head),
        pivot=_rows(take.pivot[None], 5)[0],
        gaze=_rows(take.gaze, 4),
        marks=take.marks.tolist(),
        mark_names=[mark.name.lower() for mark in FrameMark],
        errors=[round(error, 2) if np.isfinite(error) else None for error in take.errors.tolist()],
        left_out=[{"name": name, "reason": reason} for name, reason in take.left_out],
        convention=CONVENTION,
        notes=list(take.notes),
    )
    encoded = msgspec.json.encode(content)
    return encoded.replace(b"],[", b"],\n[") + b"\n"  # a line per frame


def write_clip(take: ExpressionClip, path: Path) -> None:
    """Write ``expression.json``, whole or not at all. Raises ``LikenessError`` with code "disk"."""
    if Path(path).is_dir():
        raise LikenessError("disk", f"{path} is a folder.", "Give --out a file name that ends in .json.")
    write_file(path, clip_bytes(take))


def _rows(values: np.ndarray, digits: int) -> list[Row]:
    """Rounded rows; whole numbers without decimals, which keeps files of mostly zeros small."""
    rounded = np.round(np.asarray(values, np.float64), digits) + 0.0
    return [[int(value) if value == int(value) else value for value in row] for row in np.nan_to_num(rounded).tolist()]


def _rest_head(head: np.ndarray) -> Row | None:
    """The take's usual pose (7,): median position and mean rotation."""
    known = head[np.isfinite(head).all(1)]
    if not len(known):
        return None
    quaternions = known[:, 3:]
    _, vectors = np.linalg.eigh(quaternions.T @ quaternions)
    middle = vectors[:, -1] * np.sign(vectors[np.abs(vectors[:, -1]).argmax(), -1])
    return _rows(np.concatenate([np.median(known[:, :3], axis=0), middle])[None], 5)[0]


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
    marks = np.select([take.dropped, ~take.found], [FrameMark.DROPPED, FrameMark.NO_FACE], FrameMark.MEASURED)
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
        marks=marks.astype(np.uint8),
        errors=np.full(count, np.nan, np.float32),
        pivot=np.zeros(3, np.float32),
        notes=take.notes,
    )
