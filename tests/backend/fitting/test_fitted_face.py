"""What the fit says about a photo of which it doubts the landmarks."""

from __future__ import annotations

import numpy as np
import pytest

from backend.fitting.fitted_face import FittedPhoto
from backend.rendering.camera import Camera


@pytest.mark.parametrize(("error", "doubted"), [(1.5, False), (3.6, False), (4.6, True), (13.0, True)])
def test_landmarks_three_times_as_far_off_as_usual_are_told(error: float, doubted: bool) -> None:
    camera = Camera(np.eye(3), np.eye(4), (1, 1))
    photo = FittedPhoto("a", camera, np.zeros(52), np.zeros((0, 3)), np.zeros((9, 3)), error, 0.0)
    assert bool(photo.doubt) == doubted
    assert not doubted or f"{error:.0f} %" in photo.doubt
