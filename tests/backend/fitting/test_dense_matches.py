"""Dense alignment and the cage on renders of a textured head whose shape is known; matches between photos."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.fitting import dense, fit
from backend.fitting.detector_model import face_scale
from backend.fitting.options import CageStage, DenseStage, FitOptions
from backend.fitting.parameters import PhotoParameters
from backend.fitting.solver import FaceEstimate, PointTargets
from backend.fitting.stages import FitState, solve_cage
from backend.photos.collection import FaceClass

sys.path.append(str(Path(__file__).resolve().parent))
from dense_hand_made import SIZE, blotched, photo, photograph

STAGE = DenseStage(step=1.0, matched=True)
WIDTH = 256


@pytest.fixture(scope="module")
def scene(template):
    """Two photos of a head whose nose is 6 mm longer than the template's, the mesh, and the matches that the template's
    own shape gives."""
    truth = template.vertices + template.regions["nose"][:, None] * np.array([0.0, 0.0, 0.006])
    photos = (photo(template, 0.0), photo(template, 30.0))
    faces = tuple(photograph(template, truth, one, blotched(template)) for one in photos)
    scales = tuple(face_scale(face.landmarks) for face in faces)
    mesh = dense.dense_mesh(template)
    matches = dense.dense_matches(
        dense.views_of(faces, photos, (template.vertices,) * 2, scales, mesh, WIDTH), mesh, WIDTH, 4
    )
    return truth, photos, faces, scales, mesh, matches


def targets(
    scene, photos: tuple[PhotoParameters, ...], vertices: np.ndarray, matches: dense.DenseMatches | None = None
):
    """Targets under another estimate, and (2, M, 2) by how much vertices are off, NaN without a target."""
    _, _, _, scales, mesh, own = scene
    found = dense.matched_targets(own if matches is None else matches, photos, (vertices,) * 2, scales, mesh, STAGE)
    off = np.full((2, len(vertices), 2), np.nan)
    for number, (target, parameters) in enumerate(zip(found, photos, strict=True)):
        seen = parameters.camera().project(vertices[target.vertices])[:, :2]
        off[number, target.vertices] = target.targets.pixels - seen
    return found, off


def test_one_flow_says_to_both_photos_where_a_wrong_nose_should_go(template, scene) -> None:
    truth, photos, *_ = scene
    _, off = targets(scene, photos, template.vertices)
    tip = template.regions["nose"] > 0.8
    moved = [one.camera().project(truth) - one.camera().project(template.vertices) for one in photos]
    away = moved[1][tip, 0]  # in the photo from the side the nose goes sideways, in the one from the front it stays
    assert np.median(np.abs(away)) > 3.0
    assert np.nanmedian(off[1, tip, 0] / away) > 0.5
    assert np.nanmedian(off[0, tip, 0] / away) < -0.5, "or the front view's skin goes the other way"
    flat = (template.regions["face"] > 0.9) & (template.regions["nose"] < 0.01)
    assert np.nanmedian(np.linalg.norm(off[:, flat], axis=-1)) < 0.5


def test_when_the_mesh_is_right_the_same_matches_are_content(template, scene) -> None:
    truth, photos, *_ = scene
    tip = template.regions["nose"] > 0.8
    before, after = (targets(scene, photos, shape)[1][:, tip] for shape in (template.vertices, truth))
    size = [np.nanmedian(np.linalg.norm(off, axis=-1)) for off in (before, after)]
    assert size[1] < 0.5 * size[0], "the flow found more than half of the way"


def test_a_photo_that_moved_is_told_to_come_back(template, scene) -> None:
    """Of two photos one moves by 5 px: its vertices are off by that, and the other's by what that looks like there."""
    _, photos, *_ = scene
    shifted = (photos[0], replace(photos[1], lateral=photos[1].lateral + np.array([5.0 / 1800.0, 0.0])))
    before, after = targets(scene, photos, template.vertices)[1], targets(scene, shifted, template.vertices)[1]
    change = np.nanmedian(after - before, axis=1)
    np.testing.assert_allclose(change[1], [-5.0, 0.0], atol=0.1)
    assert 3.0 < change[0][0] < 8.0 and abs(change[0][1]) < 0.5


def test_a_tangent_plane_seen_from_the_side_gives_no_wild_target(template, scene) -> None:
    _, photos, _, _, _, _ = scene
    turned = (photos[0], photo(template, 95.0))
    found, off = targets(scene, turned, template.vertices)
    assert np.isfinite(found[0].targets.pixels).all() and np.nanmax(np.abs(off[0])) < 40 * SIZE


def test_pairs_are_compared_once_whoever_asks() -> None:
    angles = np.radians([0.0, 10.0, 20.0, 80.0])
    directions = np.stack([np.sin(angles), 0 * angles, np.cos(angles)], -1)
    assert dense.compared_pairs(directions, 1) == [(0, 1), (1, 2), (2, 3)]
    assert dense.compared_pairs(directions, 3) == [(a, b) for a in range(4) for b in range(a + 1, 4)]


