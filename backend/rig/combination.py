"""Weights that do not fight each other: a linear rig adds keys up, faces do not."""

from __future__ import annotations

import numpy as np

from backend.geometry.template import Template
from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES, LIDS
from backend.rig.measure import lid_openings


def lid_closings(template: Template) -> np.ndarray:
    """(2, 52) share of the eye's opening that each key at weight 1 closes on the left and the right eye.

    Negative for keys that open it wider; a blink is about 1.
    """
    closings = np.zeros((2, len(ARKIT_NAMES)))
    for eye in (0, 1):
        opened = lid_openings(template, template.vertices, eye)[1].mean()
        for index, offsets in enumerate(template.expressions):
            closings[eye, index] = 1.0 - lid_openings(template, template.vertices + offsets, eye)[1].mean() / opened
    return np.where(np.abs(closings) < 0.01, 0.0, closings)


def compatible_weights(weights: np.ndarray, closings: np.ndarray) -> np.ndarray:
    """Weights (..., 52) with which lids do not cross and lips do not.

    A blink takes only what the other keys leave of the opening: with ``eyeLookDown`` or ``eyeSquint`` up, less of it
    shuts the eye. ``mouthClose`` corrects ``jawOpen`` and is never more than it.

    ``closings`` (2, 52) as from ``lid_closings``. All other weights stay as they are.
    """
    limited = np.array(weights, dtype=np.float64)
    for eye, blink in enumerate(LIDS):
        others = closings[eye].copy()
        others[LIDS] = 0.0
        left_over = np.maximum(0.0, 1.0 - np.maximum(0.0, limited @ others)) / closings[eye, blink]
        limited[..., blink] = np.minimum(limited[..., blink], left_over)
    close, jaw = ARKIT_INDEX["mouthClose"], ARKIT_INDEX["jawOpen"]
    limited[..., close] = np.minimum(limited[..., close], limited[..., jaw])
    return limited
