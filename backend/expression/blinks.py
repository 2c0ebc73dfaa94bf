"""Blinks are whole: lids that shut and open again at once have been shut, even where a picture shows half of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from backend.expression.expected import LIDS
from backend.expression.frame_face import SeenFace
from backend.expression.reading import Reading
from backend.expression.take import FrameMark

REACH_SECONDS = 0.35
"""Before and after a blink's deepest frame within which the lids are open."""
LONGEST_SECONDS = 0.5
RISE, RISE_OF_EACH = 0.22, 0.1
"""How much deeper than before and after both lids together, and each of them, are read in a blink."""
WHOLE = 0.95

ReadFrame = tuple[SeenFace, Reading] | FrameMark
"""A frame with its reading, or why there is none."""


def with_whole_blinks(frames: Iterable[ReadFrame], fps: float) -> Iterator[ReadFrame]:
    """The frames with blinks made whole; holds some 1.5 s of them."""
    reach = math.ceil(REACH_SECONDS * fps)
    window: list[ReadFrame] = []
    at = 0  # the window's first frame that is not out yet
    for frame in frames:
        window.append(frame)
        if len(window) - at > 2 * reach:
            yield _whole(window, at, fps)
            at += 1
            if at > 2 * reach:
                window, at = window[1:], at - 1
    for number in range(at, len(window)):
        yield _whole(window, number, fps)


def _whole(window: list[ReadFrame], at: int, fps: float) -> ReadFrame:
    frame = window[at]
    if isinstance(frame, FrameMark):
        return frame
    unseen = np.full(2, np.nan)
    lids = np.array([unseen if isinstance(one, FrameMark) else one[1].weights[list(LIDS)] for one in window])
    seen, reading = frame
    weights = reading.weights.copy()
    weights[list(LIDS)] = whole_blinks(lids, fps)[at]
    return seen, replace(reading, weights=weights)


def whole_blinks(lids: np.ndarray, fps: float) -> np.ndarray:
    """Lids' weights (F, 2), NaN where there was no face, with every blink as deep as ``WHOLE``.

    A blink is a peak of both lids that rises ``RISE`` over the lowest values within ``REACH_SECONDS`` before and after
    it, and is over in ``LONGEST_SECONDS``. At the take's ends one side is enough.
    """
    reach = math.ceil(REACH_SECONDS * fps)
    result = lids.copy()
    if np.isnan(lids).all():
        return result
    known = np.flatnonzero(~np.isnan(lids[:, 0]))
    filled = np.column_stack([np.interp(np.arange(len(lids)), known, lids[known, eye]) for eye in range(2)])
    both = filled.mean(1)
    for peak in range(len(lids)):
        near = both[max(peak - 2, 0) : peak + 3]
        if both[peak] < near.max() or both[peak] < RISE:
            continue
        sides = [filled[max(peak - reach, 0) : peak], filled[peak + 1 : peak + 1 + reach]]
        lowest = [side[side.mean(1).argmin()] for side in sides if len(side)]
        if not lowest:
            continue
        base = np.max(lowest, axis=0)  # (2,)
        height = filled[peak] - base
        if height.mean() < RISE or height.min() < RISE_OF_EACH:
            continue
        raised = both > base.mean() + 0.25 * height.mean()
        first, last = peak, peak
        while first > 0 and raised[first - 1]:
            first -= 1
        while last + 1 < len(lids) and raised[last + 1]:
            last += 1
        if (last - first + 1) / fps > LONGEST_SECONDS:
            continue
        gain = np.maximum((WHOLE - base) / height, 1.0)
        part = slice(first, last + 1)
        deeper = np.clip(base + gain * (filled[part] - base), 0.0, 1.0)
        result[part] = np.where(np.isnan(lids[part]), np.nan, np.maximum(result[part], deeper))
    return result
