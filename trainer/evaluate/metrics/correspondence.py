"""Errors between corresponding points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.geometry.similarity import nearest_similarity


@dataclass(frozen=True)
class VertexError:
    """Millimetres: mean and median."""

    mean: float
    median: float


def per_vertex_error(
    predicted: np.ndarray, true: np.ndarray, align: bool = True, chosen: np.ndarray | None = None
) -> VertexError:
    """Distances of corresponding points (V, 3), metres, with ``align`` after the least-squares similarity of
    ``predicted`` onto ``true``. ``chosen`` (V,) bool or ids restricts both alignment and measure."""
    if chosen is not None:
        predicted, true = predicted[chosen], true[chosen]
    if align:
        predicted = nearest_similarity(predicted, true).apply(predicted)
    distance = np.linalg.norm(predicted - true, axis=1) * 1000
    return VertexError(float(distance.mean()), float(np.median(distance)))


def landmark_nme(predicted: np.ndarray, true: np.ndarray, reference: float) -> float:
    """Normalised mean error: mean distance of landmarks (L, 2) or (L, 3) relative to ``reference`` (usually the
    distance of the outer eye corners), in per cent."""
    if reference <= 0:
        raise ValueError("the reference length must be positive")
    return float(np.linalg.norm(predicted - true, axis=1).mean() / reference * 100)
