"""The graph face model in the product: one identity for all photos, and a fit that moves in a decoder that bends."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from encoded_hand_made import nothing_known, photo_of

from backend.errors import DamagedFileError
from backend.fitting.fit import FaceModels, fit_face
from backend.fitting.fitted_face import FittedFace
from backend.fitting.options import FitOptions
from backend.geometry.template import Template, load_template
from backend.models.checkpoints import ModelWeights, fingerprint, half_precision, save_model
from backend.models.graph_face import GraphFaceConfig, GraphFaceNet, GraphModel, graph_face, template_around
from backend.models.learned_basis.apply import EncodedFace
from backend.models.registry import GRAPH_FACE, forget_models, open_models
from backend.photos.collection import PhotoCollection, SurfaceLandmarks

SMALL = GraphFaceConfig(
    size=32, identity=5, expression=4, order=2, widths=(8, 8, 6, 4), albedo_widths=(4, 4, 4, 4), feature=8, landmarks=0
)


class BentNet(GraphFaceNet):
    """A network whose neutral face bends with its code: three modes of the template, and the square of the first
    code's number along a fourth."""

    def shape(self, identity: torch.Tensor, expression: torch.Tensor) -> torch.Tensor:
        template = load_template()
        modes = torch.from_numpy(template.identity_modes[:6, : len(self.mean)])
        code = torch.cat([identity, 0.4 * identity[:, :1] ** 2], 1)
        return self.mean + torch.einsum("bk,kvc->bvc", code, modes)


@pytest.fixture(scope="module")
def template() -> Template:
    return load_template()


@pytest.fixture(scope="module")
def model() -> GraphModel:
    torch.manual_seed(3)
    return GraphModel(BentNet(SMALL).eval(), torch.device("cpu"), "bent")


CODE = np.array([1.6, -0.8, 0.9, 0.5, -0.6])


