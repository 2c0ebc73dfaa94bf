"""Closest points, thin plates, registration and model fit on surfaces whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from trainer.heads.ict import TriangleMesh, triangulate
from trainer.template.registration import (
    Pull,
    Step,
    Surface,
    border_vertices,
    closest_points,
    cotangent_laplacian,
    fit_model,
    register,
    vertex_areas,
)


def sheet(count=17, size=0.1, height=lambda x, y: 0 * x):
    """A square height field looking along +z."""
    x, y = np.meshgrid(np.linspace(-size / 2, size / 2, count), np.linspace(-size / 2, size / 2, count))
    points = np.stack([x.ravel(), y.ravel(), height(x, y).ravel()], axis=1)
    index = np.arange(count * count).reshape(count, count)
    quads = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], axis=-1).reshape(-1, 4)
    return points, triangulate(quads)


def bump(x, y):
    return 0.008 * np.exp(-(x**2 + y**2) / 0.02**2)


def test_closest_points_equal_a_dense_search():
    rng = np.random.default_rng(0)
    points, triangles = sheet(9, height=bump)
    queries = rng.uniform(-0.06, 0.06, (60, 3))
    triangle, weights, distance = closest_points(queries, points, triangles)
    spots = (points[triangles[triangle]] * weights[..., None]).sum(1)
    np.testing.assert_allclose(np.linalg.norm(spots - queries, axis=1), distance)
    np.testing.assert_allclose(weights.sum(1), 1.0)
    assert weights.min() >= 0
    share = rng.dirichlet([0.6, 0.6, 0.6], 400)
    dense = np.einsum("sc,tck->tsk", share, points[triangles]).reshape(-1, 3)
    nearest = np.linalg.norm(queries[:, None] - dense[None], axis=-1).min(1)
    assert (distance <= nearest + 1e-12).all() and (nearest - distance).max() < 1.5e-3


def test_areas_and_border_of_a_flat_sheet():
    points, triangles = sheet()
    assert vertex_areas(points, triangles).sum() == pytest.approx(0.01)
    assert border_vertices(triangles, len(points)).sum() == 4 * 16


def test_laplacian_of_a_linear_field_vanishes_inside_and_the_plate_measures_curvature():
    points, triangles = sheet()
    inside = ~border_vertices(triangles, len(points))
    laplacian = cotangent_laplacian(points, triangles)
    assert np.abs(laplacian @ (3 * points[:, 0] - points[:, 1]))[inside].max() < 1e-9
    assert np.abs(laplacian @ np.ones(len(points))).max() < 1e-12


def test_register_lays_a_flat_sheet_on_a_bump():
    flat, triangles = sheet()
    target, fine = sheet(65, height=bump)
    count = len(flat)
    weights = (~border_vertices(triangles, count)).astype(float)
    surface = Surface(sp.identity(count, format="csr"), triangles, triangles, weights, np.ones(count))
    steps = (Step(0.02, 0.02, 3), Step(0.008, 0.01, 4), Step(0.003, 0.006, 4))
    found = register(flat, surface, TriangleMesh(target, fine), schedule=steps)
    inner = np.abs(flat[:, :2]).max(1) < 0.035
    apart = np.abs(found[:, 2] - bump(found[:, 0], found[:, 1]))[inner]
    before = bump(flat[:, 0], flat[:, 1])[inner]
    assert before.max() > 0.007 and apart.max() < 0.0006


def test_a_lasting_pull_holds_its_vertex():
    flat, triangles = sheet()
    target, fine = sheet(65, height=bump)
    count = len(flat)
    middle = count // 2
    rows = sp.csr_matrix(([1.0], ([0], [middle])), shape=(1, count))
    pull = Pull(rows, np.array([[0.004, 0.0, bump(0.004, 0.0)]]), np.array([1e-2]), lasting=True)
    surface = Surface(sp.identity(count, format="csr"), triangles, triangles, np.ones(count), np.ones(count))
    found = register(flat, surface, TriangleMesh(target, fine), [pull], schedule=(Step(0.01, 0.02, 5, 0.0),))
    np.testing.assert_allclose(found[middle], pull.targets[0], atol=2e-4)


def test_fit_model_finds_its_own_face():
    mean, triangles = sheet(25, height=bump)
    ripple = np.zeros((2, len(mean), 3))
    ripple[0, :, 2] = 0.004 * np.sin(mean[:, 0] * 90)
    ripple[1, :, 2] = 0.003 * np.cos(mean[:, 1] * 70)
    true = mean + np.tensordot([1.2, -0.8], ripple, 1)
    angle = 0.2
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    scan = TriangleMesh(1.1 * true @ turn.T + [0.01, 0, 0.02], triangles)
    marks = np.array([0, 24, 312, 600, 624])
    rows = sp.csr_matrix((np.ones(5), (np.arange(5), marks)), shape=(5, len(mean)))
    fit = fit_model(mean, ripple, sp.identity(len(mean), format="csr"), triangles, np.ones(len(mean)), scan, rows,
                    scan.vertices[marks], iterations=25)  # fmt: skip
    np.testing.assert_allclose(fit.coefficients, [1.2, -0.8], atol=0.05)
    assert fit.scale == pytest.approx(1.1, abs=0.005)
    inner = np.abs(mean[:, :2]).max(1) < 0.04
    assert np.linalg.norm(fit.cage - scan.vertices, axis=1)[inner].max() < 3e-4
