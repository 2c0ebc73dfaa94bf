"""Blinks are whole: lids that shut and open again at once have been shut, even where a picture shows half of it; and
what does not stand out is trembling.

What counts is how far what the reader says of the lids, and how far apart the landmark net has them, stand out of the
take's own trembling: on faces seen from the side or with small eyes a whole blink is read as a tenth of one.
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
"""Before and after a blink's deepest frame within which the lids are open."""
LONGEST_SECONDS = 0.5
RISE, RISE_OF_EACH = 0.22, 0.3
"""How much deeper than before and after both lids together are read in a plain blink; and each of them, relative to
that, in any."""
PLAIN_SCORE, SCORE, SCORE_OF_EACH = 3.0, 5.0, 1.0
"""How far a plain blink stands out (sum of ``blink_scores``), and one that is read as less than ``RISE``, which reading
and opening both have to show."""
END_SECONDS = 0.15
"""Before and after which there have to be frames: nearer to the take's ends a blink needs ``SCORE`` in any case."""
CALMED = 0.4
"""Share that stays of a rise of both lids that is over in ``LONGEST_SECONDS`` and is no blink."""
_NEAR = 5
"""Frames of which a blink's deepest one is the deepest."""
READING_FLOOR, OPENING_FLOOR, MOST_OPENING_SCORE = 0.02, 0.04, 6.0
"""Least trembling of the reading and of the logarithm of the opening; most that the opening counts for."""
RUN_SHARE = 0.35
"""Share of the peak's score above which frames belong to the blink."""
WHOLE = 0.95

ReadFrame = tuple[SeenFace, Reading] | FrameMark
"""A frame with its reading, or why there is none."""


def with_whole_blinks(frames: Iterable[ReadFrame], fps: float, open_lids: np.ndarray) -> Iterator[ReadFrame]:
    """The frames with their lids counted from ``open_lids`` (``lids_from_open``) and blinks made whole; holds some 3 s
    of them."""
    reach = _context(fps)
    window: list[ReadFrame] = []
    at = 0  # the window's first frame that is not out yet
    for frame in frames:
        window.append(frame)
        if len(window) - at > reach:
            yield _whole(window, at, fps, open_lids)
            at += 1
            if at > reach:
                window, at = window[1:], at - 1
    for number in range(at, len(window)):
        yield _whole(window, number, fps, open_lids)


def _context(fps: float) -> int:
    """Frames before and after one that decide whether it is part of a blink: its peak may be ``LONGEST_SECONDS`` away,
    and is judged by ``blink_scores``, which look three times ``REACH_SECONDS`` around."""
    return math.ceil(LONGEST_SECONDS * fps) + 3 * math.ceil(REACH_SECONDS * fps) + 2


def _whole(window: list[ReadFrame], at: int, fps: float, open_lids: np.ndarray) -> ReadFrame:
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
    """(F,) ``eyes_opening`` by the landmark net's points, NaN without a face."""
    return np.array(
        [np.nan if isinstance(one, FrameMark) else eyes_opening(one[0].evidence.on_surface()) for one in window]
    )


def eyes_opening(landmarks: np.ndarray) -> float:
    """How far the lids are apart over the eye's width, of landmarks (478, 3): mostly of the eye that is seen better."""
    widths = np.array([np.linalg.norm(landmarks[corners[0], :2] - landmarks[corners[1], :2]) for _, corners, _ in EYES])
    share = widths**2 / max(float((widths**2).sum()), 1e-9)
    return float(share @ [lid_opening(landmarks, eye) for eye in range(2)])


