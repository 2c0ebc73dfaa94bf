"""The eyes' picture, map and surfaces in ``face.glb``, ``face.obj`` and the message."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pygltflib as gl
import pytest

from backend.exchange.assemble import assemble, with_pictures
from backend.exchange.face_asset import EYE_PART_NAMES, PART_NAMES, FaceAsset
from backend.exchange.folder import write_obj
from backend.exchange.gltf import glb_bytes
from backend.exchange.wire import encode_face
from backend.geometry.template import load_template
from blender_addon.protocol.result import decode_result


@pytest.fixture(scope="module")
def asset() -> FaceAsset:
    template = load_template()
    albedo = np.full((64, 64, 3), 150, np.uint8)
    eyes = np.full((32, 64, 3), 90, np.uint8)
    shape = replace(assemble(template, template.vertices, template.expressions), report={"photos": []})
    return with_pictures(shape, template, albedo, eyes)


def test_the_message_has_the_seven_parts_and_the_eyes_beside(asset: FaceAsset) -> None:
    message = encode_face(asset)
    assert [part["name"] for part in message.header["parts"]] == list(PART_NAMES)  # as older extensions want it
    again = decode_result(json.loads(json.dumps(message.header)), message.buffers)
    assert [part.name for part in again.parts] == [*PART_NAMES, *EYE_PART_NAMES]
    assert again.eyes.picture_png is not None
    for name, uv in asset.eyes.uv.items():
        assert np.array_equal(again.eyes.uv[name], uv)
    cornea = next(part for part in again.parts if part.name == "cornea_left")
    assert "eyeLookUpLeft" in cornea.key_names and "jawOpen" not in cornea.key_names


def test_eyes_have_a_picture_of_their_own_in_gltf_and_clear_corneas(asset: FaceAsset) -> None:
    gltf = gl.GLTF2.load_from_bytes(glb_bytes(asset))
    material_of = {mesh.name: gltf.materials[mesh.primitives[0].material] for mesh in gltf.meshes}
    assert set(material_of) == {*PART_NAMES, *EYE_PART_NAMES}

    def picture(name: str) -> str | None:
        texture = material_of[name].pbrMetallicRoughness.baseColorTexture
        return None if texture is None else gltf.images[gltf.textures[texture.index].source].name

    assert picture("eye_left") == picture("eye_right") == "eyes"
    assert picture("head") == picture("teeth_upper") == "albedo"
    assert picture("cornea_left") is None and material_of["cornea_left"].alphaMode == gl.BLEND
    assert material_of["cornea_left"].pbrMetallicRoughness.baseColorFactor[3] < 0.2
    assert material_of["caruncles"].alphaMode == gl.OPAQUE


def test_obj_names_the_eyes_picture(asset: FaceAsset, tmp_path: Path) -> None:
    write_obj(asset, tmp_path)
    materials = dict(
        (block.splitlines()[0], block) for block in (tmp_path / "face.mtl").read_text().split("newmtl ")[1:]
    )
    assert "map_Kd eyes.png" in materials["eye_left"] and "map_Kd albedo.png" in materials["head"]
    assert "map_Kd" not in materials["cornea_left"] and "\nd 0.12\n" in materials["cornea_left"]
    assert (tmp_path / "face.obj").read_text().count("\no ") == len(PART_NAMES) + len(EYE_PART_NAMES)
