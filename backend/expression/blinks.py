"""Complete blinks and suppress trembling lids: lids that shut and open again at once count as fully shut, even where
the pictures show half of it; all that does not exceed the noise is damped.

A blink is found by how far the reader's lid weights, and the lid opening of the landmark net, exceed the take's own
noise, because on faces in profile or with small eyes a whole blink is read as a tenth of one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from scipy.ndimage import grey_opening, maximum_filter1d

from backend.expression.clip import FrameMark
from backend.expression.expected import lids_from_open
from backend.expression.gaps import EYES, lid_opening
from backend.expression.reading import Reading
from backend.expression.seen_face import SeenFace
from backend.rig.arkit import LIDS

REACH_SECONDS = 0.35
"""Time before and after a blink's deepest frame within which the lids are open."""
LONGEST_SECONDS = 0.5
RISE, RISE_OF_EACH = 0.22, 0.3
"""Least rise of both lids' mean reading over the frames before and after in a plain blink; and least rise of each lid,
relative to the mean, in any blink."""
PLAIN_SCORE, SCORE, SCORE_OF_EACH = 3.0, 5.0, 1.0
"""Least sum of ``blink_scores`` of a plain blink and of one that is read as less than ``RISE``; and least of reading
and of opening in the latter."""
END_SECONDS = 0.15
"""Least time from a take's end: nearer to it a blink needs ``SCORE`` in any case."""
LID_RISE_FACTOR = 0.4
"""Factor on a rise of both lids that is over in ``LONGEST_SECONDS`` but is not a blink."""
_PEAK_WINDOW = 5
"""Window in frames within which a blink's frame must be the deepest."""
READING_FLOOR, OPENING_FLOOR, MOST_OPENING_SCORE = 0.02, 0.04, 6.0
"""Lower bounds of the noise of the reading and of the logarithm of the opening; upper bound of the opening's score."""
RUN_SHARE = 0.35
"""Share of the peak's score from which on frames belong to the blink."""
WHOLE = 0.95

ReadFrame = tuple[SeenFace, Reading] | FrameMark
"""A frame with its reading, or why there is none."""


def with_whole_blinks(frames: Iterable[ReadFrame], fps: float, open_lids: np.ndarray) -> Iterator[ReadFrame]:
    """The frames with lid weights relative to ``open_lids`` (``lids_from_open``) and blinks completed; buffers some 3 s
    of them."""
    reach = _context(fps)
    window: list[ReadFrame] = []
    at = 0  # the window's first frame that was not yielded yet
    for frame in frames:
        window.append(frame)
        if len(window) - at > reach:
            yield _completed(window, at, fps, open_lids)
            at += 1
            if at > reach:
                window, at = window[1:], at - 1
    for number in range(at, len(window)):
        yield _completed(window, number, fps, open_lids)


def _context(fps: float) -> int:
    """Frames of context before and after one: its blink's peak may be ``LONGEST_SECONDS`` away, and ``blink_scores``
    there uses three times ``REACH_SECONDS`` around it."""
    return math.ceil(LONGEST_SECONDS * fps) + 3 * math.ceil(REACH_SECONDS * fps) + 2


def _completed(window: list[ReadFrame], at: int, fps: float, open_lids: np.ndarray) -> ReadFrame:
    frame = window[at]
    if isinstance(frame, FrameMark):
        return frame
    unseen = np.full(2, np.nan)
    lids = np.array([unseen if isinstance(one, FrameMark) else one[1].weights[LIDS] for one in window])
    seen, reading = frame
    weights = reading.weights.copy()
    weights[LIDS] = whole_blinks(lids_from_open(lids, open_lids), _openings(window), fps)[at]
    return seen, replace(reading, weights=weights)


def _openings(window: list[ReadFrame]) -> np.ndarray:
    """(F,) ``eyes_opening`` of the landmark net's points, NaN without a face."""
    return np.array(
        [np.nan if isinstance(one, FrameMark) else eyes_opening(one[0].evidence.on_surface()) for one in window]
    )


def eyes_opening(landmarks: np.ndarray) -> float:
    """Lid opening over the eye's width, of landmarks (478, 3): mean of both eyes, weighted by their squared width."""
    widths = np.array([np.linalg.norm(landmarks[corners[0], :2] - landmarks[corners[1], :2]) for _, corners, _ in EYES])
    share = widths**2 / max(float((widths**2).sum()), 1e-9)
    return float(share @ [lid_opening(landmarks, eye) for eye in range(2)])


def blink_scores(lids: np.ndarray, openings: np.ndarray, seen: np.ndarray, fps: float) -> np.ndarray:
    """(2, F) z-scores of the reading and of the opening against the surrounding frames, in robust standard deviations;
    0 where no face is seen.

    lids : (F, 2) ``lids_from_open``, not clipped at 0, because clipped lids would have hardly any noise;
    openings : (F,) ``eyes_opening``; both finite. seen : (F,) bool, False where values are interpolated between two
    faces, which lowers the noise.
    """
    reach = math.ceil(REACH_SECONDS * fps)
    reading = _z_scores(lids.mean(1), seen, reach, READING_FLOOR)
    opening = _z_scores(-np.log(np.maximum(openings, 0.02)), seen, reach, OPENING_FLOOR)
    return np.stack([reading, np.clip(opening, -2.0, MOST_OPENING_SCORE)])


