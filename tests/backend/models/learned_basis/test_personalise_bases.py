"""Bases tuned on one person's photos: kept where a held-out photo gains, and nothing else is touched."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from encoded_hand_made import photo_of, tiny_network

from backend.geometry.template import load_template
from backend.models.learned_basis.apply import BasisModel, PersonaliseOptions, encoder_input, personalise, render_face
from backend.photos.collection import PhotoFace

FEW = PersonaliseOptions(steps=12, reflectance_rate=0.01, geometry_rate=0.05)


def of_a_dark_person(model: BasisModel, count: int) -> list[PhotoFace]:
    """Photos of one grey each: as bright on average as the model's picture of them with half the reflectance."""
    template = load_template()
    zero = np.zeros(len(template.identity_modes)), np.zeros(52)
    faces = [
        photo_of(template, *zero, yaw, 1.0, number)[0] for number, yaw in enumerate((0.0, 10.0, -10.0, 5.0)[:count])
    ]
    given = encoder_input(faces, 32)
    painted = []
    with torch.no_grad():
        code = model.network(given.pictures * 2 - 1, torch.zeros(count, dtype=torch.long), given.landmarks)
        face = model.network.face(code)
        half = replace(face, reflectance=0.5 * face.reflectance)
        pixels = code.pose.cameras(32).project(face.vertices)
        pictures = render_face(model.network.bases, half, pixels, code.light, 32).image
    for photo, picture in zip(faces, pictures, strict=True):
        level = int(255 * float(picture[picture > 0.05].mean()))
        painted.append(replace(photo, pixels=np.full_like(photo.pixels, level)))
    return painted


@pytest.fixture(scope="module")
def model() -> BasisModel:
    return BasisModel(tiny_network(), torch.device("cpu"), "tiny")


def test_a_darker_person_makes_the_reflectance_darker_and_a_held_out_photo_gains(model: BasisModel) -> None:
    faces = of_a_dark_person(model, 4)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    told: list[float] = []
    found = personalise(faces, model, FEW, lambda stage, fraction: told.append(fraction))
    assert found.held_out == faces[2].name and found.used and found.after < 0.97 * found.before
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, before[name]), "the model itself stays"
    tuned = found.model.network.state_dict()
    changed = {name for name, value in tuned.items() if not torch.equal(value, before[name])}
    assert changed == {"bases.identity_raw", "bases.expression", "bases.reflectance"}
    assert found.model.version.startswith("tiny, ") and told[0] == 0.0 and told[-1] == 1.0
    report = json.loads(json.dumps(found.to_report()))
    assert report["used"] is True and report["seconds"] > 0


def test_what_does_not_help_is_not_used(model: BasisModel) -> None:
    faces = of_a_dark_person(model, 4)
    bright = replace(faces[2], pixels=np.full_like(faces[2].pixels, 250))
    found = personalise([faces[0], faces[1], bright, faces[3]], model, FEW)
    assert not found.used and found.model is model and found.after >= found.before


def test_few_or_grey_photos_are_not_enough(model: BasisModel) -> None:
    faces = of_a_dark_person(model, 3)
    for given in (faces[:2], [replace(face, monochrome=True) for face in faces]):
        found = personalise(given, model, FEW)
        assert found.model is model and not found.used and "three" not in found.to_report()
        assert "3 colour photos" in str(found.to_report()["reason"])
