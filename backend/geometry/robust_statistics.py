"""Weighted and robust means, medians and quantiles."""

import numpy as np


def robust_consensus(
    values: np.ndarray,
    weights: np.ndarray,
    scale: float,
    iterations: int = 5,
    quantile: float = 0.5,
    share: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Robust mean over photos, element by element (Geman-McClure weights around a weighted median).

    Parameters
    ----------
    values : (P, N, C); weights : (P, N) >= 0; scale : residual (norm over C) at which a sample's weight is a quarter;
        quantile : start of the iteration, 0.5 for the median, more when outliers are mostly dark. share : (P,) factors
        of the photos in mean and total, which do not decide what is an outlier.

    Returns
    -------
    consensus (N, C), 0 where no photo has weight; total (N,) the summed robust weight.
    """
    order = np.argsort(values.mean(2), axis=0, kind="stable")  # one order for all channels keeps colours together
    sorted_weights = np.take_along_axis(weights, order, 0)
    cumulative = np.cumsum(sorted_weights, 0)
    pick = (cumulative < quantile * cumulative[-1:]).sum(0).clip(max=len(values) - 1)  # (N,)
    chosen = np.take_along_axis(order, pick[None], 0)[0]
    consensus = values[chosen, np.arange(values.shape[1])].astype(np.float64)  # (N, C)
    robust = weights
    for _ in range(iterations):
        residual = _squared_lengths(values - consensus[None])
        robust = weights / (1.0 + residual / scale**2) ** 2
        consensus = _weighted_mean(values, robust)
    if share is not None:
        robust = robust * share[:, None]
        consensus = _weighted_mean(values, robust)
    return np.where(weights.sum(0)[:, None] > 0, consensus, 0.0), robust.sum(0)


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N, C) mean over photos of values (P, N, C) with weights (P, N)."""
    return np.einsum("pn,pnc->nc", weights, values) / np.maximum(weights.sum(0), 1e-12)[:, None]


def _squared_lengths(vectors: np.ndarray) -> np.ndarray:
    """(P, N) squared lengths of (P, N, C), which are overwritten; twice as fast as numpy's sum over a short axis."""
    vectors *= vectors
    total = vectors[..., 0].copy()
    for channel in range(1, vectors.shape[2]):
        total += vectors[..., channel]
    return total


def weighted_median(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(C,) medians of columns (N, C) under weights (N,)."""
    return weighted_quantile(values, weight, 0.5)


def weighted_quantile(values: np.ndarray, weight: np.ndarray, quantile: float) -> np.ndarray:
    """(C,) quantiles, each in [0, 1], of columns (N, C) under weights (N,)."""
    order = np.argsort(values, axis=0, kind="stable")
    cumulative = np.cumsum(weight[order], axis=0)  # (N, C)
    index = (cumulative < quantile * cumulative[-1:]).sum(0).clip(max=len(values) - 1)
    return np.take_along_axis(values, np.take_along_axis(order, index[None], 0), 0)[0]
