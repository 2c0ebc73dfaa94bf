"""The second look at the face finds what is thinner than a pixel of the first, in its place, and nowhere else."""

from __future__ import annotations

import cv2
import numpy as np
from mean_face import mean_face

from backend.models.parsing.network import class_probabilities

SIDE = 512


class _Reddish:
    """In the place of a net of 64 px: class 4 where a pixel is more red than not, else class 1."""

    size = 64

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        small = cv2.resize(pixels, (self.size, self.size), interpolation=cv2.INTER_AREA)
        red = (small[..., 0] > 150).astype(np.float32)
        return np.stack([0 * red, 1 - red, 0 * red, 0 * red, red])


def _whole(pixels: np.ndarray) -> np.ndarray:
    """(5, SIDE, SIDE) the look at the whole crop, enlarged."""
    return np.stack([cv2.resize(channel, (SIDE, SIDE)) for channel in _Reddish().probabilities(pixels)])


def test_a_thin_line_across_the_face_is_found_where_it_is() -> None:
    pixels = np.full((SIDE, SIDE, 3), 60, np.uint8)
    pixels[250:253, 180:330] = (255, 0, 0)
    landmarks = mean_face(200.0, (256.0, 270.0))[:, :2]
    alone = _whole(pixels).argmax(0)
    both = class_probabilities(_Reddish(), pixels, landmarks).argmax(0)
    assert not (alone == 4).any()
    rows, columns = np.nonzero(both == 4)
    assert abs(rows.mean() + 0.5 - 251.5) < 2.0
    assert 175 < columns.min() < 190 and 320 < columns.max() < 335


def test_far_from_the_face_only_the_whole_counts() -> None:
    pixels = np.full((SIDE, SIDE, 3), 60, np.uint8)
    pixels[20:60] = (255, 0, 0)
    pixels[480:483] = (255, 0, 0)
    landmarks = mean_face(200.0, (256.0, 270.0))[:, :2]
    found = class_probabilities(_Reddish(), pixels, landmarks)
    np.testing.assert_array_equal(found[:, :60], _whole(pixels)[:, :60])


def test_a_mirror_image_is_mirrored_back() -> None:
    pixels = np.full((SIDE, SIDE, 3), 60, np.uint8)
    pixels[200:300, 200:240] = (255, 0, 0)
    found = class_probabilities(_Reddish(), pixels, mean_face(220.0, (256.0, 256.0))[:, :2]).argmax(0) == 4
    columns = np.flatnonzero(found[250])
    assert abs(columns.min() - 200) < 5 and abs(columns.max() - 239) < 5


def test_a_face_that_reaches_out_of_the_crop_keeps_probabilities() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    for centre in ((5.0, 90.0), (48.0, 48.0), (-300.0, 10.0)):
        found = class_probabilities(_Reddish(), pixels, mean_face(150.0, centre)[:, :2])
        assert found.shape == (5, 96, 96)
        np.testing.assert_allclose(found.sum(0), 1.0, atol=1e-5)
