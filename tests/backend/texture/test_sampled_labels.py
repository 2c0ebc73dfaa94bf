"""Labels at texels that are finer than pixels: borders without steps."""

import numpy as np
import pytest

from backend.photos.collection import FaceClass
from backend.texture.unwrap import sample_labels

SLOPE, START = 0.37, 20.0


def beyond(positions: np.ndarray) -> np.ndarray:
    """Signed pixels from a slanting hair line."""
    return (positions[..., 0] + SLOPE * positions[..., 1] - START) / np.hypot(1.0, SLOPE)


@pytest.mark.parametrize(("side", "enlarged"), [(128, 1), (512, 4)])
def test_a_slanting_border_is_straight_between_the_pixels(side: int, enlarged: int) -> None:
    centres = np.stack(np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5), -1)
    labels = np.where(beyond(centres) > 0, np.uint8(FaceClass.HAIR), np.uint8(FaceClass.SKIN))
    labels = labels.repeat(enlarged, 0).repeat(enlarged, 1)
    positions = np.random.default_rng(0).uniform(3, 50, (20_000, 2)).astype(np.float32)
    found = sample_labels(labels, positions * np.float32(enlarged))
    distance = beyond(positions)
    assert np.abs(distance[(found == FaceClass.HAIR) != (distance > 0)]).max(initial=0.0) < 0.3


def test_labels_that_are_rare_or_missing_are_no_trouble() -> None:
    labels = np.full((32, 32), FaceClass.SKIN, np.uint8)
    labels[16, 16] = FaceClass.EYES
    found = sample_labels(labels, np.array([[16.5, 16.5], [1.0, 1.0], [40.0, -3.0]], np.float32))
    assert found[1] == found[2] == FaceClass.SKIN
