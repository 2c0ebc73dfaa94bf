"""Reader of takes of the app Live Link Face: a CSV file with one line per frame."""

from __future__ import annotations

import csv
import math
import os
from array import array
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from backend.errors import LikenessError
from backend.expression.clip import ExpressionClip, FrameMark, gaze_of_weights
from backend.expression.video_process import LONGEST_GAP_SECONDS, MOST_FRAMES
from backend.rig.arkit import ARKIT_NAMES

RATES = (24.0, 25.0, 30.0, 50.0, 60.0, 100.0, 120.0)
MOST_BYTES = 512 * 2**20
MOST_FPS = 1000.0
_HEAD = ("headyaw", "headpitch", "headroll")


def read_live_link(path: Path) -> ExpressionClip:
    """Read the take in a CSV file. Lines that are missing by their time code are interpolated and marked ``DROPPED``.

    The head's angles are taken as radians about the head's axes: yaw to the person's left, pitch up, roll towards the
    person's right shoulder; the app gives no position. The gaze follows from the ``eyeLook`` weights.

    Raises ``LikenessError`` with code "no_photo" when the file is not such a take.
    """
    path = Path(path)
    advice = "Give the CSV file that the app wrote, with the columns Timecode, BlendShapeCount, EyeBlinkLeft, …"
    if not os.path.isfile(path):
        raise LikenessError("no_photo", f"There is no file {path}.", "Check the path.")
    broken = LikenessError("no_photo", f"{path} is not a take of Live Link Face.", advice)
    if path.stat().st_size > MOST_BYTES:
        raise broken
    try:
        times, values, heads = _read_rows(path)
    except (UnicodeDecodeError, csv.Error, ValueError, IndexError, OverflowError) as error:
        raise broken from error
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise LikenessError("no_photo", f"{path} cannot be read ({reason}).", "Check its permissions.") from error
    if not times:
        raise LikenessError("no_photo", f"{path} holds no frame.", advice)
    fps, slots = _slots(times)
    count = int(slots[-1]) + 1
    if count > MOST_FRAMES:
        sentence = f"{path} has {count} frames from its first to its last; the limit is {MOST_FRAMES}."
        raise LikenessError("no_photo", sentence, "Split the take, or mend its time codes.")
    marks = np.full(count, FrameMark.DROPPED, np.uint8)
    marks[slots] = FrameMark.MEASURED
    every = np.arange(count)
    measured = np.clip(values, 0.0, 1.0)
    weights = np.stack([np.interp(every, slots, column) for column in measured.T], axis=1).astype(np.float32)
    angles = np.unwrap(heads, axis=0)
    angles = np.stack([np.interp(every, slots, column) for column in angles.T], axis=1)
    turns = Rotation.from_euler("YXZ", angles * [1.0, -1.0, 1.0]).as_quat()
    rotations = np.roll(turns, 1, axis=1)
    signs = np.sign((rotations[1:] * rotations[:-1]).sum(1))
    rotations[1:] *= np.cumprod(np.where(signs == 0, 1.0, signs))[:, None]
    return ExpressionClip(
        source=path.name,
        kind="live_link",
        fps=fps,
        frame_names=(),
        weights=weights,
        head_positions=np.zeros((count, 3), np.float32),
        head_rotations=rotations.astype(np.float32),
        gaze=gaze_of_weights(weights),
        marks=marks,
        errors=np.full(count, np.nan, np.float32),
        pivot=np.zeros(3, np.float32),
    )


def _read_rows(path: Path) -> tuple[list[tuple[float, float]], np.ndarray, np.ndarray]:
    """(whole seconds, frame within the second), (F, 52) weights and (F, 3) yaw, pitch, roll of each line with values;
    at most ``MOST_FRAMES`` + 1 lines."""
    times, values, heads = [], array("d"), array("d")
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        header = [name.strip().lower() for name in next(lines, [])]
        place = {name: column for column, name in enumerate(header)}
        if "timecode" not in place or not any(name.lower() in place for name in ARKIT_NAMES):
            raise ValueError("no such columns")
        columns = [place.get(name.lower()) for name in ARKIT_NAMES]
        head_columns = [place.get(name) for name in _HEAD]
        for line in lines:
            if len(line) < len(header) or not line[place["timecode"]]:
                continue  # the app leaves lines without values where it lost the face
            numbers = _numbers(line, columns)
            if numbers is not None:
                times.append(_time(line[place["timecode"]]))
                values.extend(numbers)
                heads.extend(_numbers(line, head_columns) or [0.0] * 3)
            if len(times) > MOST_FRAMES:
                break
    return times, np.array(values).reshape(-1, len(ARKIT_NAMES)), np.array(heads).reshape(-1, 3)


def _numbers(line: Sequence[str], columns: Sequence[int | None]) -> list[float] | None:
    """The line's numbers, 0 for columns that the file does not have; None where one is empty."""
    if any(column is not None and not line[column].strip() for column in columns):
        return None
    numbers = [0.0 if column is None else float(line[column]) for column in columns]
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError("not a number")
    return numbers


def _time(text: str) -> tuple[float, float]:
    """Time code ``hh:mm:ss:ff.fff``: whole seconds, and frames."""
    hours, minutes, seconds, frame = text.split(":")
    if not 0.0 <= float(frame) < MOST_FPS:
        raise ValueError(f"no frame of a second: {frame}")
    return 3600.0 * int(hours) + 60.0 * int(minutes) + int(seconds), float(frame)


def _slots(times: Sequence[tuple[float, float]]) -> tuple[float, np.ndarray]:
    """The frame rate and the slot of each line, from 0, increasing; after a broken time code the next slot follows."""
    largest = max(frame for _, frame in times)
    fps = next((rate for rate in RATES if largest < rate), math.ceil(largest + 1.0))
    if len(times) < fps and len({second for second, _ in times}) < 2:
        fps = max(fps, 60.0)  # less than a second: the app's own rate
    seconds = np.array([second + frame / fps for second, frame in times])
    slots = [0]
    start = seconds[0]  # the time of slot 0
    for before, now in pairwise(seconds):
        if abs(now - before) > LONGEST_GAP_SECONDS:  # a broken time code, or a clock that was set
            start = now - (slots[-1] + 1) / fps
        slots.append(max(round((now - start) * fps), slots[-1] + 1))
    return float(fps), np.array(slots)
