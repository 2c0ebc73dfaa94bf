"""The stage of the learned face model: terms, phases, beginnings, that it learns, resumes exactly and exports."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from basis_parts import CPU, SIZE, SMALL_NET, ReplayConfig, chosen_sets, small_people, small_stage

from backend.geometry.template import load_template, triangles_from_quads
from backend.geometry.vectors import vertex_normals
from backend.models.learned_basis.network import FaceBases, FacePose, LearnedBasisNet
from backend.rendering.camera import PerspectiveCameras
from backend.rendering.spherical_harmonics import shade
from trainer.engine.logs import read_log
from trainer.engine.loop import RunOptions, train
from trainer.engine.recipe import RECIPES, Recipe, load_recipe
from trainer.export import export_run
from trainer.methods.lap.sets import AugmentConfig
from trainer.methods.learned_basis import start
from trainer.methods.learned_basis.losses import contour_error, lip_masks, mesh_contours, photo_contours
from trainer.methods.learned_basis.stage import augment_faces, face_figures, mirrored_faces

TEMPLATE = load_template()


def true_cameras(truth) -> PerspectiveCameras:
    return PerspectiveCameras(truth.intrinsics, truth.camera_from_head)


@pytest.mark.parametrize("phase", ["pose", "identity", "together", "appearance"])
def test_the_phase_decides_who_learns_and_from_what(phase: str) -> None:
    torch.manual_seed(0)
    stage = small_stage(phase=phase).build(CPU)
    terms = stage.step(small_people(), 0.0)
    assert all(torch.isfinite(value) for value in terms.values())
    pose = {"mean_landmark", "pose"}
    assert set(terms) == pose if phase == "pose" else pose < set(terms)
    assert ("disentangle" in terms) == ("expression" in terms) == (phase == "together")
    sum(terms.values()).backward()
    moving = {g.name for g in stage.parameter_groups() if g.rate(0.5) > 0}
    assert (
        moving
        == {
            "pose": {"pose"},
            "identity": {"pose", "rest", "geometry", "reflectance", "appearance", "light"},
            "together": {"pose", "rest", "geometry", "reflectance", "appearance", "light", "expression"},
            "appearance": {"reflectance", "appearance", "light"},
        }[phase]
    )
    for group in stage.parameter_groups():
        if group.name in moving:
            assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in group.parameters), group.name
        elif phase == "appearance":
            assert all(p.grad is None for p in group.parameters), group.name


def test_a_light_that_solved_ones_are_held_to_does_not_drift() -> None:
    solved = dataclasses.replace(SMALL_NET, light="solved")
    for phase, learns in (("appearance", False), ("together", True)):
        groups = small_stage(phase=phase, network=solved).build(CPU).parameter_groups()
        assert {group.rate(0.5) > 0 for group in groups if group.name == "light"} == {learns}


def test_without_truth_terms_are_those_of_the_paper() -> None:
    stage = small_stage(start_people=0).build(CPU)
    terms = stage.step(chosen_sets(small_people(), [0, 4], known=False), 0.0)
    assert not {"shape", "expression", "pose", "light", "albedo"} & set(terms)
    assert {"landmark", "mean_landmark", "lips", "photometric", "perceptual", "smooth", "disentangle"} <= set(terms)


def test_disentanglement_looks_at_neutral_faces_alone() -> None:
    people = small_people()
    assert people.neutral.tolist()[-1] and not people.neutral.all()
    stage = small_stage(start_people=0).build(CPU)
    assert stage.step(chosen_sets(people, [4]), 0.0)["disentangle"] > 0
    moving = chosen_sets(people, [0])
    moving = dataclasses.replace(moving, neutral=torch.zeros_like(moving.neutral))
    assert stage.step(moving, 0.0)["disentangle"] == 0


def test_the_true_face_in_the_true_camera_fits_landmarks_and_lips() -> None:
    people = small_people()
    cameras = true_cameras(people.truth)
    pixels = cameras.project(people.truth.vertices)
    marks = start.FaceMarks()
    apart = (cameras.project(marks.points(people.truth.vertices))[..., :2] - people.landmarks).norm(dim=-1)
    assert apart.max() < 0.05, "pixels"
    contours, photo = (
        mesh_contours(pixels, start.lip_grid()),
        photo_contours(lip_masks(people.labels, people.landmarks)),
    )
    fitting = contour_error(contours, photo, SIZE, 10.0)
    for shift in (-2.0, 2.0):
        moved = tuple(line + torch.tensor([0.0, shift]) for line in contours)
        assert contour_error(moved, photo, SIZE, 10.0) > 1.15 * fitting


def test_an_outline_slides_inwards_where_the_face_turns_away() -> None:
    bases = FaceBases(SMALL_NET)
    marks, vertices = start.FaceMarks(), bases.mean[None].expand(2, -1, -1)
    from backend.geometry.vectors import vertex_normals

    normals = vertex_normals(vertices, bases.faces)
    angles = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.7, 0.0]])
    cameras = FacePose(angles, torch.zeros(2, 2), torch.full((2,), 5.0), torch.ones(2)).cameras(100)
    fixed = marks.points(vertices)
    slid = marks.slid(vertices, normals, cameras, torch.tensor([True, True]))
    moved = (slid - fixed).norm(dim=-1)
    inner = np.setdiff1d(np.arange(468), marks.outline.numpy())
    assert moved[:, inner].max() == 0
    assert moved[1].max() > 0.01 > moved[0].mean(), "metres"
    still = marks.slid(vertices, normals, cameras, torch.tensor([False, False]))
    torch.testing.assert_close(still, fixed)


def test_changed_photos_keep_their_truth_true() -> None:
    torch.manual_seed(1)
    config = AugmentConfig(rotate_degrees=15.0, zoom=0.1, shift=0.05, exposure=0.2)
    people = small_people()
    changed = augment_faces(people, config)
    assert (changed.landmarks - people.landmarks).abs().max() > 2
    seen = true_cameras(changed.truth).project(start.FaceMarks().points(changed.truth.vertices))[..., :2]
    assert (seen - changed.landmarks).norm(dim=-1).max() < 0.05
    assert set(changed.labels.unique().tolist()) <= {*people.labels.unique().tolist(), 255}
    # the pictures moved along: skin is where the true face says
    back, _ = start.visible_reflectance(dataclasses.replace(changed, truth=changed.truth))
    before, known = start.visible_reflectance(people)
    assert (back - before)[known].abs().median() < 0.03
    torch.testing.assert_close(augment_faces(people, AugmentConfig()).images, people.images)


def test_faces_in_a_mirror_keep_their_truth_true() -> None:
    people = small_people()
    which = torch.arange(len(people.images)) % 2 == 0
    changed = mirrored_faces(people, which)
    seen = true_cameras(changed.truth).project(start.FaceMarks().points(changed.truth.vertices))[..., :2]
    assert (seen - changed.landmarks).norm(dim=-1).max() < 0.05
    torch.testing.assert_close(changed.images[which], people.images[which].flip(-1))
    torch.testing.assert_close(changed.images[~which], people.images[~which])
    # the shading of a mirrored surface by the mirrored light is the mirrored shading
    faces = torch.from_numpy(triangles_from_quads(TEMPLATE.quads)).long()
    cage = people.truth.vertices.shape[1]
    faces = faces[(faces < cage).all(1)]
    mirror = torch.from_numpy(TEMPLATE.mirror[:cage].astype(np.int64))
    before, after = (
        shade(vertex_normals(truth.vertices, faces), truth.light) for truth in (people.truth, changed.truth)
    )
    torch.testing.assert_close(after[which], before[which][:, mirror], atol=2e-3, rtol=0)
    assert (after[~which] - before[~which]).abs().max() < 1e-6 and (before - before[:, mirror]).abs().max() > 0.05
    twice = mirrored_faces(changed, which)
    torch.testing.assert_close(twice.truth.camera_from_head, people.truth.camera_from_head)
    torch.testing.assert_close(twice.landmarks, people.landmarks)


def test_principal_directions_span_what_they_are_made_of() -> None:
    g = np.random.default_rng(0)
    metric = np.diag(g.uniform(0.5, 2, 5))
    vectors = g.normal(size=(3, 5, 3))
    found = start.principal(vectors, metric, 4).astype(np.float64)
    assert not found[3].any(), "rank 3"
    gram = np.einsum("igc,gh,jhc->ij", found[:3], metric, found[:3])
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-5)
    covariance = [np.tensordot(v, v, (0, 0)) for v in (vectors.reshape(3, -1), found.reshape(4, -1))]
    np.testing.assert_allclose(covariance[0], covariance[1], atol=1e-5)


def test_a_trained_models_bases_are_not_begun_again() -> None:
    stage = small_stage(start_people=0).build(CPU)
    with torch.no_grad():
        stage.network.bases.identity_raw.fill_(
            0.3
        )  # as from an exported model, which does not say that they have begun
    stage.step(small_people(), 0.0)
    assert bool((stage.network.bases.identity_raw == 0.3).all())


def test_a_beginning_from_people_can_express_the_templates_expressions() -> None:
    bases = FaceBases(dataclasses.replace(SMALL_NET, expression=52, identity=140))
    start.begin_from_people(bases, 20)
    head = TEMPLATE.head.vertex_stop
    spread = bases.surface.upsampling(eyes=True).to_dense()[:head]
    modes = torch.einsum("vg,mgc->mvc", spread, bases.expression.detach()).flatten(1) * 1e-3
    wanted = torch.from_numpy(TEMPLATE.expressions[:, :head]).flatten(1)
    left = wanted - torch.linalg.lstsq(modes.T, wanted.T, driver="gelsd").solution.T @ modes
    assert left.norm() < 0.35 * wanted.norm(), "60 nodes are few"
    long, short = (
        torch.einsum("vg,mgc->mvc", spread, m.detach()).norm() for m in (bases.identity_raw, bases.identity())
    )
    assert 0.2 * long < short < long, "what expressions do is taken out of identity"


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_it_learns_and_its_export_is_what_the_backend_loads(tmp_path: Path) -> None:
    stage = small_stage(
        start="people",
        start_shapes=20,
        steps=60,
        validation=ReplayConfig(),
        validation_samples=5,
        select="-neutral",
        geometry_rate=3.0,
    )
    train(
        Recipe(name="toy", seed=1, log_steps=5, validate_steps=60, stages=(stage,)), RunOptions(tmp_path, device="cpu")
    )
    rows = read_log(tmp_path)
    losses = [row["values"] for row in rows if row["kind"] == "train"]
    for term, share in (("landmark", 0.5), ("pose", 0.6), ("shape", 0.95), ("light", 0.8), ("loss", 0.7)):
        first, last = (np.mean([row[term] for row in part]) for part in (losses[:2], losses[-2:]))
        assert last < share * first, term
    found = [row["values"] for row in rows if row["kind"] == "validation"][-1]
    assert found["neutral"] < found["neutral.mean_face"] and 0 <= found["lip_iou.upper"] <= 1
    export_run(tmp_path, tmp_path / "model")
    from backend.models.learned_basis.apply import BasisModel

    network = BasisModel.load(tmp_path / "model").network
    assert isinstance(network, LearnedBasisNet)
    figures = face_figures(network, start.FaceMarks(), [small_people()])
    assert figures["landmark"] == pytest.approx(found["landmark"], rel=0.2)


def test_an_exported_model_may_solve_for_its_light() -> None:
    stage = load_recipe(RECIPES / "learned_basis_cpu_appearance.toml").stages[-1]
    assert stage.network.light == "predicted" and stage.build(CPU).export().config["light"] == "solved"
    trained = dataclasses.replace(stage, exported_light="as_trained")
    assert trained.build(CPU).export().config["light"] == "predicted"