def _z_scores(values: np.ndarray, seen: np.ndarray, reach: int, floor: float) -> np.ndarray:
    """(F,) difference from the running median, over the usual size of this difference in ``seen`` frames, which is at
    least ``floor``; 0 in other frames."""
    off = values - np.median(_windows(values, reach), axis=1)
    usual = np.nanmedian(_windows(np.where(seen, np.abs(off), np.nan), 2 * reach)[seen], axis=1)
    score = np.zeros(len(values))
    score[seen] = off[seen] / np.maximum(1.4826 * usual, floor)
    return score


def _windows(values: np.ndarray, reach: int) -> np.ndarray:
    """(F, 2 reach + 1) windows of ``reach`` frames before and after each; mirrored beyond the ends."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, reach, mode="symmetric"), 2 * reach + 1)


def whole_blinks(lids: np.ndarray, openings: np.ndarray, fps: float) -> np.ndarray:
    """Lids' weights (F, 2) in [0, 1] with every blink as deep as ``WHOLE`` and the rest damped to ``LID_RISE_FACTOR``.
    lids : ``lids_from_open``, NaN where there was no face.

    A blink is a peak of ``blink_scores`` in which both lids rise, and that is over in ``LONGEST_SECONDS``. Plain blinks
    rise by ``RISE`` over the lowest values within ``REACH_SECONDS`` before and after, and need ``PLAIN_SCORE``; at the
    take's ends, where one side is enough, and in all other cases, ``SCORE``. openings : (F,) ``eyes_opening``.
    """
    result = np.clip(lids, 0.0, 1.0)
    seen = ~np.isnan(lids[:, 0])
    known = np.flatnonzero(seen)
    if not len(known):
        return result
    frames = np.arange(len(lids))
    read = np.column_stack([np.interp(frames, known, lids[known, eye]) for eye in range(2)])
    filled = np.clip(read, 0.0, 1.0)
    parts = blink_scores(read, np.interp(frames, known, openings[known]), seen, fps)
    whole, is_blink = filled.copy(), np.zeros(len(lids), bool)
    scores = parts.sum(0)
    plain, clear = _peaks(filled, parts, fps)
    for peak in known[(plain | clear)[known]]:
        blink = _blink_at(peak, filled, scores, plain[peak], clear[peak], fps)
        if blink is None:
            continue
        part, base = blink
        gain = np.maximum((WHOLE - base) / np.maximum(filled[peak] - base, 1e-3), 1.0)
        whole[part] = np.maximum(whole[part], np.clip(base + gain * (filled[part] - base), 0.0, 1.0))
        is_blink[part] = True
    whole = np.where(is_blink[:, None], whole, _damped(filled, fps))
    return np.where(np.isnan(lids), np.nan, whole)


def _peaks(lids: np.ndarray, parts: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Candidates for the deepest frame of a plain blink, and of a clear one of any depth: (F,) bool each.

    lids : (F, 2) in [0, 1]; parts : ``blink_scores``.
    """
    scores, both, frames = parts.sum(0), lids.mean(1), np.arange(len(lids))
    deepest, clearest = (
        values >= maximum_filter1d(values, _PEAK_WINDOW, mode="constant", cval=-np.inf) for values in (both, scores)
    )
    at_end = np.minimum(frames, len(lids) - 1 - frames) < math.ceil(END_SECONDS * fps)
    plain = deepest & (scores >= np.where(at_end, SCORE, PLAIN_SCORE))
    clear = clearest & (scores >= SCORE) & (parts.min(0) >= SCORE_OF_EACH) & ~at_end
    return plain, clear


def _blink_at(
    peak: int, lids: np.ndarray, scores: np.ndarray, plain: bool, clear: bool, fps: float
) -> tuple[slice, np.ndarray] | None:
    """Frames of the blink with its deepest one at ``peak``, and the lids' weights (2,) before and after; None where
    there is none. lids : (F, 2) in [0, 1]; scores : (F,); plain, clear : of ``_peaks``."""
    reach, both = math.ceil(REACH_SECONDS * fps), lids.mean(1)
    sides = [lids[max(peak - reach, 0) : peak], lids[peak + 1 : peak + 1 + reach]]
    lowest = [side[side.mean(1).argmin()] for side in sides if len(side)]
    if not lowest:
        return None
    base = np.max(lowest, axis=0)  # (2,)
    height = lids[peak] - base
    if height.min() < RISE_OF_EACH * height.mean() or height.mean() <= 0.0 or (not clear and height.mean() < RISE):
        return None
    raised = both > base.mean() + 0.25 * height.mean() if plain else scores > RUN_SHARE * scores[peak]
    first, last = peak, peak
    while first > 0 and raised[first - 1]:
        first -= 1
    while last + 1 < len(lids) and raised[last + 1]:
        last += 1
    return None if (last - first + 1) / fps > LONGEST_SECONDS else (slice(first, last + 1), base)


def _damped(lids: np.ndarray, fps: float) -> np.ndarray:
    """Damp what both lids (F, 2) do for ``LONGEST_SECONDS`` at most to ``LID_RISE_FACTOR`` of it; a wink is kept."""
    longest = 2 * math.ceil(0.5 * LONGEST_SECONDS * fps) + 1
    lasting = np.column_stack([grey_opening(lids[:, eye], longest, mode="constant") for eye in range(2)])
    return lids - (1.0 - LID_RISE_FACTOR) * (lids - lasting).min(axis=1, keepdims=True)