def test_glasses_give_no_match_and_no_flow(template, scene) -> None:
    _, photos, faces, scales, mesh, _ = scene
    hidden = replace(faces[1], labels=np.full((SIZE, SIZE), FaceClass.GLASSES, np.uint8))
    views = dense.views_of((faces[0], hidden), photos, (template.vertices,) * 2, scales, mesh, 192)
    matches = dense.dense_matches(views, mesh, 192, 4)
    assert dense.matched_targets(matches, photos, (template.vertices,) * 2, scales, mesh, STAGE) == (None, None)
    assert dense.dense_targets(views, scales, mesh, 192, DenseStage(), len(photos[0].nuisance)) == (None, None)
    none = dense.DenseMatches(
        (dense.PairMatches(0, 1, *np.zeros((1, 0), int), *np.zeros((2, 0, 2)), np.zeros(0)),), (1.0, 1.0)
    )
    assert dense.matched_targets(none, photos, (template.vertices,) * 2, scales, mesh, STAGE) == (None, None)


def test_the_cage_takes_the_dense_stages_matches(template, scene, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, photos, faces, _, _, matches = scene

    def refused(*arguments: object) -> None:
        raise AssertionError("no new flow")

    monkeypatch.setattr(fit.dense, "dense_targets", refused)
    estimate = FaceEstimate(np.zeros(len(template.identity_modes)), photos)
    state = FitState(template, faces, estimate, (), (), matches=matches)
    found = fit.run_cage_stage(state, FitOptions(dense=STAGE))
    tip = template.regions["nose"] > 0.8
    moved = (found.neutral - template.vertices)[tip, 2].mean()
    assert 5e-5 < moved < truth[tip, 2].mean() - template.vertices[tip, 2].mean()


def test_photos_that_do_not_show_the_same_skin_match_nowhere(template, scene) -> None:
    truth, photos, faces, scales, mesh, matches = scene
    stranger = photograph(template, truth, photos[1], blotched(template, seed=1))
    views = dense.views_of((faces[0], stranger), photos, (truth,) * 2, scales, mesh, WIDTH)
    found = sum(pair.weight.sum() for pair in dense.dense_matches(views, mesh, WIDTH, 4).pairs)
    assert found < 0.05 * matches.pairs[0].weight.sum()


def flows(scene, believed: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of both photos: vertices (M,) that flow over the mesh ``believed`` gives targets, and how far away (M, 2)."""
    _, photos, faces, scales, mesh, _ = scene
    views = dense.views_of(faces, photos, (believed,) * 2, scales, mesh, WIDTH)
    found = dense.dense_targets(views, scales, mesh, WIDTH, DenseStage(step=1.0), len(photos[0].nuisance))
    return [
        (target.vertices, target.targets.pixels - parameters.camera().project(believed[target.vertices])[:, :2])
        for target, parameters in zip(found, photos, strict=True)
    ]


def test_no_flow_where_the_mesh_is_right(scene) -> None:
    assert all(np.median(np.linalg.norm(off, axis=-1)) < 0.5 for _, off in flows(scene, scene[0]))


def test_flow_points_where_a_wrong_nose_should_go(template, scene) -> None:
    """A nose that is believed 6 mm too flat: seen from the side, the flow pushes it outwards."""
    truth, photos, *_ = scene
    vertices, pushed = flows(scene, template.vertices)[1]
    on_nose = template.regions["nose"][vertices] > 0.8
    should = (photos[1].camera().project(truth) - photos[1].camera().project(template.vertices))[vertices][on_nose]
    assert np.median(np.abs(should[:, 0])) > 3.0
    assert np.median(pushed[on_nose, 0] / should[:, 0]) > 0.5


def test_cage_follows_two_views_and_stays_smooth(template) -> None:
    mesh = dense.dense_mesh(template)
    bump = np.exp(-((np.linalg.norm(template.vertices - template.vertices[mesh.vertices[300]], axis=-1) / 0.02) ** 2))
    truth = template.vertices + bump[:, None] * np.array([0.0, 0.0, 0.0015])
    photos = (photo(template, 40.0), photo(template, -40.0), photo(template, 0.0))
    targets = []
    for parameters in photos:
        pixels = parameters.camera().project(truth[mesh.vertices])[:, :2]
        whitening = np.tile(np.eye(2) / 0.5, (len(pixels), 1, 1))
        information = np.full(len(pixels), 0.3)
        targets.append(
            dense.DenseTargets(
                mesh.vertices, PointTargets(mesh.points, pixels, whitening, information, np.zeros((len(pixels), 2, 0)))
            )
        )
    identity = np.zeros(len(template.identity_modes))
    offsets = solve_cage(template, photos, identity, tuple(targets), CageStage(), 3.0)
    before = np.linalg.norm(truth - template.vertices, axis=-1)[mesh.vertices]
    after = np.linalg.norm(truth - template.vertices - offsets, axis=-1)[mesh.vertices]
    assert after[before > 0.0007].mean() < 0.6 * before[before > 0.0007].mean()
    ears = template.regions["ears"] > 0.9
    assert np.linalg.norm(offsets[ears], axis=-1).max() < 0.0005
