"""Pictures as PNG files, and the tone of a texture and of hair beside the fit's."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from backend.exchange.buffers import png_bytes

sys.path.append(str(Path(__file__).parents[1] / "hair"))
from made_strands import made_strands

from backend.exchange.face_asset import FaceAsset
from backend.exchange.preview import tone_change
from backend.rendering.color import linear_from_srgb


@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_another_reader_sees_the_same_pixels(channels: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (7, 11, *channels), np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(png_bytes(pixels)))) == pixels).all()
    assert png_bytes(pixels) == png_bytes(pixels)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_sixteen_bits_stay_sixteen_bits(channels: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(2).integers(0, 65536, (5, 4, *channels), np.uint16)
    back = cv2.imdecode(np.frombuffer(png_bytes(pixels), np.uint8), cv2.IMREAD_UNCHANGED)
    assert back.dtype == np.uint16
    assert (back == (pixels[..., ::-1] if channels else pixels)).all()


def test_a_view_into_a_larger_picture_is_written_as_it_looks() -> None:
    large = np.random.default_rng(3).integers(0, 256, (20, 30, 4), np.uint8)
    part = large[3:9, 5:25:2, :3]
    assert (np.asarray(Image.open(io.BytesIO(png_bytes(part)))) == part).all()


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
