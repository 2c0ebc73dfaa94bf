"""Teeth that show and a tongue that lies in its bed, on a finished face.

MakeHuman's upper teeth end so little below the upper lip that an open mouth hides them, and its tongue stands up to the
palate like a wall. The teeth are lowered and the tongue is flattened; their keys move them as before.
"""

from __future__ import annotations

import numpy as np

from backend.geometry.similarity import nearest_similarity
from backend.geometry.template import Template
from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES
from backend.rig.measure import part_slice
from backend.rig.rigid_parts import similarity_scale

_UPPER_DOWN = 0.0032
"""Metres by which the upper teeth are lowered: with a mouth wide open 4 to 5 mm of the incisors are below the lip;
hm08's are 1.5 mm, which a camera in front of the eyes does not see."""
_LOWER_DOWN = 0.0020
"""Metres by which the lower teeth are lowered: of an open mouth they show 5 mm above the lip."""
_FLATTENED = 0.55  # of a tongue's height above its own level, where it stands highest
_LEVEL = 0.45  # of its height, from below: what lies above is pressed down
_SUNK = 0.0022  # metres by which all of it lies lower, with the teeth around it


def mouth_shapes(template: Template, neutral: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neutral (V, 3) metres and keys (52, V, 3) of a face with its teeth lowered and its tongue flattened."""
    neutral, keys = neutral.copy(), keys.copy()
    size = similarity_scale(template, neutral)
    for name, down in (("teeth_upper", _UPPER_DOWN), ("teeth_lower", _LOWER_DOWN)):
        place = part_slice(template.parts[name])
        _reshape(neutral, keys, place, neutral[place] - np.array([0.0, down * size, 0.0], np.float32))
    place = part_slice(template.parts["tongue"])
    tongue = neutral[place].copy()
    low, high = tongue[:, 1].min(), tongue[:, 1].max()
    level = low + _LEVEL * (high - low)
    tongue[:, 1] = np.where(tongue[:, 1] > level, level + (1.0 - _FLATTENED) * (tongue[:, 1] - level), tongue[:, 1])
    tongue[:, 1] -= _SUNK * size
    out = neutral[place] + keys[ARKIT_INDEX["tongueOut"], place]
    _reshape(neutral, keys, place, tongue)
    keys[ARKIT_INDEX["tongueOut"], place] = out - tongue
    return neutral, keys


def _reshape(neutral: np.ndarray, keys: np.ndarray, place: slice, shape: np.ndarray) -> None:
    """Give a part another shape (P, 3), in place; its rigid keys turn that about the same points."""
    before = neutral[place].astype(np.float64)
    for index in range(len(ARKIT_NAMES)):
        moved = keys[index, place]
        if not np.any(moved):
            continue
        found = nearest_similarity(before, before + moved, with_scale=False)
        keys[index, place] = shape @ (found.rotation - np.eye(3)).T + found.translation
    neutral[place] = shape
