"""Evenly spread directions on the sphere."""

from __future__ import annotations

import numpy as np


def spread_directions(count: int) -> np.ndarray:
    """(count, 3) float64 unit vectors evenly spread over the sphere (Fibonacci spiral)."""
    step = np.arange(count) + 0.5
    z = 1 - 2 * step / count
    turn = np.pi * (1 + 5**0.5) * step
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], 1)
