import numpy as np
import pytest

from backend.geometry.template import load_template
from backend.rendering.camera import Camera
from protocol.names import ARKIT_NAMES
from trainer.evaluate.reprojection import reproject_held_out
from trainer.heads.raytrace import look_at

CENTRE = (320.0, 300.0)


def seen(cage: np.ndarray, camera: Camera) -> np.ndarray:
    """(478, 3) perfect landmarks of a cage: pixels, and depth on the same scale."""
    points = camera.project(load_template().landmarks478.positions(cage.astype(np.float64)))
    depth = points[:, 2] - points[:, 2].mean()
    points[:, 2] = depth * camera.intrinsics[0, 0] / (points[:, 2].mean() + 1e-9)
    return points


@pytest.fixture(scope="module")
def setting():
    template = load_template()
    cage = template.vertices.astype(np.float64)
    middle = template.landmarks478.positions(cage)[168] - [0, 0.03, 0.04]
    camera = look_at(22, -8, 6, 0.7, 900.0, (640, 600), middle)
    smile = cage.copy()
    for name in ("mouthSmileLeft", "mouthSmileRight"):
        smile += 0.7 * template.expressions[ARKIT_NAMES.index(name)]
    return template, cage, camera, smile


def test_the_true_shape_explains_a_smiling_photo(setting):
    _, cage, camera, smile = setting
    fit = reproject_held_out(cage, seen(smile, camera), CENTRE)
    assert fit.error_percent < 0.35
    assert fit.expression[ARKIT_NAMES.index("mouthSmileLeft")] > 0.35


def test_another_persons_shape_explains_it_less_well(setting):
    template, cage, camera, smile = setting
    other = cage + np.tensordot(np.random.default_rng(0).normal(size=20) * 1.5, template.identity_modes[:20], 1)
    marks = seen(smile, camera)
    assert (
        reproject_held_out(other, marks, CENTRE).error_percent
        > 2 * reproject_held_out(cage, marks, CENTRE).error_percent
    )
