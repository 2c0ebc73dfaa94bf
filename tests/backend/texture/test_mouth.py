"""The inside of the mouth."""

from __future__ import annotations

import numpy as np

from backend.texture.parts import paint_teeth


def test_back_teeth_lie_in_the_shade() -> None:
    angle = np.linspace(-1.2, 1.2, 400)
    arch = np.stack([0.024 * np.sin(angle), 0.004 * np.cos(7 * angle), 0.045 * np.cos(angle)], 1).astype(np.float32)
    colours = paint_teeth(arch, upper=False).mean(1)
    front, back = np.abs(angle) < 0.4, np.abs(angle) > 1.1
    assert np.median(colours[back]) < 0.6 * np.median(colours[front])
