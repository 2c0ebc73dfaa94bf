"""Quadric collapse that keeps mirror images together, on a mesh that one can count."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.geometry.mesh_hierarchy import MeshLevel, load_mesh_hierarchy
from backend.geometry.template import boundary_edges, load_template
from trainer.template.hierarchy import collapse, mesh_hierarchy, symmetric_triangles


def grid(columns: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A flat sheet, its quads, and the vertex on the other side of its middle column."""
    x, y = np.meshgrid(np.arange(columns) - (columns - 1) / 2, np.arange(rows), indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1) * 0.01
    number = np.arange(columns * rows).reshape(columns, rows)
    quads = np.stack([number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]], -1).reshape(-1, 4)
    return points, quads, number[::-1].ravel()


def test_a_flat_sheet_loses_its_middle_and_keeps_corners_and_symmetry() -> None:
    points, quads, mirror = grid(9, 8)
    faces = symmetric_triangles(quads, mirror)
    kept, coarse = collapse(points, faces, mirror, 24)
    assert 22 <= len(kept) <= 26
    assert np.array_equal(np.sort(mirror[kept]), kept)
    corners = [np.flatnonzero((points == np.array([x, y, 0]) * 0.01).all(1))[0] for x in (-4, 4) for y in (0, 7)]
    assert np.isin(corners, kept).all()
    a, b, c = (points[kept][coarse[:, k]] for k in range(3))
    area = 0.5 * np.cross(b - a, c - a)[:, 2]
    assert (area > 0).all()  # nothing folded over
    assert area.sum() == pytest.approx(56e-4)  # and nothing of the sheet is lost


def test_a_bump_outlives_the_plain_around_it() -> None:
    points, quads, mirror = grid(9, 9)
    points[40, 2] = 0.01
    kept, _ = collapse(points, symmetric_triangles(quads, mirror), mirror, 20)
    assert 40 in kept


def test_the_border_stays_one_ring() -> None:
    points, quads, mirror = grid(7, 7)
    _, coarse = collapse(points, symmetric_triangles(quads, mirror), mirror, 12)
    border = boundary_edges(coarse)
    assert len(np.unique(border)) == len(border)


def test_a_quad_across_the_middle_is_refused() -> None:
    _, quads, mirror = grid(4, 3)
    with pytest.raises(ValueError, match="mirror images"):
        symmetric_triangles(quads, mirror)


def level_matrix(level: MeshLevel) -> csr_matrix:
    size = (level.up_rows.max(initial=0) + 1, len(level.vertices))
    return csr_matrix((level.up_values, (level.up_rows, level.up_columns)), size)


def test_the_shipped_hierarchy_is_the_templates() -> None:
    for made, shipped in zip(mesh_hierarchy(load_template()).levels, load_mesh_hierarchy().levels, strict=True):
        assert np.array_equal(made.vertices, shipped.vertices)
        assert np.array_equal(made.faces, shipped.faces)
        unpooling = (level_matrix(level) for level in (made, shipped))
        assert abs(next(unpooling) - next(unpooling)).max() < 1e-6
