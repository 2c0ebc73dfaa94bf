"""Gloss on skin: told from pigment by its colour, taken out where it brightens."""

from __future__ import annotations

import numpy as np

from backend.geometry.surface_fields import SurfaceOperators, surface_operators
from backend.texture.delighting import gloss

DARK = np.array([0.22, 0.095, 0.053])


def _skin() -> tuple[np.ndarray, SurfaceOperators]:
    """A sheet of ten centimetres: (V, 2) places in it, 0 to 1, and its operators."""
    side = np.linspace(0.0, 1.0, 41)
    x, y = (grid.ravel() for grid in np.meshgrid(side, side))
    corner = (np.arange(40)[:, None] * 41 + np.arange(40)).ravel()
    triangles = np.concatenate(
        [np.stack([corner, corner + 1, corner + 41], 1), np.stack([corner + 1, corner + 42, corner + 41], 1)]
    )
    return np.stack([x, y], 1), surface_operators(0.1 * np.stack([x, y, 0 * x], 1), triangles)


def test_a_grey_forehead_gets_the_colour_of_the_cheeks() -> None:
    place, operators = _skin()
    mirrored = 0.045 * (place[:, 1] > 0.7)
    found = gloss(np.log(DARK + mirrored[:, None]), np.ones(len(place)), operators)
    matt = np.log(DARK + mirrored[:, None]) - found
    shining, dull = place[:, 1] > 0.85, place[:, 1] < 0.4
    assert np.abs(matt[shining] - np.log(DARK)).max() < 0.08
    assert found[dull].max() < 0.02


def test_pigment_shade_and_stubble_stay() -> None:
    """Paler skin of the same hue, shade, blood and the bluish shadow of a beard are no gloss."""
    place, operators = _skin()
    skin = np.broadcast_to(np.log(DARK), (len(place), 3)).copy()
    skin[place[:, 1] > 0.75] += 0.3
    skin[place[:, 1] < 0.25] += [-0.5, -0.45, -0.3]
    skin[(place[:, 0] < 0.2) & (place[:, 1] > 0.4)] -= 0.4 * np.array([0.10, 0.42, 0.34])
    assert gloss(skin, np.ones(len(place)), operators).max() < 0.02


def test_nothing_seen_says_nothing() -> None:
    place, operators = _skin()
    assert not gloss(np.zeros((len(place), 3)), np.zeros(len(place)), operators).any()
