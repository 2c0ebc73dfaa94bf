"""Smooth fields on meshes, and robust agreement of photos."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from backend.geometry.robust_statistics import robust_consensus
from backend.geometry.surface_fields import compression, smooth_field, surface_operators


def _grid(n: int = 24, edge: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.linspace(0, edge, n), np.linspace(0, edge, n))
    vertices = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1)
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    triangles = np.concatenate(
        [np.stack([corner, corner + 1, corner + n], 1), np.stack([corner + 1, corner + n + 1, corner + n], 1)]
    )
    return vertices, triangles


def test_operators_have_the_right_area_and_kernel() -> None:
    operators = surface_operators(*_grid())
    assert abs(operators.mass.sum() - 0.01) < 1e-9
    assert np.abs(operators.stiffness @ np.ones(24 * 24)).max() < 1e-9


def test_constants_are_kept_and_gaps_filled_within_range() -> None:
    vertices, triangles = _grid()
    operators = surface_operators(vertices, triangles)
    values = np.where(vertices[:, :1] < 0.05, 0.2, 0.6)
    weights = (np.abs(vertices[:, 0] - 0.05) > 0.02).astype(float)
    field = smooth_field(operators, values, weights, 0.01)
    assert field.min() > 0.19 and field.max() < 0.61
    order = np.argsort(vertices[:24, 0])
    assert (np.diff(field[:24, 0][order]) > -1e-6).all()
    flat = smooth_field(operators, np.full_like(values, 0.4), weights, 0.01)
    np.testing.assert_allclose(flat, 0.4, atol=1e-6)


def test_far_from_samples_the_anchor_takes_over() -> None:
    vertices, triangles = _grid()
    operators = surface_operators(vertices, triangles)
    weights = (vertices[:, 0] < 0.004).astype(float)
    field = smooth_field(operators, np.ones((len(vertices), 1)), weights, 0.004, np.zeros(1), 0.1)
    assert field[vertices[:, 0] < 0.004].mean() > 0.6
    assert field[vertices[:, 0] > 0.09].max() < 0.05


def test_one_photo_in_five_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(200, 3))
    photos = truth + 0.02 * rng.normal(size=(5, 200, 3))
    photos[2] += 0.8
    consensus, total = robust_consensus(photos, np.ones((5, 200)), 0.15)
    assert np.abs(consensus - truth).max() < 0.08
    assert (total > 3).all() and (total < 4.3).all()


def test_nothing_seen_gives_zero() -> None:
    consensus, total = robust_consensus(np.ones((2, 4, 3)), np.zeros((2, 4)), 0.1)
    assert (consensus == 0).all() and (total == 0).all()


def test_what_one_photo_alone_shows_is_an_outlier_however_large_its_share() -> None:
    photos = np.stack([np.full((4, 3), level) for level in (0.0, 0.02, -3.0)])  # a microphone before the third
    consensus, total = robust_consensus(photos, np.ones((3, 4)), 0.15, share=np.array([0.1, 0.3, 1.0]))
    np.testing.assert_allclose(consensus, 0.015, atol=0.002)
    np.testing.assert_allclose(total, 0.4, atol=0.02)


def test_compression_is_the_strain_of_the_direction_shortened_most() -> None:
    rest = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 2.0, 0.0], [0.0, 2.0, 0.0]])
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    narrow = rest * [0.8, 1.3, 1.0]
    np.testing.assert_allclose(compression(rest, narrow, triangles), 0.5 * (1 - 0.8**2), atol=1e-9)
    np.testing.assert_allclose(compression(rest, rest * [1.2, 1.1, 1.0], triangles), 0.0, atol=1e-9)


def test_a_rigid_motion_compresses_nothing() -> None:
    generator = np.random.default_rng(0)
    rest = generator.normal(size=(30, 3))
    triangles = generator.permuted(np.tile(np.arange(30), (20, 1)), axis=1)[:, :3]
    turn = Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix()
    assert compression(rest, rest @ turn.T + 1.0, triangles).max() < 1e-7
