"""Points of the head that a user can set in a photo beyond the 478 landmarks: the ears' ends and the hairline.

Their ids continue those of the landmarks: from ``FIRST_EAR``, and from ``FIRST_HAIR`` to ``POINTS`` (exclusive).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from backend.geometry.template import load_template

LANDMARKS = 478
EAR_POINTS = ("ear top", "ear side", "ear lobe")
"""Points of each ear, left ear first: superaurale, the outermost point, subaurale."""
HAIR_DEGREES = (0.0, 20.0, -20.0, 38.0, -38.0)
"""Azimuths of the hairline's points about the vertical axis through the skull, 0 in front, positive to the person's
left: its middle, the sides of the forehead, and the corners where it recedes first."""
FIRST_EAR = LANDMARKS
FIRST_HAIR = FIRST_EAR + 2 * len(EAR_POINTS)
POINTS = FIRST_HAIR + len(HAIR_DEGREES)
_LEAST_EAR_WEIGHT = 0.6
"""Least weight of the region ``ears``, which separates the ear from the skin around it."""


@lru_cache(maxsize=1)
def ear_vertices() -> np.ndarray:
    """(6,) template vertices of ``EAR_POINTS``, left ear, then right ear: its highest vertex, the one
    farthest from the head's middle, and its lowest."""
    template = load_template()
    count = template.head.vertex_stop
    head, ears = template.vertices[:count], template.regions["ears"][:count] > _LEAST_EAR_WEIGHT
    found = []
    for side in (1.0, -1.0):
        own = np.flatnonzero(ears & (side * head[:, 0] > 0.0))
        height, away = head[own, 1], np.abs(head[own, 0])
        found += [own[height.argmax()], own[away.argmax()], own[height.argmin()]]
    return np.array(found)
