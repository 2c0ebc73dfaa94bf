"""Landmarks of the face's outline, which slide over the skin as the head turns, and the fixed ones."""

from __future__ import annotations

import numpy as np

from backend.geometry.template import Template

OUTLINE_LANDMARKS = (
    454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234,
)  # fmt: skip
"""MediaPipe's face outline from the person's left ear over the chin to the right ear."""


def usable_landmarks(template: Template) -> np.ndarray:
    """(468,) bool: landmarks with a fixed place on the template, without the sliding outline."""
    usable = template.landmarks478.valid[:468].copy()
    usable[list(OUTLINE_LANDMARKS)] = False
    return usable
