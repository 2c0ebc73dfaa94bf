"""Reader of takes of Live Link Face and programs that write the same CSV: one row a frame, a column a weight.

What such files differ in is read and said: separators, decimal commas, spellings of the names, rows without a face,
time codes in frames, milliseconds or plain numbers, a time code that counts faster or slower than the rows come,
percent, degrees.
"""

import csv
import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np

from .names import ARKIT_NAMES, arkit_name, words_of

MOST_COUNT = 240
"""Larger numbers in the last field of a time code are parts of a second, not frames."""
LEAST_COUNT = 24
"""A take of so many rows that are numbered from 0 is one whole second."""
USUAL_COUNT = 60.0
"""Rate of the app's time code, where a take is too short to show it."""
PLAIN_RATE = 30.0
"""Frames a second of files with plain frame numbers."""
NEAR_RATE = 0.02
"""Relative, 0.005 to 0.03: a measured rate this near to the one that was asked for is that."""
EVEN_SECONDS = 8
"""By chance so many seconds do not lose as many rows each: nothing is missing."""
NTSC = 1.001
LONGEST_GAP_SECONDS = 10.0
"""A larger step between two rows' times counts as a broken time code."""
MOST_FRAMES = 500_000
"""Frames of a take, from its first to its last: more than two hours at 60 a second."""
MOST_BYTES = 512 * 2**20
MOST_RADIANS = 3.5
"""Angles of a head beyond half a turn are degrees."""
MOST_DEGREES = 400.0
PERCENT_ABOVE, PERCENT_COLUMNS = 2.0, 0.25
"""Weights are percent where this share of the columns exceeds this value."""
MANY_ROWS = 0.1
"""Share of the rows whose time code shows that its last field is no frame."""
_TIME_FIELD = re.compile(r"\s*\d+([.,]\d+)?\s*")
_ANGLES = ("headyaw", "headpitch", "headroll")
_TIME_NAME = re.compile(r"timecode|time(stamp)?s?(ms|us|sec|seconds)?|seconds|frame(number|index)?")
"""Of the column of times; a frame's number is one only where nothing else is."""
_KNOWN = re.compile(rf"(head|lefteye|righteye)(yaw|pitch|roll)|(blendshape)?count|{_TIME_NAME.pattern}").fullmatch
_NO_HEADER = re.compile(r"\s*(sep=.\s*$|#)", re.IGNORECASE)
_NO_VALUE = re.compile(r"|-+|[+-]?nan(\(\w*\))?|null|none|n/?a", re.IGNORECASE)
"""What programs write for a frame without a face."""


class NotATakeError(ValueError):
    """The text is no such take; the message is one sentence that says why."""


@dataclass(frozen=True)
class LiveLinkTake:
    """A take at an even rate; rows that are missing by their times are filled in.

    Attributes
    ----------
    fps : frames a second.
    names : the K ARKit names that have a column, in ARKit's order.
    weights : (F, K) float64 in [0, 1], interpolated where not measured.
    angles : (F, 3) float64 radians, yaw, pitch and roll of the head, or None without such columns.
    found : (F,) bool, False where the app lost the face.
    dropped : (F,) bool, True where the file has no row.
    notes : sentences about what was read in another way than written.
    """

    fps: float
    names: tuple[str, ...]
    weights: np.ndarray
    angles: np.ndarray | None
    found: np.ndarray
    dropped: np.ndarray
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Table:
    """The rows as written: times as text; (R, K) weights and (R, A) angles, NaN in rows without a face."""

    names: tuple[str, ...]
    times: list[str]
    weights: np.ndarray
    angles: np.ndarray
    unknown: tuple[str, ...]
    unit: float | None  # seconds of a plain number, where the column's name says it


def text_of(data: bytes) -> str:
    """The text of a file: UTF-8 or, by its mark, UTF-16. Raises ``NotATakeError`` for anything else."""
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotATakeError("It is not text in UTF-8.") from error


