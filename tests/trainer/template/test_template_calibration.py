"""The landmark calibration finds landmarks whose place is known."""

from __future__ import annotations

import numpy as np
import pytest

from backend.geometry.template import load_template
from backend.photos.faces import LOWER_LIP_EDGE, UPPER_LIP_EDGE
from backend.photos.regions import FACE_OVAL
from protocol.names import ARKIT_INDEX
from trainer.people.shape import draw_expression
from trainer.template.calibration import Observation, calibrate, random_camera, symmetric_calibration


@pytest.fixture(scope="module")
def template():
    return load_template()


def observations(template, count, noise, outliers=0.0, seed=0, closed=False):
    """Detections that are the embedding's own projections, with noise in per cent of the eyes' distance."""
    rng, found = np.random.default_rng(seed), []
    for index in range(count):
        identity = rng.normal(size=len(template.identity_modes)) * 0.7
        cage = template.vertices + np.tensordot(identity, template.identity_modes, 1)
        weights = draw_expression(rng).weights * (not closed)
        cage = (cage + np.tensordot(weights, template.expressions, 1)).astype(np.float32)
        yaw = float(rng.uniform(-50, 50)) * (index % 3 > 0) * 0.9
        camera = random_camera(rng, cage[:4200].mean(0), yaw, float(rng.uniform(-15, 15)))
        points = template.landmarks478.positions(cage.astype(np.float64))
        marks = camera.project(points)[:, :2]
        scale = float(
            np.linalg.norm(points[33] - points[263]) * camera.intrinsics[0, 0] / camera.project(points)[33, 2]
        )
        wrong = rng.random((478, 1)) < outliers
        marks = (
            marks + rng.normal(0, noise * scale / 100, marks.shape) + wrong * rng.normal(0, 0.3 * scale, marks.shape)
        )
        found.append(Observation(cage, camera, yaw, marks, scale))
    return found


def test_landmarks_are_found_again(template):
    result = calibrate(template, observations(template, 24, noise=0.4, outliers=0.05), iterations=10)
    true = template.landmarks478.positions(template.vertices.astype(np.float64))
    found = (template.vertices.astype(np.float64)[result.vertices] * result.barycentrics[..., None]).sum(1)
    apart = np.linalg.norm(found - true, axis=1) * 1e3
    inner = np.setdiff1d(np.arange(478), FACE_OVAL)
    assert np.median(apart[inner]) < 0.3 and np.percentile(apart[inner], 95) < 1.2  # nostrils and folds are harder
    assert np.median(apart) < 0.35
    assert 0.2 < np.median(result.deviation) < 0.7


def test_the_lower_lips_edge_is_found_on_the_lower_lip(template):
    """On shut mouths the upper lip is as near, and most people's are shut."""
    result = calibrate(template, observations(template, 24, noise=0.4, closed=True), iterations=8)
    jaw = template.expressions[ARKIT_INDEX["jawOpen"]].astype(np.float64)
    moved = (jaw[result.vertices] * result.barycentrics[..., None]).sum(1)[:, 1]
    middle = slice(1, -1)  # near the corners both lips move alike
    assert moved[list(LOWER_LIP_EDGE)][middle].max() < -0.02
    assert moved[list(UPPER_LIP_EDGE)][middle].min() > -0.01


def test_symmetric_calibration_is_symmetric(template):
    from backend.photos.faces import mean_landmarks

    result = calibrate(template, observations(template, 8, noise=0.5), iterations=3)
    partners = mean_landmarks().mirror
    even = symmetric_calibration(template, result, partners)
    places = (template.vertices.astype(np.float64)[even.vertices] * even.barycentrics[..., None]).sum(1)
    np.testing.assert_allclose(places[partners], places * [-1, 1, 1], atol=2e-4)
    np.testing.assert_allclose(even.deviation[partners], even.deviation)
    irises = template.head.vertex_stop
    assert (even.vertices[468:] >= irises).all() and (even.vertices[:468] < irises).all()


def test_yaw_means_that_the_person_looks_to_their_left(template):
    camera = random_camera(np.random.default_rng(0), template.vertices[:4200].mean(0), 40.0, 0.0)
    pixels = camera.project(template.landmarks68.positions(template.vertices.astype(np.float64)))
    roll = np.arctan2(*(pixels[27, :2] - pixels[8, :2])[[0, 1]] * [1, -1])
    x = pixels[:, 0] * np.cos(roll) + pixels[:, 1] * np.sin(roll)
    # the nose tip lies to the picture's right of the eyes' middle, where the person's left is
    assert x[30] > 0.5 * (x[36] + x[45]) + 5
