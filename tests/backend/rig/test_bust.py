"""Neck and shoulders: they hang on the neck of any head without a gap, whatever it does, and end level."""

from __future__ import annotations

import numpy as np
import pytest

from backend.exchange.assemble import bust_part
from backend.geometry.subdivision import catmull_clark
from backend.geometry.template import boundary_edges, load_template, triangulate
from backend.geometry.vectors import vertex_normals
from backend.rig.bust import BustShape, bust_shape, load_bust
from protocol.names import ARKIT_INDEX

TEMPLATE, MODEL = load_template(), load_bust()


def person(seed: int, deviation: float = 1.0) -> tuple[np.ndarray, BustShape]:
    """A random person's neutral vertices (V, 3) and bust."""
    identity = deviation * np.random.default_rng(seed).normal(size=len(TEMPLATE.identity_modes))
    neutral = TEMPLATE.vertices + np.tensordot(identity, TEMPLATE.identity_modes, 1)
    neutral = neutral.astype(np.float32)
    return neutral, bust_shape(MODEL, TEMPLATE, neutral, TEMPLATE.expressions)


def border_lines(quads: np.ndarray) -> list[set[int]]:
    """The closed lines of a mesh's border, as sets of vertices."""
    lines: list[set[int]] = []
    for a, b in boundary_edges(quads).tolist():
        touched = [line for line in lines if a in line or b in line]
        lines = [line for line in lines if line not in touched] + [{a, b}.union(*touched)]
    return lines


def test_its_border_is_the_heads_rim_and_a_level_edge() -> None:
    head_rim = border_lines(TEMPLATE.quads[: TEMPLATE.head.face_stop])
    assert set(MODEL.rim.tolist()) in head_rim
    rim, edge = sorted(border_lines(MODEL.quads), key=min)
    assert rim == set(range(len(MODEL.rim)))
    assert np.ptp(MODEL.vertices[sorted(edge), 1]) < 1e-6
    assert np.linalg.norm(np.ptp(MODEL.vertices, axis=0)) > 0.5  # shoulders and all


@pytest.mark.parametrize("seed", range(3))
def test_no_gap_opens_at_rest_or_under_any_key(seed: int) -> None:
    neutral, bust = person(seed, 1.5)
    rim = slice(0, len(MODEL.rim))
    np.testing.assert_array_equal(bust.vertices[rim], neutral[MODEL.rim])
    np.testing.assert_array_equal(bust.keys[:, rim], TEMPLATE.expressions[:, MODEL.rim])
    moved = np.abs(bust.keys[ARKIT_INDEX["jawOpen"]]).max(1)
    assert moved[rim].max() > 1e-3  # the skin of the neck is drawn along
    assert moved[MODEL.follows == 0].max() == 0.0  # the shoulders stay


@pytest.mark.parametrize("seed", range(3))
def test_skin_goes_on_smoothly_across_the_rim(seed: int) -> None:
    neutral, bust = person(seed)
    head_quads = TEMPLATE.quads[: TEMPLATE.head.face_stop]
    head = neutral[: TEMPLATE.head.vertex_stop].astype(np.float64)
    normals = []
    for vertices, quads, rim in (
        (head, head_quads, MODEL.rim),
        (bust.vertices.astype(np.float64), MODEL.quads, np.arange(len(MODEL.rim))),
    ):
        matrix, finer = catmull_clark(quads, len(vertices))
        normals.append(vertex_normals(np.asarray(matrix @ vertices), triangulate(finer).faces)[rim])
    angle = np.degrees(np.arccos(np.clip((normals[0] * normals[1]).sum(1), -1.0, 1.0)))
    assert np.median(angle) < 16.0 and angle.max() < 40.0  # a crease has 60 and more


def test_a_larger_head_has_a_larger_bust_below_its_neck() -> None:
    larger = (1.1 * TEMPLATE.vertices + [0.01, 0.2, 0.0]).astype(np.float32)
    plain = bust_shape(MODEL, TEMPLATE, TEMPLATE.vertices, TEMPLATE.expressions)
    bust = bust_shape(MODEL, TEMPLATE, larger, TEMPLATE.expressions)
    np.testing.assert_allclose(bust.vertices, 1.1 * plain.vertices + [0.01, 0.2, 0.0], atol=1e-5)


def test_its_chart_has_no_fold_and_meets_no_other() -> None:
    split = triangulate(MODEL.quads)
    corners = MODEL.uv[split.apply(MODEL.uv_quads)].astype(np.float64)
    side, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = side[:, 0] * other[:, 1] - side[:, 1] * other[:, 0]
    assert (area > -1e-10).all() and (area > 1e-9).mean() > 0.99
    box = (*MODEL.uv.min(0), *MODEL.uv.max(0))
    charts = TEMPLATE.uv_head[triangulate(TEMPLATE.quads).apply(TEMPLATE.uv_head_quads)]  # (T, 3, 2)
    beside = (charts.max(1) < box[:2]).any(1) | (charts.min(1) > box[2:]).any(1)
    grid = np.stack(np.meshgrid(np.linspace(box[0], box[2], 60), np.linspace(box[1], box[3], 60)), -1).reshape(-1, 2)
    for a, b, c in charts[~beside]:
        inside = [np.cross(q - p, grid - p) for p, q in ((a, b), (b, c), (c, a))]
        assert not ((inside[0] > 0) & (inside[1] > 0) & (inside[2] > 0)).any()


def test_the_part_has_the_keys_that_move_it() -> None:
    part = bust_part(MODEL, person(1)[1])
    assert "jawOpen" in part.keys and "browInnerUp" not in part.keys
    assert all(delta.shape == part.vertices.shape for delta in part.keys.values())