def read_lines(lines: Iterable[str], fps: float | None = None) -> LiveLinkTake:
    """Read a take from the lines of its file.

    fps : the rows' rate, or what the time code counts a second, where the file does not say it.

    The head's angles are about its axes: yaw to the person's left, pitch up, roll towards the person's right shoulder.

    Raises
    ------
    NotATakeError : for other text, numbers that are none, and takes that are too long.
    """
    table = _table(lines)
    face = np.isfinite(table.weights).all(axis=1)
    if not face.any():
        raise NotATakeError("It holds no row with values.")
    weights, notes = _unit_weights(table, face)
    angles, turned = _radians(table.angles[face]) if table.angles.shape[1] else (None, [])
    rate, slots, timed = _slots(table.times, fps, table.unit)
    count = int(slots[-1]) + 1
    if count > MOST_FRAMES:
        raise NotATakeError(f"It has {count} frames from its first to its last; the limit is {MOST_FRAMES}.")
    every, at = np.arange(count), slots[face]
    valid = np.ones(count, bool)
    valid[slots[~face]] = False
    dropped = np.ones(count, bool)
    dropped[slots] = False
    filled = np.stack([np.interp(every, at, column) for column in weights.T], axis=1)
    if angles is not None:
        angles = np.stack([np.interp(every, at, column) for column in np.unwrap(angles, axis=0).T], axis=1)
    if table.unknown:
        more = f" and {len(table.unknown) - 5} more" if len(table.unknown) > 5 else ""
        notes.append(f"Columns that are not known were not read: {', '.join(table.unknown[:5])}{more}.")
    return LiveLinkTake(rate, table.names, filled, angles, valid, dropped, (*notes, *turned, *timed))


def _table(lines: Iterable[str]) -> _Table:
    lines = iter(lines)
    first = next((line for line in lines if line.strip() and not _NO_HEADER.match(line)), "")
    separator = max(",;\t|", key=first.count)
    try:
        return _rows(csv.reader(chain([first], lines), delimiter=separator))
    except csv.Error as error:
        raise NotATakeError(f"It is no CSV table ({error}).") from error


def _rows(rows: Iterator[list[str]]) -> _Table:
    header = [cell.strip() for cell in next(rows, [])]
    flat = ["".join(words_of(cell)) for cell in header]
    times_of = [number for number, name in enumerate(flat) if _TIME_NAME.fullmatch(name)]
    timed = min(times_of, key=lambda number: flat[number].startswith("frame"), default=None)
    columns: dict[str, int] = {}
    for number, cell in enumerate(header):
        if (name := arkit_name(cell)) is not None:
            if name in columns:
                raise NotATakeError(f"Two of its columns mean {name}: {header[columns[name]]} and {cell}.")
            columns[name] = number
    if timed is None or not columns:
        raise NotATakeError("It has no columns Timecode, EyeBlinkLeft, … in its first line.")
    names = tuple(name for name in ARKIT_NAMES if name in columns)
    cells_of = [columns[name] for name in names]
    turns = [flat.index(name) for name in _ANGLES] if set(_ANGLES) <= set(flat) else []
    counted = flat.index("blendshapecount") if "blendshapecount" in flat else None
    unknown = tuple(
        cell for cell, name in zip(header, flat, strict=True) if name and not _KNOWN(name) and not arkit_name(cell)
    )
    times, values = [], array("d")
    for row in rows:
        if len(row) <= timed or not row[timed].strip() or row[timed].strip() == header[timed]:
            continue  # a header again: takes that were put behind each other
        cells = [row[column].strip() if column < len(row) else "" for column in (*cells_of, *turns)]
        missing = [_NO_VALUE.fullmatch(cell) is not None for cell in cells]
        lost = any(missing[: len(cells_of)]) or (counted is not None and len(row) > counted and _is_zero(row[counted]))
        times.append(row[timed].strip())
        numbers = [0.0 if none else _number(cell) for cell, none in zip(cells, missing, strict=True) if not lost]
        values.extend([math.nan] * len(cells) if lost else numbers)
        if len(times) > MOST_FRAMES:
            raise NotATakeError(f"It has more than {MOST_FRAMES} rows.")
    table = np.array(values).reshape(len(times), len(cells_of) + len(turns))
    return _Table(names, times, table[:, : len(cells_of)], table[:, len(cells_of) :], unknown, _unit(flat[timed]))


def _unit(name: str) -> float | None:
    units = {"ms": 1e-3, "us": 1e-6, "sec": 1.0, "seconds": 1.0}
    return next((unit for word, unit in units.items() if name.endswith(word)), None)


def _is_zero(cell: str) -> bool:
    return cell.strip() in ("0", "0.0", "0,0")


def _number(cell: str) -> float:
    """A finite decimal number with a point or a comma."""
    if re.fullmatch(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d{1,3})?", cell) is None:
        raise NotATakeError(f"One of its values is no number: {cell[:20]}.")
    value = float(cell.replace(",", "."))
    if not math.isfinite(value):
        raise NotATakeError(f"One of its values is no number: {cell[:20]}.")
    return value


