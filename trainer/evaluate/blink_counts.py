"""Which blinks of a clip were found, and which of them show in its pictures at all."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from scipy.ndimage import label

from backend.rig.arkit import ARKIT_INDEX

CLOSED, FALSE, OPEN = 0.5, 0.25, 0.25
"""A lid's weight above which a run of frames counts as a blink; an estimated run is false when the truth stays below
the second; below the third eyes are open."""
AROUND_SECONDS = 0.34
"""Before and after a blink within which open eyes tell whether it shows."""
LEAST_EYE_PIXELS = 6.0
"""Of both eyes together, between their lids, in the picture as it is read. Chosen by looking at the 93 blinks of 56
other clips before it was asked which of them are found: eyes have 20 to 60 pixels there, a profile's one 5 to 15. Of
the nine blinks with fewer than 6, five are behind dark lenses, two behind the glasses of a blurred profile, and two
show a trace, in a profile in a hood and behind a fringe; four with 7 to 9, behind half dark lenses, count though they
hardly show."""
LIDS = [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]
CONFIDENCE = 1.96
"""Standard deviations of a 95 % interval."""


@dataclass(frozen=True)
class BlinkCounts:
    """Blinks of some clips: all true ones and how many were found, those that show and how many of these were found,
    and false ones."""

    blinks: int = 0
    found: int = 0
    showing: int = 0
    found_showing: int = 0
    false: int = 0

    def __add__(self, other: BlinkCounts) -> BlinkCounts:
        return BlinkCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def count_blinks(truth: np.ndarray, found: np.ndarray, eye_pixels: np.ndarray, fps: float) -> BlinkCounts:
    """Of one clip's weights (F, 52), both lids' mean; ``eye_pixels`` (F,) show an eye between its lids.

    A blink is found when the estimate closes within a frame of it.
    """
    true_lid, found_lid = truth[:, LIDS].mean(1), found[:, LIDS].mean(1)
    counts = BlinkCounts()
    for frames in _runs(true_lid > CLOSED):
        hit = bool((found_lid[max(frames[0] - 1, 0) : frames[-1] + 2] > CLOSED).any())
        shows = blink_shows(true_lid, eye_pixels, frames, fps)
        counts += BlinkCounts(1, hit, shows, hit and shows, 0)
    for frames in _runs(found_lid > CLOSED):
        counts += BlinkCounts(false=true_lid[max(frames[0] - 1, 0) : frames[-1] + 2].max() < FALSE)
    return BlinkCounts(*map(int, astuple(counts)))


def blink_shows(lid: np.ndarray, eye_pixels: np.ndarray, frames: np.ndarray, fps: float) -> bool:
    """Whether an eye is seen in most pictures just before and after a blink's ``frames`` in which the lids (F,) are
    open; where they never are, in most of all these."""
    reach = round(AROUND_SECONDS * fps)
    around = np.r_[max(frames[0] - reach, 0) : frames[0], frames[-1] + 1 : min(frames[-1] + 1 + reach, len(lid))]
    around = around[lid[around] < OPEN] if (lid[around] < OPEN).any() else around
    return bool(len(around) and np.median(eye_pixels[around]) >= LEAST_EYE_PIXELS)


def _runs(shut: np.ndarray) -> list[np.ndarray]:
    """Frames of each run of True."""
    runs, count = label(shut)
    return [np.flatnonzero(runs == run) for run in range(1, count + 1)]


def share_interval(hits: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, of ``count`` independent trials (Wilson 1927)."""
    if count == 0:
        return 0.0, 1.0
    share, square = hits / count, CONFIDENCE**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = CONFIDENCE / (1 + square / count) * np.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return float(middle - half), float(middle + half)


def blink_figures(prefix: str, counts: BlinkCounts, seconds: float) -> dict[str, float]:
    """Shares of all blinks, and of those that show, that were found, with 95 % intervals, and false ones a minute."""
    figures: dict[str, float] = {}
    for name, hits, count in (("", counts.found, counts.blinks), ("_showing", counts.found_showing, counts.showing)):
        low, high = share_interval(hits, count)
        own = {f"blinks{name}": count, f"blinks_found{name}": hits / max(count, 1)}
        figures |= own | {f"blinks_found{name}_low": low, f"blinks_found{name}_high": high}
    figures["blinks_false_per_minute"] = 60.0 * counts.false / seconds
    return {f"{prefix}.{name}": float(value) for name, value in figures.items()}
