"""Lowered teeth and a flattened tongue, on a finished face.

In MakeHuman's head the rows of teeth overlap too far, an open mouth hides the upper one, and the tongue stands up to
the palate. Teeth are lowered and the tongue is flattened; their keys still move them rigidly.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from backend.geometry.similarity import nearest_similarity
from backend.geometry.smoothstep import smoothstep
from backend.geometry.template import Template
from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES
from backend.rig.dental_arch import dental_arch
from backend.rig.measure import part_slice
from backend.rig.mouth_cavity import with_cavity
from backend.rig.rigid_parts import similarity_scale

_UPPER_DOWN = 0.0008
"""Metres by which the upper teeth are lowered, so that 2.4 mm of the incisors show below the lip of a mouth wide open.
A larger value shows too much gum in smiles: of 75 photographs with parted lips, a fifth show more than 2 mm of it, and
two fifths when lowered by 3.2 mm; of real people a tenth do."""
_LOWER_DOWN = 0.0025
"""Metres by which the lower teeth are lowered, so that the upper ones cover 3.3 mm of them (5 mm in hm08)."""
_TONGUE_ROOT, _TONGUE_TIP = 0.079, 0.0015
"""Distances of the tongue's root and tip behind the inner end of the lower incisors, metres."""
_KNOTS = (0.0, 0.12, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0)
"""Places from root (0) to tip (1), knots of ``_TOP`` and ``_THICK``."""
_TOP = (-20.0, -11.0, -1.5, 3.0, 2.0, -1.5, -4.0, -6.5)
"""Height of the tongue's back above the biting edge of the lower incisors, millimetres: it is highest between the
molars and falls into the throat."""
_THICK = (8.0, 11.0, 13.0, 13.0, 11.5, 8.5, 6.0, 4.0)  # millimetres
_SIDE_DROP, _FURROW, _FURROW_WIDTH = 0.0035, 0.0016, 0.0035
"""Metres by which the sides are lower than the middle, and depth and half width of the furrow between them."""


def mouth_shapes(template: Template, neutral: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neutral (V, 3) metres and keys (52, V, 3) of the face with lowered teeth, flattened tongue and mouth cavity."""
    neutral, keys = neutral.copy(), keys.copy()
    size = similarity_scale(template, neutral)
    for name, down in (("teeth_upper", _UPPER_DOWN), ("teeth_lower", _LOWER_DOWN)):
        place = part_slice(template.parts[name])
        _reshape(neutral, keys, place, neutral[place] - np.array([0.0, down * size, 0.0], np.float32))
    place = part_slice(template.parts["tongue"])
    tongue = _tongue_at_rest(template, neutral, size)
    out = neutral[place] + keys[ARKIT_INDEX["tongueOut"], place]
    _reshape(neutral, keys, place, tongue)
    keys[ARKIT_INDEX["tongueOut"], place] = out - tongue
    return with_cavity(template, neutral, keys)


def _tongue_at_rest(template: Template, neutral: np.ndarray, size: float) -> np.ndarray:
    """(T, 3) float32 vertices of the tongue between the lower teeth of ``neutral`` (V, 3)."""
    before = neutral[part_slice(template.parts["tongue"])].astype(np.float64)
    teeth = dental_arch(template, neutral, "teeth_lower", 1)
    along = (before[:, 2] - before[:, 2].min()) / np.ptp(before[:, 2])
    across = before[:, 0] - before[:, 0].mean()
    above = _relative_height(along, before[:, 1])
    top, thick = (1e-3 * size * PchipInterpolator(_KNOTS, knots)(along) for knots in (_TOP, _THICK))
    y = teeth.bite[0, 1] + top - thick * (0.5 - 0.5 * above)
    y -= size * _SIDE_DROP * (across / np.abs(across).max()) ** 2
    y -= size * _FURROW * smoothstep(0.0, 1.0, above) * np.exp(-((across / (size * _FURROW_WIDTH)) ** 2))
    back = _TONGUE_ROOT + along * (_TONGUE_TIP - _TONGUE_ROOT)
    z = teeth.inner[0, 2] - size * back
    return np.stack([teeth.middle + across, y, z], axis=1).astype(np.float32)


def _relative_height(along: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(T,) relative height of points in the tongue's thickness, from -1 at its underside to 1 on its back.

    along (T,) in [0, 1] from root to tip, y (T,) metres.
    """
    middle = y - np.polyval(np.polyfit(along, y, 3), along)
    bins = np.clip((along * 8).astype(int), 0, 7)
    highest = np.array([np.abs(middle[bins == number]).max() for number in range(8)])
    half = np.interp(along, (np.arange(8) + 0.5) / 8, highest)
    return np.clip(middle / half, -1.0, 1.0)


def _reshape(neutral: np.ndarray, keys: np.ndarray, place: slice, shape: np.ndarray) -> None:
    """Give a part a new shape (P, 3), in place; its rigid keys apply the same motion to the new shape."""
    before = neutral[place].astype(np.float64)
    for index in range(len(ARKIT_NAMES)):
        moved = keys[index, place]
        if not np.any(moved):
            continue
        found = nearest_similarity(before, before + moved, with_scale=False)
        keys[index, place] = shape @ (found.rotation - np.eye(3)).T + found.translation
    neutral[place] = shape
