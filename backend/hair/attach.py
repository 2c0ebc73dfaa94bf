"""Strands that end where the body does; evenly spread roots."""

import numpy as np
from scipy.spatial import cKDTree


def above(points: np.ndarray, height: float) -> np.ndarray:
    """Strands (G, P, 3), each cut where it first falls below a height in metres, and resampled."""
    result = points.copy()
    for guide in np.flatnonzero((points[..., 1] < height).any(1)):
        first = int((points[guide, :, 1] < height).argmax())
        if first > 0:
            above, below = points[guide, first - 1, 1], points[guide, first, 1]
            end = first - 1 + (above - height) / (above - below)
            places = np.arange(points.shape[1])
            wanted = np.linspace(0.0, end, len(places))
            result[guide] = np.stack([np.interp(wanted, places, axis) for axis in points[guide].T], 1)
    return result


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
