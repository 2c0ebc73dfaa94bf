"""The camera before a head."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.template.pictures import portrait_camera

TARGET = np.array([0.0, 0.7, 0.05])


def test_the_target_is_in_the_middle_and_the_span_fills_the_picture() -> None:
    camera = portrait_camera(TARGET, 0.0, 200, span=0.3, distance=1.2)
    assert camera.project(TARGET) == pytest.approx([100.0, 100.0, 1.2])
    left, above = camera.project(TARGET + np.array([[0.15, 0.0, 0.0], [0.0, 0.15, 0.0]]))
    assert left[:2] == pytest.approx([200.0, 100.0])  # the person's left is picture right
    assert above[:2] == pytest.approx([100.0, 0.0])


def test_turned_to_its_left_the_nose_moves_to_picture_right() -> None:
    nose = TARGET + np.array([0.0, 0.0, 0.1])
    assert portrait_camera(TARGET, 40.0, 200).project(nose)[0] > 110.0
