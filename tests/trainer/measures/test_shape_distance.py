"""Distances of faces do not depend on where a head is, and do depend on whose it is."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.geometry.template import load_template
from trainer.measures.metrics import aligned_faces, face_weights, plain_distances, whitened_distances

TEMPLATE = load_template()


def head(*coefficients: float) -> np.ndarray:
    modes = TEMPLATE.identity_modes[: len(coefficients)]
    return TEMPLATE.vertices + np.tensordot(np.array(coefficients), modes, 1)


def moved(neutral: np.ndarray) -> np.ndarray:
    return 1.3 * neutral @ Rotation.from_rotvec([0.2, -0.4, 0.1]).as_matrix().T + [0.1, -0.2, 0.3]


@pytest.mark.parametrize("measure", [plain_distances, whitened_distances])
def test_place_turn_and_size_do_not_matter(measure):
    shapes = aligned_faces(TEMPLATE, [head(1, -1), head(0, 2, 1), moved(head(1, -1))])
    distances = measure(TEMPLATE, shapes, shapes)
    assert distances == pytest.approx(distances.T)
    assert distances[0, 2] == pytest.approx(0, abs=1e-3)
    assert distances[0, 1] > 0.3
    assert distances[2, 1] == pytest.approx(distances[0, 1], rel=1e-4)


def test_plain_distance_is_millimetres_over_the_face():
    chosen = face_weights(TEMPLATE) > 0
    away = np.zeros((1, int(chosen.sum()), 3))
    away[..., 2] = 2.0
    assert plain_distances(TEMPLATE, np.zeros_like(away), away) == pytest.approx(2.0)


def test_only_the_face_counts():
    changed = head(1)
    back = np.flatnonzero(TEMPLATE.regions["face"] == 0)
    changed[back] += 0.05
    shapes = aligned_faces(TEMPLATE, [head(1), changed])
    assert plain_distances(TEMPLATE, shapes[:1], shapes[1:]) == pytest.approx(0, abs=1e-9)


def test_whitened_distance_counts_faint_directions_as_much_as_strong_ones():
    sizes = []
    for number in (0, 20):
        coefficients = np.zeros(number + 1)
        coefficients[number] = 2.0
        shapes = aligned_faces(TEMPLATE, [head(*coefficients), TEMPLATE.vertices])
        sizes.append(
            [measure(TEMPLATE, shapes[:1], shapes[1:])[0, 0] for measure in (plain_distances, whitened_distances)]
        )
    (plain_strong, white_strong), (plain_faint, white_faint) = sizes
    assert plain_strong / plain_faint > 1.5 * white_strong / white_faint
