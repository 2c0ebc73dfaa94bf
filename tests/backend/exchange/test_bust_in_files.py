"""Neck and shoulders in the message, in ``face.glb`` and in ``face.obj``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pygltflib as gl
import pytest

from backend.exchange.assemble import assemble, with_pictures
from backend.exchange.asset_mesh import shade_below_chin
from backend.exchange.face_asset import FaceAsset
from backend.exchange.folder import write_obj
from backend.exchange.gltf import glb_bytes
from backend.exchange.preview import BACKDROP, PORTRAIT_SIZE, preview_picture
from backend.exchange.wire import encode_face
from backend.geometry.template import load_template
from backend.rig.bust import load_bust
from blender_addon.errors import AddonError
from blender_addon.protocol.result import decode_result


@pytest.fixture(scope="module")
def asset() -> FaceAsset:
    template = load_template()
    albedo = np.full((256, 256, 3), 150, np.uint8)
    eyes = np.full((32, 64, 3), 90, np.uint8)
    shape = assemble(template, template.vertices, template.expressions, with_shoulders=True)
    return with_pictures(replace(shape, report={"photos": []}), template, albedo, eyes)


def test_the_message_has_it_behind_all_else(asset: FaceAsset) -> None:
    message = encode_face(asset)
    header = json.loads(json.dumps(message.header))
    again = decode_result(header, message.buffers)
    bust = again.parts[-1]
    assert bust.name == "bust" and "jawOpen" in bust.key_names
    np.testing.assert_array_equal(bust.vertices, asset.bust.vertices)
    header["bust"] = header["parts"][0]
    with pytest.raises(AddonError, match="its bust is not one"):
        decode_result(header, message.buffers)


def test_a_head_without_one_says_so(asset: FaceAsset) -> None:
    message = encode_face(replace(asset, bust=None))
    assert message.header["bust"] is None
    again = decode_result(json.loads(json.dumps(message.header)), message.buffers)
    assert "bust" not in [part.name for part in again.parts]


def test_gltf_has_it_as_a_node_in_the_heads_skin(asset: FaceAsset) -> None:
    gltf = gl.GLTF2.load_from_bytes(glb_bytes(asset))
    meshes = {node.name: gltf.meshes[node.mesh] for node in gltf.nodes if node.mesh is not None}
    head, bust = meshes["head"], meshes["bust"]
    assert bust.primitives[0].material == head.primitives[0].material
    assert bust.extras["targetNames"] == list(asset.bust.keys)


@pytest.mark.parametrize("shoulders", [True, False])
def test_the_chin_shades_the_neck_and_nothing_else(asset: FaceAsset, shoulders: bool) -> None:
    """In pictures without cast shadows, and as the occlusion of glTF: a jaw is seen beside its own neck."""
    template, asset = load_template(), asset if shoulders else replace(asset, bust=None)
    lit = shade_below_chin(asset)
    neck = template.regions["neck"][: template.head.vertex_stop] > 0.5
    below = neck & (template.vertices[: len(neck), 2] > 0.03)
    assert 0.3 < lit["head"][below].min() < 0.92
    assert (lit["head"][template.regions["forehead"][: len(neck)] > 0.5] > 0.99).all()
    if shoulders:
        np.testing.assert_array_equal(lit["bust"][: len(load_bust().rim)], lit["head"][load_bust().rim])
        assert np.median(lit["bust"]) > 0.9
    gltf = gl.GLTF2.load_from_bytes(glb_bytes(asset))
    skin = next(material for material in gltf.materials if material.name == "skin")
    assert skin.occlusionTexture.index == skin.pbrMetallicRoughness.metallicRoughnessTexture.index
    view = gltf.bufferViews[gltf.images[gltf.textures[skin.occlusionTexture.index].source].bufferView]
    encoded = np.frombuffer(gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength], np.uint8)
    red = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., 2]
    assert red.min() < 240 and np.median(red) == 255


def test_obj_closes_the_neck(asset: FaceAsset, tmp_path: Path) -> None:
    write_obj(asset, tmp_path)
    points: dict[str, set[tuple[str, ...]]] = {}
    name = ""
    for line in (tmp_path / "face.obj").read_text().splitlines():
        if line.startswith("o "):
            name = line[2:]
        elif line.startswith("v "):
            points.setdefault(name, set()).add(tuple(line.split()[1:]))
    assert len(points["head"] & points["bust"]) >= 2 * 42  # the rim, subdivided once on both sides


def test_the_preview_stands_on_it(asset: FaceAsset) -> None:
    """The bust was in all files, and the preview showed a head with a cut neck."""
    height, width = PORTRAIT_SIZE[1], PORTRAIT_SIZE[0]
    for shown, skin in ((asset, True), (replace(asset, bust=None), False)):
        front = preview_picture(shown, [])[:height, width : 2 * width].astype(int)
        low = front[int(0.85 * height), [int(0.2 * width), int(0.8 * width)]]  # beside the neck
        assert (np.abs(low - BACKDROP).max(axis=1) > 10).all() == skin
