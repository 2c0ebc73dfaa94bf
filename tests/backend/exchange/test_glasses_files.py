"""Glasses in ``face.glb``, ``face.obj``, renders and the message; without them nothing changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pygltflib as gl
import pytest

from backend.exchange.assemble import assemble, with_pictures, worn_glasses
from backend.exchange.asset_mesh import asset_mesh, neutral_light, portrait_camera
from backend.exchange.face_asset import GLASSES_NAMES, FaceAsset
from backend.exchange.folder import write_obj
from backend.exchange.gltf import glb_bytes
from backend.exchange.wire import encode_face
from backend.geometry.template import load_template
from backend.models.parsing.glasses import _USUAL, Glasses, seat_of
from blender_addon.errors import AddonError
from blender_addon.protocol.result import decode_result
from protocol.names import ARKIT_INDEX

FRAME = np.array([0.02, 0.03, 0.4])


def with_glasses(asset: FaceAsset, opacity: float = 0.05) -> FaceAsset:
    """The template's mean face with blue-framed glasses."""
    template = load_template()
    shape = replace(_USUAL, distance=0.024, rim=0.003, rim_below=0.002)
    found = Glasses(shape, seat_of(template, template.vertices), FRAME, np.full(3, 0.02), opacity, np.zeros(0))
    return replace(asset, glasses=worn_glasses(found, template, template.vertices, np.ones(3)))


@pytest.fixture(scope="module")
def bare() -> FaceAsset:
    template = load_template()
    shape = replace(assemble(template, template.vertices, template.expressions), report={"photos": []})
    return with_pictures(shape, template, np.full((64, 64, 3), 150, np.uint8), np.full((32, 64, 3), 90, np.uint8))


def test_gltf_has_a_frame_and_clear_lenses_that_no_key_moves(bare: FaceAsset) -> None:
    gltf = gl.GLTF2.load_from_bytes(glb_bytes(with_glasses(bare)))
    worn = {mesh.name: mesh.primitives[0] for mesh in gltf.meshes if mesh.name in GLASSES_NAMES}
    assert set(worn) == set(GLASSES_NAMES) <= {node.name for node in gltf.nodes}
    assert not any(primitive.targets for primitive in worn.values())
    frame, lens = (gltf.materials[worn[name].material] for name in GLASSES_NAMES)
    assert frame.pbrMetallicRoughness.baseColorFactor == pytest.approx([*FRAME, 1.0]) and frame.alphaMode == gl.OPAQUE
    assert lens.pbrMetallicRoughness.baseColorFactor[3] == pytest.approx(0.05) and lens.alphaMode == gl.BLEND


def test_obj_has_both_objects(bare: FaceAsset, tmp_path: Path) -> None:
    write_obj(with_glasses(bare), tmp_path)
    assert all(f"\no {name}\n" in (tmp_path / "face.obj").read_text() for name in GLASSES_NAMES)
    assert "newmtl lenses" in (tmp_path / "face.mtl").read_text()


def test_the_message_arrives_with_their_looks(bare: FaceAsset) -> None:
    message = encode_face(with_glasses(bare))
    again = decode_result(json.loads(json.dumps(message.header)), message.buffers)
    assert tuple(part.name for part in again.parts[-2:]) == GLASSES_NAMES
    assert again.looks["glasses"] == pytest.approx((*FRAME, 1.0)) and again.looks["lenses"][3] == pytest.approx(0.05)
    assert not decode_result(json.loads(json.dumps((plain := encode_face(bare)).header)), plain.buffers).looks
    for field, value in (("parts", []), ("frame_colour", [0.1, 0.2]), ("lens_opacity", 2.0)):
        header = json.loads(json.dumps(message.header))
        header["glasses"][field] = value
        with pytest.raises(AddonError):
            decode_result(header, message.buffers)


def test_renders_show_them_in_front_of_the_face_and_still(bare: FaceAsset) -> None:
    camera, light = portrait_camera(bare.parts[0].vertices, 0.0, (240, 300)), neutral_light()
    smile = np.zeros(52)
    smile[ARKIT_INDEX["jawOpen"]] = 1.0

    def render(asset: FaceAsset, expression: np.ndarray | None = None) -> np.ndarray:
        return asset_mesh(asset).render(camera, light, (60, 60, 60), expression).astype(int)

    face, worn, dark = render(bare), render(with_glasses(bare)), render(with_glasses(bare, 0.9))
    blue = (worn[..., 2] - worn[..., 0]) > 40
    assert 300 < blue.sum() < 3000
    rows, columns = np.nonzero(blue)
    assert np.abs(render(with_glasses(bare), smile) - worn)[blue].mean() < 1.0
    outside = np.ones(blue.shape, bool)
    outside[rows.min() - 3 : rows.max() + 4, columns.min() - 3 : columns.max() + 4] = False
    assert np.array_equal(face[outside], worn[outside])
    assert np.abs(worn - face)[~outside].max(-1).mean() < np.abs(dark - face)[~outside].max(-1).mean() / 2
