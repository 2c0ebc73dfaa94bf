"""Expression clips and their files: the backend's ``expression.json`` and Live Link Face's CSV."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import AddonError
from ..shared.live_link import MOST_BYTES, NotATakeError, read_lines, text_of
from ..shared.names import EXPRESSION_FORMAT, EXPRESSION_VERSION

_ADVICE = "Choose an expression.json of the backend, or a CSV that Live Link Face recorded."


@dataclass(frozen=True)
class ExpressionClip:
    """Weights and head poses of F frames, F >= 1.

    names : K ARKit names.
    weights : (F, K).
    seconds : (F,), rising from 0.
    found : (F,) bool, False where the face was not found and the values are interpolated.
    dropped : (F,) bool, True where the file has no row; ``found`` is False there.
    rotation : (F, 3, 3) or None, of the head relative to its rest pose (the take's usual pose) in the head frame (x to
        the person's left, y up, z out of the face).
    notes : sentences about how the file was read.
    """

    names: tuple[str, ...]
    weights: np.ndarray
    seconds: np.ndarray
    found: np.ndarray
    dropped: np.ndarray
    rotation: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def read_clip(path: Path) -> ExpressionClip:
    """Read a clip file, detecting the format from its content. Raises ``AddonError`` ``bad_clip`` or ``no_file``."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise AddonError(f"{path.name} has more than {MOST_BYTES >> 20} MB.", _ADVICE, "bad_clip")
        text = text_of(path.read_bytes())
    except OSError as error:
        raise AddonError(f"{path.name} could not be read.", "Check the file.", "no_file") from error
    except NotATakeError as error:
        raise AddonError(f"{path.name} is no text file.", _ADVICE, "bad_clip") from error
    try:
        return parse_json(text) if text.lstrip().startswith("{") else parse_csv(text)
    except NotATakeError as error:
        raise AddonError(f"{path.name} holds no expressions that can be read. {error}", _ADVICE, "bad_clip") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise AddonError(f"{path.name} holds no expressions that can be read.", _ADVICE, "bad_clip") from error


def parse_json(text: str) -> ExpressionClip:
    """Parse ``expression.json`` (docs/expressions.md). Photos have no time; they are placed one second apart.

    Raises ``AddonError`` for a later version, ``ValueError`` and similar for anything else.
    """
    data = json.loads(text)
    if data["format"] != EXPRESSION_FORMAT:
        raise ValueError("another format")
    if int(data["version"]) > EXPRESSION_VERSION:
        raise AddonError("This expression file is from a later version.", "Update the extension.", "bad_clip")
    count = int(data["frame_count"])
    weights = np.array(data["weights"], float).reshape(count, len(data["names"]))
    rate = data["fps"] or 1.0
    marks = np.array(data["marks"], int)
    rotation, known = None, [number for number, row in enumerate(data["head"]) if row is not None]
    if known:
        turns = np.array([data["head"][number] for number in known], float)[:, 3:]
        rotation = _turn(np.stack([np.interp(np.arange(count), known, column) for column in turns.T], -1))
        if data.get("rest_head") is not None:
            rotation = _turn(np.array(data["rest_head"], float)[None, 3:])[0].T @ rotation
    fits = marks.shape == (count,) and len(data["head"]) == count > 0
    if not (fits and np.isfinite(weights).all() and 0.0 < rate < np.inf):
        raise ValueError("sizes or numbers do not fit")
    if rotation is not None and not np.isfinite(rotation).all():
        raise ValueError("poses do not fit")
    dropped = np.isin(marks, [mark for mark, name in enumerate(data.get("mark_names", ())) if name == "dropped"])
    return ExpressionClip(tuple(data["names"]), weights, np.arange(count) / rate, marks == 0, dropped, rotation)


def pose_json(weights: Mapping[str, float]) -> str:
    """Encode one expression in the same format: ARKit names and weights, without a head pose."""
    frame = {"marks": [0], "mark_names": ["found"], "head": [None], "frame_count": 1, "fps": None}
    values = [round(float(value), 6) for value in weights.values()]
    said = {"format": EXPRESSION_FORMAT, "version": EXPRESSION_VERSION, "names": list(weights), "weights": values}
    return json.dumps(said | frame, indent=1)


def _turn(quaternions: np.ndarray) -> np.ndarray:
    """(F, 3, 3) rotations from quaternions (F, 4) w x y z of any length."""
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def parse_csv(text: str) -> ExpressionClip:
    """Parse Live Link Face's CSV (``shared.live_link``).

    Yaw, pitch and roll rotate about y, x and z, in this order from outside to inside; pitch is positive upwards.
    """
    take = read_lines(text.splitlines())
    rotation = None
    if take.angles is not None:
        yaw, pitch, roll = take.angles.T
        rotation = _about(1, yaw) @ _about(0, -pitch) @ _about(2, roll)
    seconds = np.arange(len(take.weights)) / take.fps
    found = take.found & ~take.dropped
    return ExpressionClip(take.names, take.weights, seconds, found, take.dropped, rotation, take.notes)


def _about(axis: int, angle: np.ndarray) -> np.ndarray:
    """(F, 3, 3) rotations about a coordinate axis."""
    out = np.tile(np.eye(3), (len(angle), 1, 1))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out[:, i, i] = out[:, j, j] = np.cos(angle)
    out[:, j, i] = np.sin(angle)
    out[:, i, j] = -out[:, j, i]
    return out


def resample(clip: ExpressionClip, rate: float) -> ExpressionClip:
    """Resample a clip at ``rate`` frames per second: linear interpolation, same duration, at least one frame.

    Rotations are interpolated as matrices and made orthonormal again.
    """
    if len(clip.seconds) < 2 or clip.seconds[-1] <= 0:
        return clip
    times = np.arange(int(np.floor(clip.seconds[-1] * rate + 1e-6)) + 1) / rate
    after = np.clip(np.searchsorted(clip.seconds, times, side="right"), 1, len(clip.seconds) - 1)
    gap = clip.seconds[after] - clip.seconds[after - 1]
    share = np.clip((times - clip.seconds[after - 1]) / np.where(gap > 0, gap, 1.0), 0.0, 1.0)

    def between(values: np.ndarray) -> np.ndarray:
        part = share.reshape(-1, *[1] * (values.ndim - 1))
        return values[after - 1] * (1 - part) + values[after] * part

    rotation = None
    if clip.rotation is not None:
        u, _, vt = np.linalg.svd(between(clip.rotation))
        u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]
        rotation = u @ vt
    near = np.where(share < 0.5, after - 1, after)
    marks = clip.found[near], clip.dropped[near]
    return ExpressionClip(clip.names, between(clip.weights), times, *marks, rotation, clip.notes)
