"""LAP on real portraits: what the landmark fit says of them, and how depths are compared."""

from __future__ import annotations

import numpy as np
import pytest

from backend.fitting.landmark_targets import landmark_model
from backend.geometry.template import load_template
from trainer.methods.lap.evaluate import (
    LandmarkDepth,
    PortraitErrors,
    degrees,
    depth_correlation,
    fitted_depth,
    portrait_figures,
)

SIZE = 128


def drawn_landmarks(yaw_degrees: float) -> np.ndarray:
    """(478, 2) pixels of the mean face, turned, 1.5 m before a camera."""
    template = load_template()
    points = template.landmarks478.positions(template.vertices).astype(np.float64)
    points -= points.mean(0)
    angle = np.radians(yaw_degrees)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    seen = points @ turn.T * [1, -1, -1] + [0, 0, 1.5]
    return (seen[:, :2] / seen[:, 2:] * 900 + SIZE / 2).astype(np.float32)


@pytest.mark.parametrize("yaw", [-30.0, 0.0, 25.0])
def test_the_fit_knows_where_the_nose_points(yaw: float) -> None:
    template = load_template()
    marks = fitted_depth(template, landmark_model(template), drawn_landmarks(yaw), SIZE)
    found, pitch = degrees(marks.forward)
    assert found == pytest.approx(yaw, abs=6.0) and abs(pitch) < 12
    if yaw:
        side = marks.pixels[:, 0] > np.median(marks.pixels[:, 0])
        assert (marks.depth[side].mean() < marks.depth[~side].mean()) == (yaw < 0), "the cheek turned to us is nearer"


def test_correlation_is_one_for_the_fits_own_depth_and_less_than_nothing_for_a_hollow_face() -> None:
    y, x = np.mgrid[:64, :64] + 0.5
    dome = 1 + 1e-4 * ((x - 32) ** 2 + (y - 32) ** 2)
    pixels = np.random.default_rng(0).uniform(20, 108, (200, 2))
    marks = LandmarkDepth(pixels, 1 + 1e-4 * ((pixels / 2 - 32) ** 2).sum(1), np.array([0, 0, -1.0]))
    shown = np.ones((64, 64), bool)
    assert depth_correlation(dome, shown, marks, SIZE) > 0.999
    assert depth_correlation(2 - dome, shown, marks, SIZE) < -0.999
    assert np.isnan(depth_correlation(dome, shown & (x < 12), marks, SIZE)), "too little of the face is shown"


def test_figures_count_what_is_missing_and_what_is_inside_out() -> None:
    turns = np.array([10.0, -20.0, 5.0, 30.0])
    errors = PortraitErrors(np.array([0.9, -0.2, np.nan, 0.8]), turns * 0 + 2, turns * 0, turns, turns)
    figures = portrait_figures(errors)
    assert figures["portraits.negative"] == 1 and figures["portraits.no_figure"] == 1
    assert figures["portraits.correlation"] == pytest.approx(0.8) and figures["portraits.correlation.least"] == -0.2
    assert figures["portraits.yaw"] == pytest.approx(1) and figures["portraits.yaw.lean"] == pytest.approx(2)