def _unit_weights(table: _Table, face: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """(R, K) weights of the rows with a face in [0, 1], and what is to be said about them."""
    weights = table.weights[face]
    most = weights.max(axis=0)
    if np.mean(most > PERCENT_ABOVE) >= PERCENT_COLUMNS:
        if weights.max() > 150.0:
            raise NotATakeError(f"Its weights reach {weights.max():.0f}; they are neither 0 to 1 nor percent.")
        return np.clip(weights / 100.0, 0.0, 1.0), ["Its weights are percent and were divided by 100."]
    outside = [name for name, high, low in zip(table.names, most, weights.min(axis=0), strict=True)
               if high > 1.001 or low < -0.001]  # fmt: skip
    said = []
    if outside:
        more = f" and {len(outside) - 5} more" if len(outside) > 5 else ""
        said = [f"Weights outside 0 to 1 were cut: {', '.join(outside[:5])}{more}."]
    return np.clip(weights, 0.0, 1.0), said


def _radians(angles: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """(R, 3) angles in radians, and what is to be said about them."""
    most = float(np.abs(angles).max())
    if most > MOST_DEGREES:
        raise NotATakeError(f"The head's angles reach {most:.3g}; they are neither radians nor degrees.")
    if most > MOST_RADIANS:
        return np.radians(angles), ["The head's angles are degrees and were converted to radians."]
    return angles, []


def _slots(codes: Sequence[str], fps: float | None, unit: float | None) -> tuple[float, np.ndarray, list[str]]:
    """The rate, the (R,) slot of each row from 0, increasing, and what is to be said about them."""
    seconds, said = _seconds(codes, fps, unit)
    if seconds is None:
        return fps or USUAL_COUNT, np.arange(len(codes)), said
    rate = _rate(seconds)
    if fps is not None and abs(rate / fps - 1.0) > NEAR_RATE:
        said = [f"The times of its rows are those of {rate:g} frames a second; {fps:g} were asked for."]
        rate, seconds = fps, np.arange(len(codes)) / fps
    slots = np.empty(len(codes), np.int64)
    last, start, before = -1, seconds[0], seconds[0]  # start: the time of slot 0
    for row, now in enumerate(seconds.tolist()):
        if abs(now - before) > LONGEST_GAP_SECONDS:  # a broken time code, or a clock that was set
            start = now - (last + 1) / rate
        last = max(round((now - start) * rate), last + 1)
        slots[row], before = last, now
    return rate, slots, said


def _seconds(codes: Sequence[str], fps: float | None, unit: float | None) -> tuple[np.ndarray | None, list[str]]:
    """(R,) seconds of the rows' times; None where they do not tell the time. Also what is to be said about them."""
    fields = [re.split(r"[:;]", code) for code in codes]
    width = len(fields[0])
    if any(len(row) != width for row in fields) or width not in (1, 3, 4):
        raise NotATakeError(f"Its times are not of one kind such as 10:00:00:01.000: {codes[0][:30]}.")
    if not all(_TIME_FIELD.fullmatch(field) for row in fields for field in row):
        raise NotATakeError(f"Its times are not of one kind such as 10:00:00:01.000: {codes[0][:30]}.")
    table = np.array([[_number(field.strip()) for field in row] for row in fields])
    if (table > 1e13).any():
        raise NotATakeError("Its times are beyond all numbers.")
    if width == 3:
        return table @ [3600.0, 60.0, 1.0], []
    if width == 1:
        return _plain_seconds(table[:, 0], fps, unit)
    whole = table[:, :3] @ [3600.0, 60.0, 1.0]
    ticks = table[:, 3]
    if len(codes) > 1 and (table == table[0]).all():
        said = f"Its time code stands still; its rows were read as {fps or USUAL_COUNT:g} frames a second."
        return None, [said]
    most = math.floor(ticks.max())
    for unit, least in ((1000.0, MOST_COUNT), (1e6, 1000.0)):
        three = unit == 1000.0 and all(re.fullmatch(r"\d{3}", row[3].strip()) for row in fields)
        if most < unit and (three or np.mean(ticks >= least) > MANY_ROWS):
            return whole + ticks / unit, ["The last field of its time codes is a part of a second, not a frame."]
    if most >= MOST_COUNT:
        raise NotATakeError(f"Its time codes have no frame of a second: {most}.")
    if fps is not None and ticks.max() < fps:
        return whole + ticks / fps, []
    ticks, count = _counted(whole, ticks)
    if (pair := _drop_frame(whole, ticks, count)) is not None:
        minutes = whole // 60
        return (whole * count + ticks - pair * (minutes - minutes // 10)) * 1001 / 1000 / count, []
    return whole + ticks / count, []


def _counted(whole: np.ndarray, ticks: np.ndarray) -> tuple[np.ndarray, float]:
    """(R,) frames of the rows' seconds from 0, and how many a second has: its rows times the step from row to row, less
    what the next second begins later."""
    inside, starts = np.diff(whole) == 0, np.flatnonzero(np.diff(whole)) + 1
    places = np.zeros(len(ticks))
    places[1:][inside] = _rows_between(np.diff(ticks)[inside])
    seconds, counts = np.split(np.column_stack([ticks, np.cumsum(places)]), starts), []
    for (rows, following), passed in zip(pairwise(seconds), np.diff(whole)[starts - 1], strict=True):
        step = np.polyfit(rows[:, 1], rows[:, 0], 1)[0] if len(rows) > 1 else 1.0
        if passed == 1:
            counts.append((np.ptp(rows[:, 1]) + 1) * step + rows[0, 0] - following[0, 0])
    usual = len(ticks) if len(ticks) == ticks.max() + 1 >= LEAST_COUNT else USUAL_COUNT  # of less than a second
    count = float(round(np.median(counts or [usual])))
    if ticks.min() == 1.0 and ticks.max() == count:
        return ticks - 1.0, count
    return ticks, max(count, math.floor(ticks.max()) + 1.0)


def _drop_frame(whole: np.ndarray, ticks: np.ndarray, count: float) -> float | None:
    """How many numbers a drop-frame time code leaves out at each full minute but the tenth, 2 of 30 or 4 of 60; None
    for other time codes."""
    pair = count // 15
    starts = np.flatnonzero((np.diff(whole // 60) == 1) & (whole[1:] // 60 % 10 != 0))
    if count not in (30, 60) or not len(starts):
        return None
    dropped = (ticks[starts] == count - 1) & (ticks[starts + 1] == pair) & (whole[starts + 1] % 60 == 0)
    return pair if dropped.all() else None


def _plain_seconds(numbers: np.ndarray, fps: float | None, unit: float | None) -> tuple[np.ndarray | None, list[str]]:
    """As ``_seconds``, for times that are one number: frames, milliseconds, or seconds with decimals."""
    steps = np.diff(numbers)
    rising = steps[steps > 0]
    if len(numbers) > 1 and not len(rising):
        return None, [f"Its times stand still; its rows were read as {fps or USUAL_COUNT:g} frames a second."]
    middle = float(np.median(rising)) if len(rising) else 1.0
    if unit is not None or middle < 0.9:
        return numbers * (unit or 1.0), []
    if middle >= 5.0:
        return numbers / 1000.0, ["Its times were read as milliseconds."]
    rate = fps or PLAIN_RATE
    said = [] if fps else [f"It has frame numbers and no times; they were read as {rate:g} frames a second."]
    return numbers / rate, said


def _rate(seconds: np.ndarray) -> float:
    """Frames a second of rows at these times: the simplest number that they allow.

    From the usual distance of two rows, so that missing rows do not count. Where every whole second has as many rows,
    or the clock stands still between rows (a time code that counts slower than the rows come), from all rows.
    """
    steps = np.diff(seconds)
    steps = steps[(steps >= 0) & (steps < LONGEST_GAP_SECONDS)]
    rising = steps[steps > 0]
    if not len(rising):
        return USUAL_COUNT
    of_seconds = np.diff(np.flatnonzero(np.diff(np.floor(seconds))))
    even = len(of_seconds) >= EVEN_SECONDS and np.ptp(of_seconds) == 0
    slots = np.ones(len(steps)) if even else _rows_between(steps)
    times, rows = (np.concatenate([[0.0], np.cumsum(values)]) for values in (steps, slots))
    step, start = np.polyfit(rows, times, 1)
    unsure = 2.0 * np.abs(start + step * rows - times).max() / times[-1]
    rate = min(max(1.0 / step, 1.0), 1000.0)
    simple = (float(round(rate)), round(rate * NTSC) / NTSC)
    return round(next((one for one in simple if abs(rate / one - 1.0) <= unsure + 1e-6), rate), 3)


def _rows_between(steps: np.ndarray) -> np.ndarray:
    """(N,) by how many rows each step goes on; 1 where the clock stands still between rows."""
    rising = steps[steps > 0]
    if len(rising) <= 0.8 * len(steps):
        return np.ones(len(steps))
    near = rising < 1.75 * _usual_step(rising)  # 24 frames in a code that counts 60: two steps of it and three in turn
    return np.round(steps / rising[near].mean())


def _usual_step(rising: np.ndarray) -> float:
    """The most frequent step, or the median where none is frequent."""
    rounded = np.round(rising, 4)
    value, count = Counter(rounded.tolist()).most_common(1)[0]
    return value if count > 0.4 * len(rising) else float(np.median(rising))
