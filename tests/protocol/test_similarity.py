"""Alignment of corresponding points."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from protocol.similarity import fit_similarity


def turned(points: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    c, s = np.cos(0.7), np.sin(0.7)
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return scale * points @ rotation.T + [0.1, -0.2, 3.0], rotation


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_a_known_transform_is_found(scale: float) -> None:
    points = np.random.default_rng(1).normal(size=(30, 3))
    target, rotation = turned(points, scale)
    found = fit_similarity(points, target)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-12)
    assert found.scale == pytest.approx(scale)
    np.testing.assert_allclose(found.apply(points), target, atol=1e-9)
    np.testing.assert_allclose(found.offsets(points), target - found.translation, atol=1e-9)


def test_points_without_weight_do_not_matter_and_a_given_scale_stays() -> None:
    points = np.random.default_rng(2).normal(size=(30, 3))
    target, rotation = turned(points, 2.0)
    target[:10] += 5.0
    weights = np.where(np.arange(30) < 10, 0.0, 3.0)
    np.testing.assert_allclose(fit_similarity(points, target, weights).rotation, rotation, atol=1e-12)
    assert fit_similarity(points, target, weights, scale=1.0).scale == 1.0


def test_a_mirror_image_gives_a_rotation() -> None:
    points = np.random.default_rng(3).normal(size=(30, 3))
    assert np.linalg.det(fit_similarity(points, points * [-1, 1, 1]).rotation) == pytest.approx(1.0)


def test_float32_points_far_from_the_origin_keep_their_precision() -> None:
    points = np.random.default_rng(4).normal(size=(30, 3)).astype(np.float32) * 0.01 + np.float32(2.0)
    assert np.abs(fit_similarity(points, points, scale=1.0).translation).max() < 1e-9


def test_with_a_given_scale_the_motion_is_the_nearest_one() -> None:
    generator = np.random.default_rng(5)
    points = generator.normal(size=(30, 3))
    target = 1.3 * turned(points, 1.0)[0] + 0.1 * generator.normal(size=points.shape)
    found = fit_similarity(points, target, scale=1.0)
    expected = Rotation.align_vectors(target - target.mean(0), points - points.mean(0))[0].as_matrix()
    np.testing.assert_allclose(found.rotation, expected, atol=1e-10)
    np.testing.assert_allclose(found.apply(points).mean(0), target.mean(0), atol=1e-12)
