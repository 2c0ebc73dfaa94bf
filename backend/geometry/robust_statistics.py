"""Weighted and robust means, medians and quantiles."""

import numpy as np

from backend.system.numba_cache import njit


def robust_consensus(
    values: np.ndarray, weights: np.ndarray, scale: float, iterations: int = 5, share: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Robust mean over photos, place by place (Geman-McClure weights around a weighted median).

    Parameters
    ----------
    values : (P photos, N places, C channels); weights : (P, N) >= 0; scale : residual (norm over C) at which a
        sample's weight is a quarter. share : (P,) factors per photo, applied to the final mean and total only.

    Returns
    -------
    consensus (N, C), 0 where no photo has weight; total (N,) the summed robust weight.
    """
    share = np.ones(len(values)) if share is None else share
    return _consensus(values, weights, scale, iterations, share)


@njit(cache=True, nogil=True)
def _consensus(values, weights, scale, iterations, share):
    count, places, channels = values.shape
    consensus, total = np.zeros((places, channels)), np.zeros(places)
    level, robust, order = np.empty(count, values.dtype), np.empty(count), np.empty(count, np.int64)
    for n in range(places):
        for p in range(count):  # insertion sort by level, one order for all channels
            level[p] = values[p, n].sum() / channels
            k = p
            while k > 0 and level[order[k - 1]] > level[p]:
                order[k] = order[k - 1]
                k -= 1
            order[k] = p
        whole, reached, k = weights[:, n].sum(), weights[order[0], n], 0
        if not whole > 0:
            continue
        while reached < 0.5 * whole and k + 1 < count:
            k += 1
            reached += weights[order[k], n]
        consensus[n] = values[order[k], n]
        for iteration in range(iterations + 1):
            for p in range(count):
                residual = 0.0
                for c in range(channels):
                    residual += (values[p, n, c] - consensus[n, c]) ** 2
                if iteration < iterations:
                    robust[p] = weights[p, n] / (1.0 + residual / scale**2) ** 2
                else:
                    robust[p] *= share[p]
            total[n] = robust.sum()
            for c in range(channels):
                summed = 0.0
                for p in range(count):
                    summed += robust[p] * values[p, n, c]
                consensus[n, c] = summed / max(total[n], 1e-12)
    return consensus, total


def robust_deviation(values: np.ndarray) -> np.ndarray:
    """(C,) standard deviation of values (N, C) along the first axis by the median of their distances from the
    median."""
    return 1.4826 * np.median(np.abs(values - np.median(values, axis=0)), axis=0)


def weighted_median(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(C,) medians of columns (N, C) under weights (N,)."""
    return weighted_quantile(values, weight, 0.5)


def weighted_quantile(values: np.ndarray, weight: np.ndarray, quantile: float) -> np.ndarray:
    """(C,) values at ``quantile`` (0 to 1) of columns (N, C) under weights (N,)."""
    order = np.argsort(values, axis=0, kind="stable")
    cumulative = np.cumsum(weight[order], axis=0)  # (N, C)
    index = (cumulative < quantile * cumulative[-1:]).sum(0).clip(max=len(values) - 1)
    return np.take_along_axis(values, np.take_along_axis(order, index[None], 0), 0)[0]
