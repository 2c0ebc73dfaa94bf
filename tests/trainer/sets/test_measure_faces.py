"""The sets' published measures, by hand and on shapes whose error is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import trimesh
from made_up import head, now
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from trainer.measures.estimate import Estimate
from trainer.sets.measure_canonical import _depth_errors, depth_correlation_sum
from trainer.sets.measure_faces import _iou, box_nme, by_yaw, micc_error, now_distances, three_views
from trainer.sets.prepare import reader_of
from trainer.sets.reader import listed


def shape(moved: float = 0.0) -> Estimate:
    """The made-up head in another frame and size; ``moved`` metres outwards in x at the nose's right side."""
    vertices, faces, seven, marks = head(0)
    vertices = vertices.copy()
    apart = np.linalg.norm(vertices - marks[30], axis=1)
    vertices[:, 2] += moved * np.exp(-((apart / 0.02) ** 2))
    turn = Rotation.from_euler("xyz", [0.3, -0.2, 0.1]).as_matrix()

    def placed(points: np.ndarray) -> np.ndarray:
        return 0.8 * points @ turn.T + [0.1, 0.2, -0.3]

    return Estimate(placed(vertices), faces, placed(seven), placed(marks))


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    root = tmp_path_factory.mktemp("now")
    now(root)
    reader = reader_of("now")
    sample = dict(reader.read(listed(reader, root)[0]))
    return sample | {"vertices": sample["vertices"][::5]}  # as many points as tell


def test_the_true_head_has_no_error_in_any_frame_and_size_and_a_changed_nose_has(scan: dict[str, np.ndarray]) -> None:
    for error in (lambda head: now_distances(scan, head).mean(), lambda head: micc_error(scan, head)):
        assert error(shape()) < 0.01
        assert error(shape(0.004)) > 0.05


def test_now_measures_within_its_own_radius(scan: dict[str, np.ndarray]) -> None:
    seven = scan["seven"].astype(np.float64)
    bridge = (seven[1] + seven[2]) / 2
    centre = seven[4] + 0.3 * (bridge - seven[4])
    radius = 1.4 * (np.linalg.norm(seven[0] - seven[3]) + np.linalg.norm(bridge - seven[4])) / 2
    inside = np.linalg.norm(scan["vertices"] - centre, axis=1) < radius
    assert len(now_distances(scan, shape())) == inside.sum()


def test_the_correlation_score_is_66_for_the_truth_and_its_mirror_image() -> None:
    true = np.random.default_rng(0).normal(size=(12, 66))
    assert depth_correlation_sum(3 * true + 1, true) == pytest.approx(66)
    assert depth_correlation_sum(-true, true) == pytest.approx(66)
    noise = np.random.default_rng(1).normal(size=(200, 66))
    assert depth_correlation_sum(noise, np.random.default_rng(2).normal(size=(200, 66))) < 20
    missing = true.copy()
    missing[0] = np.nan
    assert depth_correlation_sum(missing, true) == pytest.approx(66)


def test_micc_is_what_nearest_planes_of_another_library_say(scan: dict[str, np.ndarray]) -> None:
    head = shape(0.004)
    fine = trimesh.Trimesh(head.vertices, head.faces, process=False).subdivide().subdivide()
    points = scan["vertices"][np.linalg.norm(scan["vertices"] - scan["nose_tip"], axis=1) < 0.095]
    placed = trimesh.registration.procrustes(head.seven, scan["seven"], reflection=False)[0]
    for _ in range(20):
        back = trimesh.transform_points(points, np.linalg.inv(placed))
        near = cKDTree(fine.triangles_center).query(back)[1]
        normals = fine.face_normals[near]
        away = ((back - fine.triangles_center[near]) * normals).sum(1)
        placed = trimesh.registration.procrustes(back - away[:, None] * normals, points, reflection=False)[0]
    millimetres = 1000 * np.abs(away).mean() * np.cbrt(np.linalg.det(placed[:3, :3]))
    assert micc_error(scan, head) == pytest.approx(millimetres, rel=0.05)  # the nearest middle for the nearest triangle


def test_maps_and_lips_are_what_ten_lines_of_the_published_formulas_say() -> None:
    draw = np.random.default_rng(3)
    first, second = draw.random((2, 9, 9)) > 0.5
    pairs = list(zip(first.flat, second.flat, strict=True))
    assert _iou(first, second) == sum(a and b for a, b in pairs) / sum(a or b for a, b in pairs)
    depths, size = 1 + 0.02 * gaussian_filter(draw.normal(size=(2, 64, 64)), [0, 3, 3]), 64
    away = (np.arange(size) - (size - 1) / 2) / ((size - 1) / 2 / math.tan(math.radians(5)))  # Unsup3D's camera, 10°
    normals = []
    for depth in depths:
        grid = np.stack([away[None] * depth, away[:, None] * depth, depth], -1)
        cross = np.cross(grid[1:-1, 2:] - grid[1:-1, :-2], grid[2:, 1:-1] - grid[:-2, 1:-1])
        normals.append(cross / (np.linalg.norm(cross, axis=-1, keepdims=True) + 1e-7))
    mad = np.degrees(np.arccos(np.clip((normals[0] * normals[1]).sum(-1), -1, 1))).mean()
    logs = np.log(depths[0] / depths[1])[1:-1, 1:-1]
    known = torch.zeros(1, size, size, dtype=torch.bool)
    known[:, 1:-1, 1:-1] = True
    found = _depth_errors(*torch.from_numpy(depths).float()[:, None], known)
    assert found[:2] == pytest.approx((100 * logs.std(), mad), rel=1e-3)


def test_nme_by_its_formula_and_by_yaw() -> None:
    near, true = np.random.default_rng(4).random((2, 68, 2))
    mean, (wide, high) = sum(map(math.dist, near, true)) / 68, true.max(0) - true.min(0)
    assert box_nme(near, true) == pytest.approx(100 * mean / math.sqrt(wide * high))
    found = by_yaw(np.array([1.0, 3.0, 5.0, np.nan, 9.0]), np.array([0.0, -30.0, 60.0, 50.0, -95.0]))
    assert found == pytest.approx({"nme.0_30": 2.0, "nme.30_60": 5.0, "nme.60_90": 9.0, "nme": 16 / 3})


def test_three_views_are_the_most_turned_and_the_frontal_one() -> None:
    assert three_views([5.0, -40.0, 60.0, -1.0]) == [1, 3, 2]
    assert three_views([2.0]) == [0]
