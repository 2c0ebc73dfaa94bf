"""Means and ratios over people with 95 % bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
"""Bootstrap resamples, enough to determine the ends of a 95 % interval to about a twentieth of its width."""


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def figures(self, name: str) -> dict[str, float]:
        """Return ``name``, ``name.low`` and ``name.high``."""
        return {name: self.value, f"{name}.low": self.low, f"{name}.high": self.high}


def mean_interval(values: np.ndarray, seed: int = 0) -> Interval:
    """Mean of (N,) values, one per person, with its interval; people without a value (NaN) are left out."""
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return Interval(np.nan, np.nan, np.nan)
    means = known[draws(len(known), seed)].mean(1)
    return Interval(float(known.mean()), *np.quantile(means, [0.025, 0.975]).tolist())


def ratio_interval(above: np.ndarray, below: np.ndarray, seed: int = 0) -> Interval:
    """Ratio of two means over the same people, (N,) each, with its interval; people without a value are left out."""
    pair = np.asarray([above, below], np.float64)
    pair = pair[:, np.isfinite(pair).all(0)]
    if not pair.shape[1]:
        return Interval(np.nan, np.nan, np.nan)
    picked = pair[:, draws(pair.shape[1], seed)].mean(2)  # (2, R)
    ratio = float(pair[0].mean() / pair[1].mean())
    return Interval(ratio, *np.quantile(picked[0] / picked[1], [0.025, 0.975]).tolist())


def draws(size: int, seed: int) -> np.ndarray:
    """(RESAMPLES, N) indices of people, drawn with replacement."""
    return np.random.default_rng(seed).integers(0, size, (RESAMPLES, size))
