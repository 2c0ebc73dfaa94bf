"""Strands that end where the body does; evenly spread roots."""

import numpy as np
from scipy.spatial import cKDTree

from backend.hair.hair_strands import shortened


def above(points: np.ndarray, height: float) -> np.ndarray:
    """Strands (G, P, 3), each cut where it first falls below a height in metres, and resampled."""
    over = points[..., 1] - height
    last = np.maximum((np.pad(over, ((0, 0), (0, 1)), constant_values=-1.0) < 0).argmax(1) - 1, 0)
    row, next_ = np.arange(len(points)), np.minimum(last + 1, points.shape[1] - 1)
    share = over[row, last] / np.maximum(over[row, last] - over[row, next_], 1e-9)
    end = np.minimum((last + np.clip(share, 0, 1)) / (points.shape[1] - 1), 1)
    return shortened(points, np.where(over[:, 0] < 0, 1, end))


def apart(places: np.ndarray, spacing: float) -> np.ndarray:
    """Numbers of places (N, 3), taken in random order, that are ``spacing`` from each other and close to none else."""
    order = np.random.default_rng(1).permutation(len(places))
    tree = cKDTree(places)
    free, chosen = np.ones(len(places), bool), []
    for number in order:
        if free[number]:
            chosen.append(number)
            free[tree.query_ball_point(places[number], spacing)] = False
    return np.array(chosen, int)
