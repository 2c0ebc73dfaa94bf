"""The encoder on a collection's faces: one identity for all photos, whatever the order; weights that are not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from encoded_hand_made import TINY, photo_of, save_tiny, tiny_network
from scipy.spatial.transform import Rotation

from backend.errors import LikenessError
from backend.geometry.deformation_graph import deformation_graph
from backend.geometry.template import load_template
from backend.models.learned_basis.apply import BasisModel, encoded_face, encoder_input
from backend.models.registry import LEARNED_BASIS
from backend.photos.faces import Window


def faces():
    template = load_template()
    zero = np.zeros(len(template.identity_modes)), np.zeros(52)
    return tuple(photo_of(template, *zero, yaw, 1.0, number)[0] for number, yaw in enumerate((0.0, 20.0, -30.0)))


@pytest.fixture(scope="module")
def model() -> BasisModel:
    return BasisModel(tiny_network(), torch.device("cpu"), "tiny")


def test_one_person_whatever_the_order_and_offsets_of_the_cage(model: BasisModel) -> None:
    given = faces()
    seen: list[tuple[str, float]] = []
    encoded = encoded_face(given, model, lambda stage, fraction: seen.append((stage, fraction)))
    turned = encoded_face(given[::-1], model)
    np.testing.assert_allclose(encoded.identity, turned.identity, atol=1e-7)
    np.testing.assert_allclose(encoded.photos[0].expression, turned.photos[2].expression, atol=1e-7)
    assert seen == [("encoder", 0.0), ("encoder", 1.0)] and encoded.version == "tiny"
    template = load_template()
    count = template.head.vertex_stop
    assert encoded.identity.shape == encoded.reflectance.shape == encoded.photos[0].expression.shape == (count, 3)
    # level 0: the model's own mesh is the cage, so that its vertices say the same
    with torch.no_grad():
        fed = encoder_input(given, TINY.size)
        face = model.network.face(model.network(fed.pictures * 2 - 1, torch.zeros(3, dtype=torch.long), fed.landmarks))
    offsets = face.neutral[0, :count].numpy() - template.vertices[:count]
    np.testing.assert_allclose(encoded.identity, offsets, atol=2e-6)
    assert 1e-4 < np.abs(encoded.identity).max() < 0.1
    assert deformation_graph(TINY.nodes).weights.shape == (count, TINY.nodes)
    with pytest.raises(ValueError, match="at least one"):
        encoded_face((), model)


def test_landmarks_are_given_in_sides_of_what_is_shown() -> None:
    given = faces()
    fed = encoder_input(given, 50)
    assert fed.pictures.shape == (3, 3, 50, 50) and fed.landmarks.shape == (3, 468, 2)
    back = fed.windows[1].to_picture(fed.landmarks[1].numpy() * 50, 50)
    np.testing.assert_allclose(back, given[1].landmarks[:468, :2], atol=1e-2)
    low, high = fed.landmarks[0].amin(0), fed.landmarks[0].amax(0)
    assert low.min() > 0 and high.max() < 1 and (high - low).min() > 0.7


def test_the_turn_of_the_window_is_the_heads_tilt(model: BasisModel) -> None:
    photo = encoded_face(faces()[:1], model).photos[0]
    tilted = replace(photo, window=Window((0.0, 0.0), 1.0, np.radians(20.0)))
    between = tilted.rotation_in_photo() @ photo.rotation.T
    np.testing.assert_allclose(Rotation.from_matrix(between).as_rotvec(degrees=True), [0, 0, 20], atol=1e-4)


def test_weights_that_are_there_and_weights_that_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEARNED_BASIS.folder_variable, str(save_tiny(tmp_path / "basis")))
    found = LEARNED_BASIS.load()
    assert len(found.version) == 12 and found.network.config == TINY
    monkeypatch.setenv(LEARNED_BASIS.folder_variable, str(tmp_path / "nothing"))
    assert LEARNED_BASIS.find() is None
    with pytest.raises(LikenessError, match="not trained"):
        LEARNED_BASIS.load()
