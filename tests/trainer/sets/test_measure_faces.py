"""The sets' published measures, by hand and on shapes whose error is known."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import head, now
from scipy.spatial.transform import Rotation

from trainer.sets.measure_faces import Shape, box_nme, by_yaw, micc_error, now_distances, three_views
from trainer.sets.measure_maps import depth_correlation_sum
from trainer.sets.prepare import reader_of
from trainer.sets.reader import listed


def shape(moved: float = 0.0) -> Shape:
    """The made-up head in another frame and size; ``moved`` metres outwards in x at the nose's right side."""
    vertices, faces, seven, marks = head(0)
    vertices = vertices.copy()
    apart = np.linalg.norm(vertices - marks[30], axis=1)
    vertices[:, 2] += moved * np.exp(-((apart / 0.02) ** 2))
    turn = Rotation.from_euler("xyz", [0.3, -0.2, 0.1]).as_matrix()

    def placed(points: np.ndarray) -> np.ndarray:
        return 0.8 * points @ turn.T + [0.1, 0.2, -0.3]

    return Shape(placed(vertices), faces, placed(seven), placed(marks))


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    root = tmp_path_factory.mktemp("now")
    now(root)
    reader = reader_of("now")
    return dict(reader.read(listed(reader, root)[0]))


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


def test_nme_by_hand_and_by_yaw() -> None:
    true = np.zeros((68, 2))
    true[0], true[1] = (100, 25), (0, 0)
    assert box_nme(true + np.array([3, 4]), true) == pytest.approx(100 * 5 / 50)
    found = by_yaw(np.array([1.0, 3.0, 5.0, np.nan, 9.0]), np.array([0.0, -30.0, 60.0, 50.0, -95.0]))
    assert found == pytest.approx({"nme.0_30": 2.0, "nme.30_60": 5.0, "nme.60_90": 9.0, "nme": 16 / 3})


def test_three_views_are_the_most_turned_and_the_frontal_one() -> None:
    assert three_views([5.0, -40.0, 60.0, -1.0]) == [1, 3, 2]
    assert three_views([2.0]) == [0]
