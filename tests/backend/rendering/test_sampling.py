"""Samples of pictures: pixel centres, borders, many points and many channels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from backend.rendering.interpolate import (
    bilinear,
    byte_taps,
    sample_exactly,
    sample_image,
    sample_points,
    sample_texture,
    sampled_bytes,
)
from backend.system.numba_cache import njit, prange

ROWS, COLUMNS = np.mgrid[:40, :60] + 0.5
RAMP = (10.0 * ROWS + COLUMNS).astype(np.float32)
"""Its value at (x, y) is 10 y + x, between the outermost pixel centres."""
POINTS = np.random.default_rng(0).uniform((0.5, 0.5), (59.5, 39.5), (5000, 2))
VALUES = 10.0 * POINTS[:, 1] + POINTS[:, 0]


def test_all_samplers_agree_on_a_ramp() -> None:
    np.testing.assert_allclose(sample_exactly(RAMP, POINTS), VALUES, rtol=1e-6)
    assert np.abs(sample_image(RAMP, POINTS) - VALUES).max() <= 11 / 64 + 1e-3  # OpenCV's step is a 32nd of a pixel
    picture = torch.from_numpy(RAMP)[None, None].double()
    grid = torch.from_numpy(2 * POINTS / (60, 40) - 1)[None]
    np.testing.assert_allclose(sample_points(picture, grid)[0, :, 0].numpy(), VALUES, rtol=1e-6)
    uv = np.stack([POINTS[:, 0] / 60, 1 - POINTS[:, 1] / 40], -1)
    np.testing.assert_allclose(sample_texture(RAMP[..., None], uv)[:, 0], VALUES, rtol=1e-6)


def test_beyond_the_border_its_pixels_are_repeated_or_a_value_is_taken() -> None:
    away = np.array([[-20.0, -20.0], [300.0, 300.0]])
    corners = [RAMP[0, 0], RAMP[-1, -1]]
    assert sample_image(RAMP, away).tolist() == sample_exactly(RAMP, away).tolist() == corners
    assert sample_image(RAMP, away, outside=7.0).tolist() == [7.0, 7.0]


@pytest.mark.parametrize("channels", [1, 3, 4, 7])
def test_any_number_of_channels_and_points(channels: int) -> None:
    image = np.stack([RAMP + k for k in range(channels)], -1)
    for count in (0, 1, 5000):
        sampled = sample_image(image, POINTS[:count])
        assert sampled.shape == (count, channels) and sampled.dtype == np.float32
        for k in range(channels):
            assert np.array_equal(sampled[:, k], sample_image(RAMP + k, POINTS[:count]))
    assert sample_exactly(image, POINTS.reshape(50, 100, 2)).shape == (50, 100, channels)


def test_labels_are_not_mixed() -> None:
    labels = (COLUMNS > 30).astype(np.uint8) * 9
    sampled = sample_image(labels, POINTS, cv2.INTER_NEAREST)
    assert sampled.dtype == np.uint8 and set(sampled) == {0, 9}


@njit(cache=True, parallel=True, nogil=True)
def _floats_at(image, points, out):
    for i in prange(len(points)):
        for k in range(image.shape[2]):
            out[i, k] = bilinear(image, points[i, 0], points[i, 1], k)


@njit(cache=True, parallel=True, nogil=True)
def _bytes_at(image, taps, points, out):
    for i in prange(len(points)):
        out[i, 0], out[i, 1], out[i, 2] = sampled_bytes(image, taps, points[i, 0], points[i, 1])


def test_samples_in_loops_are_opencv_s_to_the_bit() -> None:
    random = np.random.default_rng(3)
    points = random.uniform(-6.0, 60.0, (20_000, 2)).astype(np.float32)
    points[:1000] = np.round(points[:1000] * 64.0) / 64.0  # half steps, which are rounded to even ones
    floats = random.standard_normal((40, 50, 3)).astype(np.float32)
    found = np.empty((len(points), 3), np.float32)
    _floats_at(floats, points, found)
    assert (found == sample_image(floats, points)).all()
    picture = random.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    for interpolation in (cv2.INTER_LINEAR, cv2.INTER_CUBIC):
        levels = np.empty((len(points), 3), np.uint8)
        _bytes_at(picture, byte_taps(interpolation), points, levels)
        assert (levels == sample_image(picture, points, interpolation)).all()
