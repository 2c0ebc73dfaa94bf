"""The skin's relief in files, in a message and in face.glb, mixed as a program would."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pygltflib
import pytest
from gltf_validator import validated
from hand_made import waves, with_eyes
from PIL import Image

from backend.detail.skin_detail import KEY_GROUPS, SkinDetail, height_map, tangent_normals
from backend.exchange.face_asset import FaceAsset
from backend.exchange.files import WRINKLE_FILES, normal_picture, part_texels_per_metre, write_relief
from backend.exchange.gltf import MOST_TEXELS, glb_bytes, wrinkle_textures, write_glb
from backend.exchange.wire import encode_face
from blender_addon.protocol.result import decode_result

ROOT = Path(__file__).resolve().parents[3]
SIZE = 1024


def smooth_noise(seed: int, depth: float) -> np.ndarray:
    """(S, S) millimetres, features of four millimetres on a face, ``depth`` at the most."""
    noise = np.random.default_rng(seed).standard_normal((SIZE, SIZE)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 4.0)
    return depth * noise / np.abs(noise).max()


@pytest.fixture(scope="module")
def detail() -> SkinDetail:
    """Wrinkles as large and as fine as those that are found, each group of another depth."""
    wrinkles = {name: height_map(smooth_noise(k, 0.1 + 0.2 * k), 4.0) for k, name in enumerate(KEY_GROUPS)}
    return SkinDetail(height_map(smooth_noise(99, 0.3), 4.0), wrinkles)


@pytest.fixture
def wrinkled(hand_made_asset: FaceAsset, detail: SkinDetail) -> FaceAsset:
    return replace(hand_made_asset, detail=detail)


@dataclass(frozen=True)
class Read:
    """A file as a program has it: the skin's material, and pictures by the numbers of textures."""

    skin: pygltflib.Material
    pictures: list[np.ndarray]

    @property
    def block(self) -> dict[str, Any]:
        return self.skin.extras["wrinkles"]


def read(data: bytes) -> Read:
    gltf = pygltflib.GLTF2.load_from_bytes(data)

    def picture(texture: pygltflib.Texture) -> np.ndarray:
        view = gltf.bufferViews[gltf.images[texture.source].bufferView]
        encoded = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
        return np.asarray(Image.open(io.BytesIO(encoded)))

    skin = next(material for material in gltf.materials if material.name == "skin")
    return Read(skin, [picture(texture) for texture in gltf.textures])


def mixed_metres(file: Read, weights: Mapping[str, float]) -> np.ndarray:
    """(S, S) heights of the wrinkles, by what docs/files.md says of the block and nothing else."""
    block = file.block
    size = file.pictures[block["groups"][0]["texture"]].shape[0]
    u = (np.arange(size) + 0.5) / size
    low, high = block["sidesMeet"]
    across = np.clip((u - low) / (high - low), 0, 1)
    left = across * across * (3 - 2 * across)
    total = np.zeros((size, size))
    for group in block["groups"]:
        values = file.pictures[group["texture"]][..., group["channel"]].astype(float)
        height = (values - block["zero"]) / 127 * group["reach"]
        sides = []
        for other in ("Left", "Right"):
            sides.append(max([weights.get(key, 0.0) for key in group["keys"] if not key.endswith(other)], default=0.0))
        right_value, left_value = sides
        total += height * (right_value + left * (left_value - right_value))
    return total


def smaller(heights: np.ndarray) -> np.ndarray:
    return cv2.resize(heights, (MOST_TEXELS, MOST_TEXELS), interpolation=cv2.INTER_AREA)


def test_keys_at_full_strength_give_their_groups_heights(wrinkled: FaceAsset) -> None:
    file = read(glb_bytes(wrinkled))
    for name, keys in KEY_GROUPS.items():
        expected = smaller(wrinkled.detail.wrinkles[name].millimetres())
        found = 1000 * mixed_metres(file, dict.fromkeys(keys, 1.0))
        step = np.abs(expected).max() / 127
        assert np.abs(found - expected).max() < 0.6 * step, name  # half a step is what 8 bits cost
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999


def test_a_mix_of_keys_gives_the_normals_of_the_mixed_heights(wrinkled: FaceAsset) -> None:
    file, wrinkles = read(glb_bytes(wrinkled)), wrinkled.detail.wrinkles
    weights = {
        "browInnerUp": 0.7,
        "browOuterUpLeft": 0.4,
        "mouthSmileLeft": 1.0,
        "mouthSmileRight": 0.5,
        "jawOpen": 0.3,
    }
    heights = 1000 * mixed_metres(file, weights)
    columns = (np.arange(MOST_TEXELS) + 0.5) / MOST_TEXELS
    expected = 0.7 * smaller(wrinkles["brows_up"].millimetres()) + 0.3 * smaller(wrinkles["jaw_open"].millimetres())
    expected = expected + np.where(columns > 0.5, 1.0, 0.5) * smaller(wrinkles["smile"].millimetres())
    normals = tangent_normals(heights, MOST_TEXELS / file.block["mapSide"]).astype(float)
    density = part_texels_per_metre(wrinkled.parts[0], MOST_TEXELS)
    assert density == pytest.approx(MOST_TEXELS / file.block["mapSide"], rel=1e-4)
    truth = tangent_normals(expected, density).astype(float)
    sides = np.abs(columns - 0.5) > 0.04  # between them one side gives way to the other
    assert np.abs(normals - truth)[:, sides].mean() < 1.5
    assert np.corrcoef(normals[:, sides, 0].ravel(), truth[:, sides, 0].ravel())[0, 1] > 0.99


def test_blender_and_the_file_agree_on_where_sides_meet(wrinkled: FaceAsset) -> None:
    tree = json.loads((ROOT / "blender_addon" / "scene" / "nodes" / "relief.json").read_text("utf-8"))
    meets = next(node["inputs"] for node in tree["nodes"] if "From Min" in node.get("inputs", {}))
    assert read(glb_bytes(wrinkled)).block["sidesMeet"] == pytest.approx([meets["From Min"], meets["From Max"]])


def test_small_maps_are_not_enlarged_and_flat_ones_are_zero(hand_made_asset: FaceAsset) -> None:
    small = waves()
    assert {one.pixels.shape[0] for one in wrinkle_textures(small)} == {small.wrinkles["sneer"].steps.shape[0]}
    flat = replace(small, wrinkles={name: height_map(np.zeros((8, 8)), 4.0) for name in KEY_GROUPS})
    assert (mixed_metres(read(glb_bytes(replace(hand_made_asset, detail=flat))), {"jawOpen": 1.0}) == 0.0).all()


def test_the_khronos_validator_knows_only_that_no_standard_uses_them(wrinkled: FaceAsset, tmp_path: Path) -> None:
    write_glb(wrinkled, tmp_path / "face.glb")
    report = validated(tmp_path / "face.glb")
    issues = [m for m in report["issues"]["messages"] if not m["pointer"].endswith("TEXCOORD_1")]
    block = read((tmp_path / "face.glb").read_bytes()).block
    unused = {f"/textures/{group['texture']}" for group in block["groups"]}
    assert report["issues"]["numErrors"] == report["issues"]["numWarnings"] == 0
    assert {(m["code"], m["pointer"]) for m in issues} == {("UNUSED_OBJECT", pointer) for pointer in unused}


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
