"""The head's roughness in glTF: matt where hair covers it, and none where nobody knows of hair."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pygltflib
from PIL import Image

from backend.exchange.face_asset import FaceAsset
from backend.exchange.gltf import glb_bytes
from backend.exchange.roughness_map import HAIR_ROUGHNESS, SKIN_ROUGHNESS, roughness_map


def texel_of(uv: np.ndarray, side: int) -> tuple[int, int]:
    return int((1 - uv[1]) * side), int(uv[0] * side)


def test_it_is_matt_where_hair_is_and_skin_elsewhere(hand_made_asset: FaceAsset) -> None:
    head = hand_made_asset.part("head")
    texels = roughness_map(head)
    assert texels is not None and (texels[..., 0] == 255).all() and (texels[..., 2] == 0).all()
    for quad, uv_quad in zip(head.quads[::7], head.uv_quads[::7], strict=True):
        row, column = texel_of(head.uv[uv_quad].mean(0), len(texels))
        low, high = head.hair[quad].min(), head.hair[quad].max()
        found = texels[row, column, 1] / 255
        span = HAIR_ROUGHNESS - SKIN_ROUGHNESS
        assert SKIN_ROUGHNESS + span * low - 0.01 <= found <= SKIN_ROUGHNESS + span * high + 0.01


def test_the_file_carries_it_on_the_head_alone(hand_made_asset: FaceAsset) -> None:
    gltf = pygltflib.GLTF2.load_from_bytes(glb_bytes(hand_made_asset))
    rough = [material.pbrMetallicRoughness.metallicRoughnessTexture for material in gltf.materials]
    assert [texture is not None for texture in rough].count(True) == 1
    head = next(mesh for mesh in gltf.meshes if mesh.name == "head")
    material = gltf.materials[head.primitives[0].material].pbrMetallicRoughness
    assert material.roughnessFactor == 1.0 and material.metallicFactor == 0.0
    image = gltf.images[gltf.textures[material.metallicRoughnessTexture.index].source]
    view = gltf.bufferViews[image.bufferView]
    data = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    stored = np.asarray(Image.open(io.BytesIO(data)))
    assert np.abs(stored.astype(int) - roughness_map(hand_made_asset.part("head"))).mean() < 3


def test_without_hair_there_is_one_number(hand_made_asset: FaceAsset) -> None:
    head, *others = hand_made_asset.parts
    for hair in (None, np.zeros(len(head.vertices), np.float32)):
        asset = replace(hand_made_asset, parts=(replace(head, hair=hair), *others))
        gltf = pygltflib.GLTF2.load_from_bytes(glb_bytes(asset))
        assert [texture.name for texture in gltf.textures] == ["albedo"]
        assert {m.pbrMetallicRoughness.roughnessFactor for m in gltf.materials} >= {SKIN_ROUGHNESS}
