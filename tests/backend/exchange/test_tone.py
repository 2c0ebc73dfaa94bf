"""The texture's tone beside the fit's, and hair that is brought to it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "hair"))
from made_strands import made_strands

from backend.exchange.face_asset import FaceAsset
from backend.exchange.preview import tone_change
from backend.rendering.color import linear_from_srgb


def test_a_texture_half_as_bright_as_the_fits_albedo(hand_made_asset: FaceAsset) -> None:
    count = len(hand_made_asset.part("head").vertices)
    pixels = np.full((64, 64, 3), (137, 120, 99), np.uint8)
    asset = replace(hand_made_asset, albedo=pixels)
    fitted = np.tile(2 * linear_from_srgb(pixels[0, 0]), (count, 1))
    shown = np.zeros(count)
    shown[: count // 2] = 1.0
    fitted[count // 2 :] = 0.9  # where no photo looks, the fit's albedo counts nothing
    np.testing.assert_allclose(tone_change(asset, fitted, shown), 0.5, rtol=1e-5)


def test_hair_is_recoloured_and_stays_an_albedo() -> None:
    strands = made_strands(50)
    darker = strands.recoloured(np.array([0.5, 0.5, 0.25]))
    np.testing.assert_allclose(darker.root_colour, strands.root_colour * [0.5, 0.5, 0.25], rtol=1e-5)
    np.testing.assert_allclose(darker.tip_colour, strands.tip_colour * [0.5, 0.5, 0.25], rtol=1e-5)
    assert strands.recoloured(np.full(3, 1e4)).root_colour.max() == pytest.approx(1.0)
    np.testing.assert_array_equal(darker.points, strands.points)
