"""The skin's relief in files, in a message and in face.glb."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pygltflib
import pytest
from hand_made import waves, with_eyes

from backend.detail.skin_detail import KEY_GROUPS
from backend.exchange.face_asset import FaceAsset
from backend.exchange.files import WRINKLE_FILES, normal_picture, write_relief
from backend.exchange.gltf import glb_bytes
from backend.exchange.wire import encode_face
from blender_addon.protocol.result import decode_result


@pytest.fixture
def detailed(hand_made_asset: FaceAsset) -> FaceAsset:
    """The asset made by hand, with relief."""
    return replace(hand_made_asset, detail=waves())


def test_files_hold_the_heights_that_detail_json_explains(detailed: FaceAsset, tmp_path: Path) -> None:
    detail = detailed.detail
    write_relief(detail, tmp_path)
    facts = json.loads((tmp_path / "detail.json").read_text())
    assert facts["has_detail"] and [entry["name"] for entry in facts["wrinkles"]] == list(KEY_GROUPS)
    for entry, expected in [
        (facts["displacement"], detail.always),
        *zip(facts["wrinkles"], detail.wrinkles.values(), strict=True),
    ]:
        steps = cv2.imread(str(tmp_path / entry["file"]), cv2.IMREAD_UNCHANGED)
        assert steps.dtype == np.uint16
        heights = (steps.astype(float) - 32768) / 32768 * entry["reach_mm"]
        np.testing.assert_allclose(heights, expected.millimetres(), atol=1e-6)


def test_without_detail_the_files_are_flat_and_say_so(tmp_path: Path) -> None:
    write_relief(None, tmp_path)
    assert json.loads((tmp_path / "detail.json").read_text())["has_detail"] is False
    for name in ("displacement.png", *WRINKLE_FILES.values()):
        assert (cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED) == 32768).all()


def test_gltf_has_the_relief_as_the_skins_normal_map(detailed: FaceAsset) -> None:
    file = pygltflib.GLTF2.load_from_bytes(glb_bytes(detailed))
    materials = {material.name: material for material in file.materials}
    assert materials["skin"].normalTexture.texCoord == 0
    assert file.images[file.textures[materials["skin"].normalTexture.index].source].name == "skin_normal"
    assert all(material.normalTexture is None for name, material in materials.items() if name not in ("skin", "hair"))
    plain = pygltflib.GLTF2.load_from_bytes(glb_bytes(replace(detailed, detail=None)))
    assert next(material for material in plain.materials if material.name == "skin").normalTexture is None


def test_the_normal_map_leans_where_the_relief_rises(detailed: FaceAsset) -> None:
    normals = normal_picture(detailed.detail, detailed.parts[0]).astype(int)
    slope = np.gradient(detailed.detail.always.millimetres(), axis=1)
    assert np.corrcoef(normals[..., 0].ravel(), -slope.ravel())[0, 1] > 0.85
    assert np.ptp(normals[..., 1]) <= 1


def test_a_message_carries_the_relief(detailed: FaceAsset) -> None:
    message = encode_face(with_eyes(detailed))
    back = decode_result(json.loads(msgspec.json.encode(message.header)), message.buffers).detail
    np.testing.assert_array_equal(_steps(back.always_png), detailed.detail.always.steps)
    assert [group.name for group in back.wrinkles] == list(detailed.detail.wrinkles)
    for group in back.wrinkles:
        wanted = detailed.detail.wrinkles[group.name]
        channels = cv2.cvtColor(_steps(back.pictures[group.picture]), cv2.COLOR_BGR2RGB)
        np.testing.assert_array_equal(channels[..., group.channel], wanted.steps)
        assert back.wrinkle_reach == wanted.reach and group.keys == tuple(KEY_GROUPS[group.name])


def _steps(png: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
