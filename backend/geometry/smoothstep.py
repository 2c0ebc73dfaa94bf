"""Smooth ramps."""

from __future__ import annotations

import numpy as np


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between (``low`` may exceed ``high``)."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    rising = 3.0 - 2.0 * t
    rising *= t
    rising *= t
    return rising
