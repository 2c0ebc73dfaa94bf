"""Pictures as PNG files: any reader gets the same pixels back, in the order of their channels."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from backend.exchange.buffers import png_bytes


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
