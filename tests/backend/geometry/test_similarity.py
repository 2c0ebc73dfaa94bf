"""Similarities between point sets."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.geometry.vectors import nearest_similarity

G = np.random.default_rng(3)
POINTS = G.normal(size=(30, 3))
TURN = Rotation.from_rotvec([0.4, -1.2, 0.3]).as_matrix()


def test_a_similarity_is_found_again() -> None:
    found = nearest_similarity(POINTS, 1.7 * POINTS @ TURN.T + [1, 2, 3])
    assert found.scale == pytest.approx(1.7)
    np.testing.assert_allclose(found.rotation, TURN, atol=1e-12)
    np.testing.assert_allclose(found.apply(POINTS), 1.7 * POINTS @ TURN.T + [1, 2, 3], atol=1e-12)


def test_without_scale_the_motion_is_rigid_and_the_nearest_one() -> None:
    target = 1.3 * POINTS @ TURN.T + 0.1 * G.normal(size=POINTS.shape)
    found = nearest_similarity(POINTS, target, with_scale=False)
    expected = Rotation.align_vectors(target - target.mean(0), POINTS - POINTS.mean(0))[0].as_matrix()
    assert found.scale == 1.0
    np.testing.assert_allclose(found.rotation, expected, atol=1e-10)
    np.testing.assert_allclose(found.apply(POINTS).mean(0), target.mean(0), atol=1e-12)


def test_points_without_weight_have_no_say_and_a_mirror_image_stays_one() -> None:
    target = POINTS @ TURN.T
    wrong = target.copy()
    wrong[:5] += 10
    weights = np.ones(len(POINTS))
    weights[:5] = 0
    np.testing.assert_allclose(nearest_similarity(POINTS, wrong, weights).rotation, TURN, atol=1e-12)
    mirrored = nearest_similarity(POINTS * [-1, 1, 1], POINTS)
    assert np.linalg.det(mirrored.rotation) == pytest.approx(1.0)
    assert np.linalg.norm(mirrored.apply(POINTS * [-1, 1, 1]) - POINTS, axis=1).mean() > 0.3
