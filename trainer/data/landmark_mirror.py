"""The mirror partner of each landmark, computed from the template alone, without the photo stage's dependencies."""

from __future__ import annotations

from functools import cache

import numpy as np

from backend.geometry.template import load_template


@cache
def landmark_mirror() -> np.ndarray:
    """(478,) int64: the landmark on the other side, by the template's symmetry; irises map to irises."""
    template = load_template()
    places = template.landmarks478.positions(template.vertices)
    return np.linalg.norm(places[:, None] * (-1, 1, 1) - places[None], axis=-1).argmin(1)