def test_the_template_around_a_code_is_the_decoder_there(template: Template, model: GraphModel) -> None:
    own = template_around(template, model, CODE)
    count = template.head.vertex_stop

    def decoded(code: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model.network.neutral(torch.from_numpy(code[None]).float())[0].double().numpy()

    def in_modes(code: np.ndarray) -> np.ndarray:
        return own.vertices + np.tensordot(code, own.identity_modes, 1)

    np.testing.assert_allclose(in_modes(CODE)[:count], decoded(CODE), atol=2e-6)
    near = CODE + np.array([0.05, -0.1, 0.0, 0.1, 0.0])
    bent = np.abs(decoded(near) - decoded(CODE)).max()
    assert np.abs(in_modes(near)[:count] - decoded(near)).max() < 0.02 * bent
    eye = template.parts["eye_left"]
    moved = in_modes(CODE)[eye.vertex_start : eye.vertex_stop] - template.vertices[eye.vertex_start : eye.vertex_stop]
    assert np.ptp(moved, axis=0).max() < 1e-6 < np.abs(moved).max()  # an eyeball moves as a whole, with the skin


def fitted(
    template: Template, model: GraphModel, encoder_is_perfect: bool, renewed: bool
) -> tuple[FittedFace, np.ndarray]:
    """The fit to three photos of a face that the decoder has, and that face (V_head, 3)."""
    true = template_around(template, model, CODE)
    made = [photo_of(true, CODE, np.zeros(52), yaw, 1.0, number) for number, yaw in enumerate((0.0, 25.0, -30.0))]
    faces = tuple(
        replace(face, surface=SurfaceLandmarks(face.landmarks[:, :2].astype(np.float64), np.full(478, 1.0)))
        for face, _ in made
    )
    count = template.head.vertex_stop
    face = (true.vertices + np.tensordot(CODE, true.identity_modes, 1))[:count]
    photos = tuple(photo for _, photo in made)
    code = CODE if encoder_is_perfect else np.zeros(5)
    start = EncodedFace(face - template.vertices[:count], np.full((count, 3), 0.3), photos, "made", code)
    start = start if encoder_is_perfect else nothing_known(start)
    around = partial(template_around, template, model)
    result = fit_face(
        PhotoCollection(faces),
        FitOptions(dense=None, cage=None),
        template if renewed else around(code),
        FaceModels(encoded=lambda photos: start, modes_around=around if renewed else None),
    )
    return result, face


def face_mm(template: Template, first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance over the face."""
    count = template.head.vertex_stop
    face = template.regions["face"][:count] > 0.5
    return float(1e3 * np.linalg.norm((first[:count] - second)[face], axis=-1).mean())


def test_a_fit_moves_in_the_decoder_and_ends_on_one_of_its_faces(template: Template, model: GraphModel) -> None:
    found, truth = fitted(template, model, encoder_is_perfect=False, renewed=True)
    frozen, _ = fitted(template, model, encoder_is_perfect=False, renewed=False)
    start = face_mm(template, template.vertices, truth)
    assert face_mm(template, found.neutral, truth) < 0.5 * start
    assert face_mm(template, found.neutral, truth) < face_mm(template, frozen.neutral, truth)
    with torch.no_grad():
        own = model.network.neutral(torch.from_numpy(found.identity[None]).float())[0].numpy()
    lips = template.regions["lips"][: len(own)] + template.regions["mouth_interior"][: len(own)]
    still = lips < 0.01  # the fit shuts the lips afterwards
    assert np.median(np.linalg.norm(found.neutral[: len(own)] - own, axis=-1)[still]) < 1e-5


def test_one_person_whatever_the_order(template: Template, model: GraphModel) -> None:
    zero = np.zeros(len(template.identity_modes)), np.zeros(52)
    faces = [photo_of(template, *zero, yaw, 1.0, number)[0] for number, yaw in enumerate((0.0, 20.0, -30.0))]
    seen: list[tuple[str, float]] = []
    one = graph_face(faces, model, lambda stage, fraction: seen.append((stage, fraction)))
    turned = graph_face(faces[::-1], model)
    np.testing.assert_allclose(one.code, turned.code, atol=1e-5)
    np.testing.assert_allclose(one.identity, turned.identity, atol=1e-6)
    assert seen == [("encoder", 0.0), ("encoder", 1.0)] and one.version == "bent"
    assert [photo.name for photo in one.photos] == [face.name for face in faces]
    assert 0 <= one.reflectance.min() <= one.reflectance.max() <= 1
    with pytest.raises(ValueError, match="at least one"):
        graph_face((), model)


def test_weights_that_are_there_and_weights_that_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_models()
    monkeypatch.setenv(GRAPH_FACE.folder_variable, str(tmp_path / "none"))
    assert GRAPH_FACE.find() is None
    torch.manual_seed(0)
    config = replace(SMALL, landmarks=4)
    tensors = half_precision(GraphFaceNet(config).trainable_state())
    save_model(ModelWeights(GRAPH_FACE.name, config.to_json(), tensors, fingerprint(tensors)), tmp_path / "model")
    monkeypatch.setenv(GRAPH_FACE.folder_variable, str(tmp_path / "model"))
    made = GRAPH_FACE.find()
    assert made is not None and made.wants_surface and made.version == fingerprint(tensors)
    taken = open_models(also={"graph_face"})
    assert taken.of(GRAPH_FACE, GraphModel) is made and taken.to_report()["learned_basis"] == "not used"
    assert open_models().to_report()["graph_face"] == "not used"  # it is asked for, or stays away
    alone = open_models({"landmarks"}, also={"graph_face"}).to_report()  # its encoder wants what the landmark net sees
    assert alone["graph_face"] == "not used without landmarks" and len(alone["learned_basis"]) == 12
    forget_models()
    shard = next((tmp_path / "model").glob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[-100] ^= 0xFF
    shard.write_bytes(bytes(content))
    with pytest.raises(DamagedFileError):
        GRAPH_FACE.find()
    forget_models()
