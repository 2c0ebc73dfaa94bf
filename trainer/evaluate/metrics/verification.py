"""Face verification by a distance: area under the ROC curve and rank-1 rate, with intervals over people."""

from __future__ import annotations

import numpy as np

from trainer.evaluate.metrics.intervals import Interval, draws, mean_interval


def area_under_curve(distances: np.ndarray) -> float:
    """Probability that a pair of one person's shapes is nearer than a pair of two people's; a tie counts as a half.

    distances : (N, N), row i: the probe of person i, column j: the gallery's shape of person j.
    """
    return float(areas_of_resamples(distances, np.ones((1, len(distances))))[0])


def areas_of_resamples(distances: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(R,) ``area_under_curve`` with person j taken counts[r, j] times, NaN where only one person is left. Copies of a
    person count as the same person."""
    first, second = np.nonzero(~np.eye(len(distances), dtype=bool))
    order = np.argsort(distances[first, second])
    first, second = first[order], second[order]
    others, own = distances[first, second], np.diag(distances)
    nearer, not_farther = (np.searchsorted(others, own, side) for side in ("left", "right"))
    areas = np.full(len(counts), np.nan)
    for row, times in enumerate(np.asarray(counts, dtype=np.float64)):
        sums = np.concatenate([[0.0], np.cumsum(times[first] * times[second])])
        if sums[-1] > 0:
            areas[row] = times @ (1 - (sums[nearer] + sums[not_farther]) / 2 / sums[-1]) / times.sum()
    return areas


def first_ranks(distances: np.ndarray) -> np.ndarray:
    """(N,) 1 where the nearest in the gallery is the probe's own person, else 0; a tie of k counts as 1/k."""
    nearest = distances == distances.min(1, keepdims=True)
    return np.diag(nearest) / nearest.sum(1)


def area_interval(distances: np.ndarray, seed: int = 0) -> Interval:
    """``area_under_curve`` with its interval over people, each resampled as probe and gallery together."""
    values = _areas(distances, seed)
    return Interval(area_under_curve(distances), *np.nanquantile(values, [0.025, 0.975]).tolist())


def area_gain(distances: np.ndarray, others: np.ndarray, seed: int = 0) -> Interval:
    """Gain of the area of ``distances`` over that of ``others`` (N, N), of the same people; the interval is of the
    paired difference."""
    gains = _areas(distances, seed) - _areas(others, seed)
    value = area_under_curve(distances) - area_under_curve(others)
    return Interval(value, *np.nanquantile(gains, [0.025, 0.975]).tolist())


def rank_interval(distances: np.ndarray, seed: int = 0) -> Interval:
    """Rank-1 rate with its interval over the probes; the gallery stays fixed."""
    ranks = first_ranks(distances)
    return mean_interval(ranks, seed)


def _areas(distances: np.ndarray, seed: int) -> np.ndarray:
    """(R,) areas of people drawn with replacement."""
    size = len(distances)
    counts = np.stack([np.bincount(drawn, minlength=size) for drawn in draws(size, seed)])
    return areas_of_resamples(distances, counts)
