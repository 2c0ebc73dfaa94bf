"""How far away a face is, and with that the focal length, by how strong its perspective is."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

FOCAL_STEPS = (0.4, 0.55, 0.75, 1.0, 1.35, 1.8, 2.5)
"""Focal lengths that are tried, relative to what is believed before."""
SHOWN_PERSPECTIVE, USUAL_METRES = 0.75, 1.4
"""A net that errs as little as it can stays near the usual distance where it is unsure: its points show so much of a
face's nearness (1 / distance), and for the rest that of a face so far away. Found on 20 clips of people that are not in
the evaluation; errors of the logarithm of the focal length there: 0.37 before, 0.34 without this, 0.29 with it."""
FRAMES_WORTH = 1.6
"""How many pictures' landmarks count in full beside the prior, however many there are: the net errs alike in all."""


def most_likely_focal(costs: np.ndarray, metres: float, log_deviation: float) -> float:
    """The likeliest focal length, relative to what is believed before.

    Parameters
    ----------
    costs : (S,) mean cost of a picture's landmarks at each of ``FOCAL_STEPS``. metres : the face's distance at step 1.
    log_deviation : how well the focal length is known before, in natural logarithms.
    """
    steps = np.log(FOCAL_STEPS)
    candidates = np.linspace(steps[0], steps[-1], 200)
    true = metres * np.exp(candidates)
    shown = 1.0 / (SHOWN_PERSPECTIVE / true + (1.0 - SHOWN_PERSPECTIVE) / USUAL_METRES)
    seen_as = np.clip(candidates + np.log(shown / true), steps[0], steps[-1])
    cost = FRAMES_WORTH * CubicSpline(steps, costs)(seen_as) + 0.5 * (candidates / log_deviation) ** 2
    return float(np.exp(candidates[cost.argmin()]))
