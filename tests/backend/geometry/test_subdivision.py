"""Catmull-Clark matrices of the template."""

from __future__ import annotations

import numpy as np
import pytest

from backend.geometry.subdivision import catmull_clark, linear_split, subdivision, subdivision_matrix
from backend.geometry.template import load_template

CUBE = np.array([[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]])
CORNERS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]) * 2.0 - 1.0


def test_a_cube_becomes_what_the_rule_says():
    matrix, quads = catmull_clark(CUBE, 8)
    points = matrix @ CORNERS
    assert len(quads) == 24 and len(points) == 26
    # face centre 1; edge middle (1, 1, 0), face points (1, 0, 0), (0, 1, 0): 0.75; vertex: (1/3 + 2 * 2/3) / 3 = 5/9
    np.testing.assert_allclose(np.sort(np.unique(np.abs(points).round(9))), [0, 5 / 9, 0.75, 1.0])
    np.testing.assert_allclose(np.abs(points[:8]), 5 / 9)


def test_borders_follow_the_cubic_spline():
    quads = np.array([[0, 1, 4, 3], [1, 2, 5, 4]])
    points = np.array([[0, 0], [1, 0], [2, 0], [0, 1], [1, 3], [2, 1.0]])
    new = catmull_clark(quads, 6)[0] @ points
    np.testing.assert_allclose(new[4], [1.0, 1 / 8 + 3 * 3 / 4 + 1 / 8])


@pytest.mark.parametrize("level", [0, 1, 2])
def test_rows_sum_to_one_and_counts_are_right(level):
    matrix = subdivision_matrix(level)
    np.testing.assert_allclose(np.asarray(matrix.sum(1)).ravel(), 1.0, atol=2e-6)
    head = subdivision(level).parts["head"]
    assert head.vertex_stop == {0: 4200, 1: 16755, 2: 66933}[level]
    assert len(subdivision(level).quads) == len(load_template().quads) * 4**level


def test_a_plane_stays_a_plane_and_translation_commutes():
    template, level = load_template(), subdivision(1)
    flat = template.vertices.copy()
    flat[:, 2] = 0.25 * flat[:, 0] - 0.5 * flat[:, 1]
    fine = level.positions(flat)
    np.testing.assert_allclose(fine[:, 2], 0.25 * fine[:, 0] - 0.5 * fine[:, 1], atol=1e-6)
    moved = level.positions(template.vertices + np.float32(0.1))
    np.testing.assert_allclose(moved, level.positions(template.vertices) + np.float32(0.1), atol=1e-6)


def test_maps_keep_their_area_and_corners():
    template, level = load_template(), subdivision(2)

    def area(uv, quads):
        first, second = uv[quads[:, 2]] - uv[quads[:, 0]], uv[quads[:, 3]] - uv[quads[:, 1]]
        return 0.5 * (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).astype(np.float64)

    fine = area(level.uv_head, level.uv_head_quads).reshape(len(template.quads), 16).sum(1)
    np.testing.assert_allclose(fine, area(template.uv_head, template.uv_head_quads), atol=2e-7)
    # the first child's first corner is the parent's first corner
    np.testing.assert_allclose(
        level.uv_head[level.uv_head_quads[::16, 0]], template.uv_head[template.uv_head_quads[:, 0]]
    )


def test_non_manifold_meshes_are_refused():
    with pytest.raises(ValueError, match="more than two faces"):
        catmull_clark(np.array([[0, 1, 2, 3], [0, 1, 4, 5], [0, 1, 6, 7]]), 8)
    with pytest.raises(ValueError, match="repeats"):
        catmull_clark(np.array([[0, 1, 2, 2]]), 3)


def test_the_linear_split_interpolates():
    matrix, quads = linear_split(CUBE, 8)
    np.testing.assert_allclose(np.abs(matrix @ CORNERS).max(1), 1.0)
    assert quads.max() == 25
