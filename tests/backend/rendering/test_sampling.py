"""Samples of pictures: pixel centres, borders, many points and many channels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from backend.rendering.interpolate import sample_exactly, sample_image, sample_points, sample_texture

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
