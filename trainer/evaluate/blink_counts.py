"""Count the found blinks of a clip, and those that are visible in its pictures at all."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from scipy.ndimage import label

from backend.rig.arkit import LIDS

CLOSED, FALSE = 0.5, 0.25
"""Lid weight above which a run of frames counts as a blink; upper limit of the true weight in a run that counts as a
false blink."""
DIFFERENT_LEVELS, LEAST_PIXELS = 16, 25
"""A blink is visible if at least that many pixels of its deepest picture differ by more than so many of 255 levels, in
any channel, from a picture of the same instant with open eyes. Chosen by looking at such pairs, at reading resolution,
of the 93 blinks of 56 other clips: with 24 pixels and fewer, behind dark or shining lenses and in blurred profiles, the
shut picture cannot be identified; from 30 on it can. Eye pixels of the renderer's labels predict it less well, because
they ignore glare and half dark lenses."""
CONFIDENCE = 1.96
"""Standard deviations of a 95 % interval."""


@dataclass(frozen=True)
class BlinkCounts:
    """Blinks of some clips: all true ones and how many were found, the visible ones and how many of these were found,
    and
    false ones."""

    blinks: int = 0
    found: int = 0
    showing: int = 0
    found_showing: int = 0
    false: int = 0

    def __add__(self, other: BlinkCounts) -> BlinkCounts:
        return BlinkCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def different_pixels(pictures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(F,) number of pixels where pictures (F, H, W, 3) uint8 differ from others by more than ``DIFFERENT_LEVELS``."""
    off = np.abs(pictures.astype(np.int16) - others).max(axis=-1)
    return (off > DIFFERENT_LEVELS).sum(axis=(1, 2))


def count_blinks(truth: np.ndarray, found: np.ndarray, lid_pixels: np.ndarray) -> BlinkCounts:
    """Count one clip's blinks from weights (F, 52), by both lids' mean; ``lid_pixels`` (F,) are ``different_pixels``
    from open eyes.

    A blink is found when the estimated lid closes within one frame of it.
    """
    true_lid, found_lid = truth[:, LIDS].mean(1), found[:, LIDS].mean(1)
    counts = BlinkCounts()
    for frames in _runs(true_lid > CLOSED):
        hit = bool((found_lid[max(frames[0] - 1, 0) : frames[-1] + 2] > CLOSED).any())
        shows = bool(lid_pixels[frames[true_lid[frames].argmax()]] >= LEAST_PIXELS)
        counts += BlinkCounts(1, hit, shows, hit and shows, 0)
    for frames in _runs(found_lid > CLOSED):
        counts += BlinkCounts(false=true_lid[max(frames[0] - 1, 0) : frames[-1] + 2].max() < FALSE)
    return BlinkCounts(*map(int, astuple(counts)))


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
    """Shares of all blinks and of the visible ones that were found, with 95 % intervals, and false ones per minute."""
    figures: dict[str, float] = {}
    for name, hits, count in (("", counts.found, counts.blinks), ("_showing", counts.found_showing, counts.showing)):
        low, high = share_interval(hits, count)
        own = {f"blinks{name}": count, f"blinks_found{name}": hits / max(count, 1)}
        figures |= own | {f"blinks_found{name}_low": low, f"blinks_found{name}_high": high}
    figures["blinks_false_per_minute"] = 60.0 * counts.false / seconds
    return {f"{prefix}.{name}": float(value) for name, value in figures.items()}
