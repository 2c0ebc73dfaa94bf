"""Which landmark lies on the other side of the face: for machines without what the photo stage needs."""

from __future__ import annotations

from functools import cache

import numpy as np

from backend.geometry.template import load_template


@cache
def landmark_mirror() -> np.ndarray:
    """(478,) int64: the landmark of the other side, by the template's symmetry; irises are irises' partners."""
    template = load_template()
    places = template.landmarks478.positions(template.vertices)
    return np.linalg.norm(places[:, None] * (-1, 1, 1) - places[None], axis=-1).argmin(1)
