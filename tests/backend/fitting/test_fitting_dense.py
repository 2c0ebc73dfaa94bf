"""Dense alignment and the cage, on renders of a textured head whose shape is known."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.fitting.dense import DenseTargets, dense_mesh, dense_targets, views_of
from backend.fitting.detector_model import face_scale
from backend.fitting.options import CageStage, DenseStage
from backend.fitting.parameters import PhotoParameters
from backend.fitting.solver import PointTargets
from backend.fitting.stages import solve_cage
from backend.geometry.template import load_template
from backend.photos.collection import FaceClass

sys.path.append(str(Path(__file__).resolve().parent))
from dense_hand_made import SIZE, blotched, photo, photograph


@pytest.fixture(scope="module")
def template():
    return load_template()


@pytest.fixture(scope="module")
def blotches(template) -> np.ndarray:
    return blotched(template)


def flows(template, truth, believed, photos, colors) -> tuple[DenseTargets | None, ...]:
    faces = tuple(photograph(template, truth, one, colors) for one in photos)
    scales = tuple(face_scale(face.landmarks) for face in faces)
    stage = DenseStage(step=1.0)
    mesh = dense_mesh(template)
    views = views_of(faces, photos, (believed,) * len(photos), scales, mesh, 256)
    return dense_targets(views, scales, mesh, 256, stage, len(photos[0].nuisance))


def displacement_px(target: DenseTargets, parameters: PhotoParameters, believed: np.ndarray) -> np.ndarray:
    return target.targets.pixels - parameters.camera().project(believed[target.vertices])[:, :2]


def test_no_flow_where_the_mesh_is_right(template, blotches) -> None:
    photos = (photo(template, 0.0), photo(template, 25.0))
    targets = flows(template, template.vertices, template.vertices, photos, blotches)
    for target, parameters in zip(targets, photos, strict=True):
        assert target is not None
        assert np.median(np.linalg.norm(displacement_px(target, parameters, template.vertices), axis=-1)) < 0.5


def test_flow_points_where_a_wrong_nose_should_go(template, blotches) -> None:
    """A nose that is believed 6 mm too flat: seen from the side, the flow pushes it outwards."""
    nose = template.regions["nose"][:, None]
    truth = template.vertices + nose * np.array([0.0, 0.0, 0.006])
    photos = (photo(template, 0.0), photo(template, 30.0))
    targets = flows(template, truth, template.vertices, photos, blotches)
    side = targets[1]
    on_nose = template.regions["nose"][side.vertices] > 0.8
    pushed = displacement_px(side, photos[1], template.vertices)[on_nose]
    should = (photos[1].camera().project(truth) - photos[1].camera().project(template.vertices))[side.vertices][on_nose]
    assert np.median(np.abs(should[:, 0])) > 3.0
    assert np.median(pushed[:, 0] / should[:, 0]) > 0.5


def test_background_label_is_never_used(template, blotches) -> None:
    photos = (photo(template, 0.0), photo(template, 25.0))
    faces = [photograph(template, template.vertices, one, blotches) for one in photos]
    hidden = replace(faces[1], labels=np.full((SIZE, SIZE), FaceClass.GLASSES, np.uint8))
    scales = tuple(face_scale(face.landmarks) for face in faces)
    mesh = dense_mesh(template)
    views = views_of((faces[0], hidden), photos, (template.vertices,) * 2, scales, mesh, 192)
    found = dense_targets(views, scales, mesh, 192, DenseStage(), len(photos[0].nuisance))
    assert found == (None, None)


def test_cage_follows_two_views_and_stays_smooth(template) -> None:
    mesh = dense_mesh(template)
    bump = np.exp(-((np.linalg.norm(template.vertices - template.vertices[mesh.vertices[300]], axis=-1) / 0.02) ** 2))
    truth = template.vertices + bump[:, None] * np.array([0.0, 0.0, 0.0015])
    photos = (photo(template, 40.0), photo(template, -40.0), photo(template, 0.0))
    targets = []
    for parameters in photos:
        pixels = parameters.camera().project(truth[mesh.vertices])[:, :2]
        whitening = np.tile(np.eye(2) / 0.5, (len(pixels), 1, 1))
        information = np.full(len(pixels), 0.3)
        targets.append(
            DenseTargets(
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
