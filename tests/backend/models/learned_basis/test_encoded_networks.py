"""The encoder on a collection's faces, and bases tuned on one person's photos."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from encoded_hand_made import TINY, photo_of, tiny_network
from scipy.spatial.transform import Rotation

from backend.geometry.deformation_graph import deformation_graph
from backend.geometry.template import load_template
from backend.models.learned_basis import apply
from backend.photos.collection import PhotoFace
from backend.photos.faces import Window

FEW = apply.PersonaliseOptions(steps=12, reflectance_rate=0.01, geometry_rate=0.05)


def faces(yaws: tuple[float, ...] = (0.0, 20.0, -30.0)) -> tuple[PhotoFace, ...]:
    template = load_template()
    zero = np.zeros(len(template.identity_modes)), np.zeros(52)
    return tuple(photo_of(template, *zero, yaw, 1.0, number)[0] for number, yaw in enumerate(yaws))


@pytest.fixture(scope="module")
def model() -> apply.BasisModel:
    return apply.BasisModel(tiny_network(), torch.device("cpu"), "tiny")


def test_one_person_whatever_the_order_and_offsets_of_the_cage(model: apply.BasisModel) -> None:
    given = faces()
    seen: list[tuple[str, float]] = []
    encoded = apply.encoded_face(given, model, lambda stage, fraction: seen.append((stage, fraction)))
    turned = apply.encoded_face(given[::-1], model)
    np.testing.assert_allclose(encoded.identity, turned.identity, atol=1e-7)
    np.testing.assert_allclose(encoded.photos[0].expression, turned.photos[2].expression, atol=1e-7)
    assert seen == [("encoder", 0.0), ("encoder", 1.0)] and encoded.version == "tiny"
    template = load_template()
    count = template.head.vertex_stop
    assert encoded.identity.shape == encoded.reflectance.shape == encoded.photos[0].expression.shape == (count, 3)
    # level 0: the model's own mesh is the cage, so that its vertices say the same
    with torch.no_grad():
        fed = apply.encoder_input(given, TINY.size)
        face = model.network.face(model.network(fed.pictures * 2 - 1, torch.zeros(3, dtype=torch.long), fed.landmarks))
    offsets = face.neutral[0, :count].numpy() - template.vertices[:count]
    np.testing.assert_allclose(encoded.identity, offsets, atol=2e-6)
    assert 1e-4 < np.abs(encoded.identity).max() < 0.1
    assert deformation_graph(TINY.nodes).weights.shape == (count, TINY.nodes)
    with pytest.raises(ValueError, match="at least one"):
        apply.encoded_face((), model)


def test_landmarks_are_given_in_sides_of_what_is_shown() -> None:
    given = faces()
    fed = apply.encoder_input(given, 50)
    assert fed.pictures.shape == (3, 3, 50, 50) and fed.landmarks.shape == (3, 468, 2)
    back = fed.windows[1].to_picture(fed.landmarks[1].numpy() * 50, 50)
    np.testing.assert_allclose(back, given[1].landmarks[:468, :2], atol=1e-2)
    low, high = fed.landmarks[0].amin(0), fed.landmarks[0].amax(0)
    assert low.min() > 0 and high.max() < 1 and (high - low).min() > 0.7


def test_the_turn_of_the_window_is_the_heads_tilt(model: apply.BasisModel) -> None:
    photo = apply.encoded_face(faces()[:1], model).photos[0]
    tilted = replace(photo, window=Window((0.0, 0.0), 1.0, np.radians(20.0)))
    between = tilted.rotation_in_photo() @ photo.rotation.T
    np.testing.assert_allclose(Rotation.from_matrix(between).as_rotvec(degrees=True), [0, 0, 20], atol=1e-4)


def of_a_dark_person(model: apply.BasisModel, count: int) -> list[PhotoFace]:
    """Photos of one grey each: as bright on average as the model's picture of them with half the reflectance."""
    photos = faces((0.0, 10.0, -10.0, 5.0)[:count])
    given = apply.encoder_input(photos, 32)
    painted = []
    with torch.no_grad():
        code = model.network(given.pictures * 2 - 1, torch.zeros(count, dtype=torch.long), given.landmarks)
        face = model.network.face(code)
        half = replace(face, reflectance=0.5 * face.reflectance)
        pixels = code.pose.cameras(32).project(face.vertices)
        pictures = apply.render_face(model.network.bases, half, pixels, code.light, 32).image
    for photo, picture in zip(photos, pictures, strict=True):
        level = int(255 * float(picture[picture > 0.05].mean()))
        painted.append(replace(photo, pixels=np.full_like(photo.pixels, level)))
    return painted


def test_a_darker_person_makes_the_reflectance_darker_and_a_held_out_photo_gains(model: apply.BasisModel) -> None:
    faces = of_a_dark_person(model, 4)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    told: list[float] = []
    found = apply.personalise(faces, model, FEW, lambda stage, fraction: told.append(fraction))
    assert found.held_out == faces[2].name and found.used and found.after < 0.97 * found.before
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, before[name]), "the model itself stays"
    tuned = found.model.network.state_dict()
    changed = {name for name, value in tuned.items() if not torch.equal(value, before[name])}
    assert changed == {"bases.identity_raw", "bases.expression", "bases.reflectance"}
    assert found.model.version.startswith("tiny, ") and told[0] == 0.0 and told[-1] == 1.0
    report = json.loads(json.dumps(found.to_report()))
    assert report["used"] is True and report["seconds"] > 0


def test_what_does_not_help_is_not_used(model: apply.BasisModel) -> None:
    faces = of_a_dark_person(model, 4)
    bright = replace(faces[2], pixels=np.full_like(faces[2].pixels, 250))
    found = apply.personalise([faces[0], faces[1], bright, faces[3]], model, FEW)
    assert not found.used and found.model is model and found.after >= found.before


def test_few_or_grey_photos_are_not_enough(model: apply.BasisModel) -> None:
    faces = of_a_dark_person(model, 3)
    for given in (faces[:2], [replace(face, monochrome=True) for face in faces]):
        found = apply.personalise(given, model, FEW)
        assert found.model is model and not found.used and "three" not in found.to_report()
        assert "3 colour photos" in str(found.to_report()["reason"])
