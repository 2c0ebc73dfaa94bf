import io

import numpy as np
import pytest
from PIL import Image

from backend.rendering.color import linear_from_srgb, srgb_from_linear
from trainer.heads.raytrace import Film, develop, jpeg_bytes, scatter


def test_srgb_there_and_back():
    values = np.linspace(0, 1, 101)
    np.testing.assert_allclose(srgb_from_linear(linear_from_srgb(values)), values, atol=1e-6)
    assert srgb_from_linear(np.array(0.214))[()] == pytest.approx(0.5, abs=2e-3)


def test_exposure_and_white_balance_act_on_linear_light():
    film = Film(exposure=2.0, white_balance=(1.0, 0.5, 0.0), noise=0, blur=0)
    picture = develop(np.full((4, 4, 3), 0.107), film, np.random.default_rng(0))
    expected = np.round(255 * srgb_from_linear(np.array([0.214, 0.107, 0])))
    assert (picture == expected).all()


def test_highlights_roll_off_instead_of_clipping_hard():
    film = Film(noise=0, blur=0)
    picture = develop(np.array([[[0.8, 1.0, 3.0]]]), film, np.random.default_rng(0))[0, 0].astype(int)
    assert picture[0] < picture[1] < picture[2] <= 255


def test_noise_has_the_asked_strength_in_the_dark():
    film = Film(noise=0.01, blur=0)
    light = np.full((64, 64, 3), 0.2)
    seen = linear_from_srgb(develop(light, film, np.random.default_rng(0)) / 255)
    assert seen.std() == pytest.approx(0.01 + 0.03 * np.sqrt(0.2), rel=0.15)


def test_a_jpeg_says_nothing_about_the_camera():
    data = jpeg_bytes(np.full((16, 16, 3), 120, np.uint8), 90)
    assert len(Image.open(io.BytesIO(data)).getexif()) == 0


def test_light_spreads_under_skin_more_in_red_and_not_across_depth():
    light = np.zeros((41, 81, 3), np.float32)
    light[:, :40] = 1.0
    depth, cover = np.full((41, 81), 0.5, np.float32), np.ones((41, 81), np.float32)
    focal = 2000.0  # 0.25 mm a pixel
    soft = scatter(light, depth, cover, np.ones((41, 81)), focal)
    assert soft[20, 43, 0] > soft[20, 43, 2] + 0.05
    hard = scatter(light, depth, cover, np.zeros((41, 81)), focal)
    assert hard[20, 43].max() < 0.01
    step = depth.copy()
    step[:, 40:] += 0.1  # another surface far behind
    assert scatter(light, step, cover, np.ones((41, 81)), focal)[20, 41].max() < 0.01
