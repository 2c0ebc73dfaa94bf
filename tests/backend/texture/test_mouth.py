"""The inside of the mouth."""

from __future__ import annotations

import numpy as np

from backend.geometry.template import load_template
from backend.texture.parts import ENAMEL, paint_teeth


def test_back_teeth_lie_in_the_shade() -> None:
    angle = np.linspace(-1.2, 1.2, 400)
    arch = np.stack([0.024 * np.sin(angle), 0.004 * np.cos(7 * angle), 0.045 * np.cos(angle)], 1).astype(np.float32)
    places = np.stack([0.035 * np.abs(angle), np.full(400, 0.004)], 1)
    colours = paint_teeth(arch, places, load_template().sculpture.tooth_profile[1]).mean(1)
    front, back = np.abs(angle) < 0.4, np.abs(angle) > 1.1
    assert np.median(colours[back]) < 0.6 * np.median(colours[front])


def test_crowns_are_enamel_and_red_gum_stands_above_and_between_them() -> None:
    profile = load_template().sculpture.tooth_profile[0]
    arc, height = (one.ravel() for one in np.meshgrid(np.linspace(0.0, 0.014, 281), np.linspace(0.0, 0.015, 151)))
    points = np.stack([arc, height, np.zeros(len(arc))], 1)
    colours = paint_teeth(points, np.stack([arc, height], 1), profile)
    red = (colours[:, 0] > 1.8 * colours[:, 1]).reshape(151, 281)
    middle, side = 85, 170  # of the first incisor, 8.5 mm wide
    crown = [int(red[:, column].argmax()) * 1e-4 for column in (middle, side)]
    assert abs(crown[0] - 0.010) < 0.0005 and crown[1] < 0.7 * crown[0]
    clean = colours.reshape(151, 281, 3)[50, middle - 20 : middle + 20]
    np.testing.assert_allclose(clean.mean(0), ENAMEL, rtol=0.08)
