import numpy as np
import pytest

from backend.geometry.closest import Closest
from protocol.similarity import Similarity
from trainer.measures.metrics import crop_radius, refine_alignment, scan_to_mesh, signed_errors


def grid_mesh(size: int, spacing: float, height=lambda x, y: 0 * x) -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(size) - (size - 1) / 2) * spacing
    x, y = np.meshgrid(axis, axis)
    vertices = np.stack([x, y, height(x, y)], axis=-1).reshape(-1, 3)
    ids = np.arange(size * size).reshape(size, size)
    a, b, c, d = ids[:-1, :-1].ravel(), ids[:-1, 1:].ravel(), ids[1:, 1:].ravel(), ids[1:, :-1].ravel()
    return vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def bumps(x, y):
    return 0.02 * np.exp(-(x**2 + (y - 0.01) ** 2) / 0.0008) + 0.01 * np.sin(40 * x) * np.cos(30 * y + 1)


SEVEN = np.array(
    [
        [-0.04, 0.03, 0],
        [-0.02, 0.03, 0],
        [0.02, 0.03, 0],
        [0.04, 0.03, 0],
        [0, -0.01, 0],
        [-0.02, -0.04, 0],
        [0.02, -0.04, 0],
    ]
)


def test_crop_radius_by_hand():
    # outer corners 80 mm apart, nose 40 mm long: 0.7 * 120 mm
    assert crop_radius(SEVEN, np.array([0, 0.03, 0.0])) == pytest.approx(0.084)


def test_points_on_alternate_sides_of_a_plane_are_one_millimetre_away():
    vertices, faces = grid_mesh(3, 0.2)
    scan, _ = grid_mesh(12, 0.01)
    scan[:, 2] = 0.001 * (-1.0) ** (np.arange(144) // 12 + np.arange(144) % 12)
    result = scan_to_mesh(scan, SEVEN, np.zeros(3), np.array([0, 0.03, 0.0]), vertices, faces, SEVEN)
    np.testing.assert_allclose(result.millimetres, 1.0, atol=1e-6)
    assert result.median == pytest.approx(1.0)


def test_points_outside_the_crop_do_not_count():
    vertices, faces = grid_mesh(3, 0.4)
    scan = np.array([[0.01, 0, 0], [0.02, 0.01, 0], [-0.03, 0, 0], [0.0, 0.02, 0], [0.0999, 0, 0.03]])
    result = scan_to_mesh(scan, SEVEN, np.zeros(3), np.array([0, 0.03, 0.0]), vertices, faces, SEVEN)
    assert result.chosen.tolist() == [0, 1, 2, 3]
    assert result.median == pytest.approx(0, abs=1e-4)


def test_a_mesh_before_a_scan_is_outside_of_it_where_it_is():
    vertices, faces = grid_mesh(41, 0.004)
    scan, _ = grid_mesh(20, 0.007)
    scan[:, 2] = np.where(scan[:, 0] < 0, -0.002, 0.001)
    sides = {"left": vertices[:, 0] < 0, "right": vertices[:, 0] > 0, "behind": vertices[:, 0] > 1}
    assert signed_errors(scan, Closest(vertices, faces), faces, sides) == pytest.approx(
        {"left": 2.0, "right": -1.0, "behind": np.nan}, abs=1e-4, nan_ok=True
    )


def test_a_known_similarity_is_found_again():
    vertices, faces = grid_mesh(41, 0.004, bumps)
    points = vertices[np.hypot(*vertices.T[:2]) < 0.06]
    angle = np.radians(4)
    rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    true = Similarity(1.07, rotation, np.array([0.002, -0.003, 0.004]))
    found = refine_alignment(true.apply(points), Closest(vertices, faces))
    assert found.scale == pytest.approx(true.scale, abs=2e-3)
    np.testing.assert_allclose(found.apply(points), true.apply(points), atol=3e-4)


def test_the_scan_decides_what_a_millimetre_is():
    vertices, faces = grid_mesh(41, 0.004, bumps)
    rough = vertices.copy()
    rough[:, 2] += 0.0005 * (-1.0) ** np.arange(len(rough))
    bridge = np.array([0, 0.03, 0.0])
    small = scan_to_mesh(rough, SEVEN, np.zeros(3), bridge, vertices / 100, faces, SEVEN / 100)
    same = scan_to_mesh(rough, SEVEN, np.zeros(3), bridge, vertices, faces, SEVEN)
    assert small.median == pytest.approx(same.median, rel=1e-2)
    assert small.alignment.scale == pytest.approx(100, rel=1e-2)