def blink_scores(lids: np.ndarray, openings: np.ndarray, seen: np.ndarray, fps: float) -> np.ndarray:
    """(2, F) by how many of its own usual deviations the reading, and the opening, stand out of the frames around; 0
    where no face is seen.

    lids : (F, 2) ``lids_from_open``, with what is below 0: cut off there, calm lids would hardly tremble at all;
    openings : (F,) ``eyes_opening``; both finite. seen : (F,) bool, False where they are made up between two faces:
    what is made up does not tremble.
    """
    reach = math.ceil(REACH_SECONDS * fps)
    reading = _standing_out(lids.mean(1), seen, reach, READING_FLOOR)
    opening = _standing_out(-np.log(np.maximum(openings, 0.02)), seen, reach, OPENING_FLOOR)
    return np.stack([reading, np.clip(opening, -2.0, MOST_OPENING_SCORE)])


def _standing_out(values: np.ndarray, seen: np.ndarray, reach: int, floor: float) -> np.ndarray:
    """(F,) values less the median around them, over the usual size of that where they are ``seen``, which is at least
    ``floor``; 0 where they are not."""
    off = values - np.median(_around(values, reach), axis=1)
    usual = np.nanmedian(_around(np.where(seen, np.abs(off), np.nan), 2 * reach)[seen], axis=1)
    score = np.zeros(len(values))
    score[seen] = off[seen] / np.maximum(1.4826 * usual, floor)
    return score


def _around(values: np.ndarray, reach: int) -> np.ndarray:
    """(F, 2 reach + 1) values from ``reach`` frames before each to as many after; beyond the ends they are mirrored."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, reach, mode="symmetric"), 2 * reach + 1)


def whole_blinks(lids: np.ndarray, openings: np.ndarray, fps: float) -> np.ndarray:
    """Lids' weights (F, 2) in [0, 1], every blink as deep as ``WHOLE`` and ``CALMED`` between them, of
    ``lids_from_open``, NaN where there was no face.

    A blink is a peak of ``blink_scores`` in which both lids rise, and that is over in ``LONGEST_SECONDS``. Plain ones,
    whose lids rise ``RISE`` over the lowest values within ``REACH_SECONDS`` before and after, need ``PLAIN_SCORE``, and
    at the take's ends, where one side is enough, ``SCORE``; others need ``SCORE``. openings : (F,) ``eyes_opening``.
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
    whole = np.where(is_blink[:, None], whole, _calmed(filled, fps))
    return np.where(np.isnan(lids), np.nan, whole)


def _peaks(lids: np.ndarray, parts: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """(F,) bool twice: where a plain blink, or a clear one of whatever depth, may be deepest.

    lids : (F, 2) in [0, 1]; parts : ``blink_scores``.
    """
    scores, both, frames = parts.sum(0), lids.mean(1), np.arange(len(lids))
    deepest, clearest = (
        values >= maximum_filter1d(values, _NEAR, mode="constant", cval=-np.inf) for values in (both, scores)
    )
    at_end = np.minimum(frames, len(lids) - 1 - frames) < math.ceil(END_SECONDS * fps)
    plain = deepest & (scores >= np.where(at_end, SCORE, PLAIN_SCORE))
    clear = clearest & (scores >= SCORE) & (parts.min(0) >= SCORE_OF_EACH) & ~at_end
    return plain, clear


def _blink_at(
    peak: int, lids: np.ndarray, scores: np.ndarray, plain: bool, clear: bool, fps: float
) -> tuple[slice, np.ndarray] | None:
    """The frames of the blink with its deepest one at ``peak``, and how far its lids (2,) are shut before and after;
    None where there is none. lids : (F, 2) in [0, 1]; scores : (F,); plain, clear : of ``_peaks``."""
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


def _calmed(lids: np.ndarray, fps: float) -> np.ndarray:
    """Lids (F, 2) with ``CALMED`` of all that both do for ``LONGEST_SECONDS`` at most; a wink stays."""
    longest = 2 * math.ceil(0.5 * LONGEST_SECONDS * fps) + 1
    lasting = np.column_stack([grey_opening(lids[:, eye], longest, mode="constant") for eye in range(2)])
    return lids - (1.0 - CALMED) * (lids - lasting).min(axis=1, keepdims=True)
