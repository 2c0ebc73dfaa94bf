"""The key ``tongueOut``: the tongue comes out over this face's own lower lip and hangs down in front of it.

A key moves every vertex on a straight line, so a hanging tongue must also pass over the lip on its way out. Only its
last part bends down, and the lips part as far as its thickness needs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.interpolate import PchipInterpolator

from backend.geometry.polyline import arc_length
from backend.geometry.smoothstep import smoothstep
from backend.geometry.template import Template
from backend.rig.measure import lower_lip, part_slice
from backend.rig.rigid_parts import similarity_scale

MOUTH_OPENING_WEIGHTS = {"jawOpen": 0.25, "mouthLowerDownLeft": 0.25, "mouthLowerDownRight": 0.25}
"""Weights of the keys inside ``tongueOut`` that open the mouth: the biting edges of the front teeth overlap by 5 mm,
and the tongue needs another 5 mm between them."""
TIP_PROTRUSION_METRES = 0.0195
"""Metres from the lower lip to the tip; this and the other lengths scale with the mouth's parts."""
TIP_DROP_METRES = 0.0095
"""Metres by which the middle of the tip hangs below the lip's upper edge."""
TONGUE_HEIGHT_METRES = 0.0055
"""Height in metres of the tongue's middle line above the lip's upper edge."""
CURL = 0.011
"""Distance in metres in front of the lip at which the tongue begins to bend down."""
_BEHIND_LIP = 0.014
"""Distance in metres behind the lip at which it reaches that height, because the lower front teeth are beneath it."""
GROOVE, GROOVE_WIDTH = 0.0014, 0.0035
"""Depth and half width in metres of the groove along its middle."""
_WIDTH_FACTORS = ((0.0, 0.3, 0.75, 0.93, 0.98, 1.0), (1.0, 1.05, 1.33, 1.44, 1.30, 1.05))
"""Factor on its width at places along it (0 root, 1 tip): broad, with a round end."""
_THICKNESS_FACTOR = 0.95
_TIP_CURVATURE = 12.0
"""Curvature of the end, per metre: it draws back by this times the square of the distance from the middle."""
_STRETCH_EXPONENT = 1.4
"""Exponent of the lengthening along the tongue: the front stretches more than the root."""


def tongue_out_key(template: Template, neutral: np.ndarray, keys: Mapping[str, np.ndarray]) -> np.ndarray:
    """Offsets (V, 3) in metres of ``tongueOut`` for the face ``neutral`` (V, 3).

    ``keys`` (name -> (V, 3) of this face) are those of ``MOUTH_OPENING_WEIGHTS``, teeth included.
    """
    offsets = np.zeros(neutral.shape)
    for name, weight in MOUTH_OPENING_WEIGHTS.items():
        offsets += weight * keys[name]
    place = part_slice(template.parts["tongue"])
    offsets[place] = _out_of_the_mouth(template, neutral.astype(np.float64), offsets) - neutral[place]
    return offsets


def _out_of_the_mouth(template: Template, neutral: np.ndarray, make_way: np.ndarray) -> np.ndarray:
    """(T, 3) vertices of the tongue outside the mouth."""
    size = similarity_scale(template, neutral)
    top, front = lower_lip(template, neutral + make_way)
    rest = neutral[part_slice(template.parts["tongue"])]
    root, tip = rest[:, 2].min(), rest[:, 2].max()
    along = (rest[:, 2] - root) / (tip - root)
    bent = np.polyfit(along, rest[:, 1], 3)
    middle = np.polyval(bent, along)

    knots = np.array(
        [
            [root, np.polyval(bent, 0.0)],
            [root + 0.3 * (tip - root), np.polyval(bent, 0.3)],
            [top[2] - size * _BEHIND_LIP, top[1] + size * TONGUE_HEIGHT_METRES],
            [top[2] + size * 0.002, top[1] + size * TONGUE_HEIGHT_METRES],
            [front + size * CURL, top[1] + size * 0.75 * TONGUE_HEIGHT_METRES],
            [front + size * TIP_PROTRUSION_METRES, top[1] - size * TIP_DROP_METRES],
        ]
    )
    steps = arc_length(knots)
    line = PchipInterpolator(steps, knots)
    length = tip - root
    grown = smoothstep(0.0, 0.6, along)
    across = (rest[:, 0] - rest[:, 0].mean()) * PchipInterpolator(*_WIDTH_FACTORS)(along)
    places = length * along + (steps[-1] - length) * along**_STRETCH_EXPONENT
    places = places - _TIP_CURVATURE / size * across**2 * smoothstep(0.6, 1.0, along)
    ahead = line.derivative()(places)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    above = (rest[:, 1] - middle) * (1.0 + (_THICKNESS_FACTOR - 1.0) * grown)
    upper = smoothstep(0.0, size * 0.003, above)
    groove = upper * np.exp(-((across / (size * GROOVE_WIDTH)) ** 2))
    above = above - size * GROOVE * grown * groove
    centre = line(places)  # (T, 2) z, y
    y, z = centre[:, 1] + above * ahead[:, 0], centre[:, 0] - above * ahead[:, 1]
    return np.stack([rest[:, 0].mean() + across, y, z], axis=1)
