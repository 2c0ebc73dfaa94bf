"""``tongueOut``: the tongue slides forward along a curve that leads through the parted lips."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.interpolate import PchipInterpolator

from backend.geometry.template import Template
from backend.rig.face_loops import face_loops
from backend.rig.measure import part_slice

BEYOND_LIPS = 0.014
"""Metres by which the tip stands out of the lips."""
DROOP = 0.009
"""Metres by which the tip hangs below the middle of the opening."""
LIPS_PART = {
    "mouthLowerDownLeft": 0.55, "mouthLowerDownRight": 0.55, "mouthUpperUpLeft": 0.35, "mouthUpperUpRight": 0.35,
}  # fmt: skip
"""Weights of the keys by which the lips make way."""
_FILL = 0.95
"""Share of the opening's height that the tongue takes."""


def tongue_out(template: Template, keys: Mapping[str, np.ndarray]) -> np.ndarray:
    """Offsets (V, 3) in metres of ``tongueOut``, from the keys (name -> (V, 3)) that part the lips."""
    offsets = np.zeros(template.vertices.shape)
    for name, weight in LIPS_PART.items():
        offsets += weight * keys[name]
    neutral = template.vertices.astype(np.float64)
    mouth = face_loops(template).mouth
    posed = (neutral + offsets)[mouth.rows[mouth.contact - 1 : mouth.contact + 2]]  # (3, 38, 3)
    upper = posed[:, mouth.upper[len(mouth.upper) // 2]]
    lower = posed[:, mouth.lower[len(mouth.lower) // 2]]
    top, bottom = upper[:, 1].min(), lower[:, 1].max()
    height, depth = 0.5 * (top + bottom), 0.5 * (upper[:, 2].max() + lower[:, 2].max())

    place = part_slice(template.parts["tongue"])
    tongue = neutral[place]
    root, tip = tongue[:, 2].min(), tongue[:, 2].max()
    along = (tongue[:, 2] - root) / (tip - root)
    middle = np.polyval(np.polyfit(along, tongue[:, 1], 3), along)
    slid = tongue[:, 2] + (depth + BEYOND_LIPS - tip) * along**1.3
    ends = np.polyval(np.polyfit(along, tongue[:, 1], 3), [0.0, 0.6])
    line = PchipInterpolator(
        [root, depth - 0.030, depth - 0.006, depth, depth + BEYOND_LIPS],
        [ends[0], 0.6 * ends[1] + 0.4 * height, height, height, height - DROOP],
    )
    front = along > 0.6
    thickness = 2.0 * np.abs(tongue[front, 1] - middle[front]).max()
    flat = 1.0 - (1.0 - min(1.0, _FILL * (top - bottom) / thickness)) * np.clip(along / 0.6, 0.0, 1.0)
    moved = np.stack([tongue[:, 0], line(slid) + flat * (tongue[:, 1] - middle), slid], axis=1)
    offsets[place] = moved - tongue
    return offsets
