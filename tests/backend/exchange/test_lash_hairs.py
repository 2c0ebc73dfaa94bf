"""Single lashes: their picture, and the strips in it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pygltflib
import pytest
from hand_made import make_asset
from PIL import Image

from backend.exchange.assemble import assemble, with_pictures
from backend.exchange.asset_mesh import lash_alpha, lash_picture, lash_positions
from backend.exchange.face_asset import FaceAsset
from backend.exchange.gltf import glb_bytes
from backend.exchange.wire import encode_face
from backend.geometry.template import load_template
from blender_addon.errors import AddonError
from blender_addon.protocol.result import decode_result


@pytest.fixture(scope="module")
def face() -> FaceAsset:
    template = load_template()
    return with_pictures(
        assemble(template, template.vertices, template.expressions), template, np.zeros((8, 8, 3), np.uint8)
    )


def test_hairs_are_single_and_thin_out_towards_their_tips() -> None:
    opacity = lash_picture()[::-1, :, 3].astype(float) / 255  # from below
    assert opacity.shape == (512, 1024)
    for half, hairs, thin in ((opacity[:256], 62, 90), (opacity[256:], 120, 150)):
        root, middle = half[12] > 0.5, half[thin] > 0.5
        assert 0.5 * hairs < np.diff(root.astype(int)).clip(0).sum() <= hairs  # some stand before others
        assert 0.1 < root.mean() < 0.5 and 0 < middle.mean() < 0.7 * root.mean()
        assert half[:3].max() == half[-8:].max() == 0.0  # nothing of the other half is filtered in
    assert len(np.unique(lash_picture()[..., :3].reshape(-1, 3), axis=0)) == 1  # no other colour at a hair's rim


def test_alpha_falls_from_the_lids_to_the_tips_and_lower_lashes_are_thinner(face: FaceAsset) -> None:
    alpha, up = lash_alpha(face), lash_positions(face)[:, 1]
    for edge, strongest in ((0.0, 0.45), (0.5, 1.0)):
        strip = (up >= edge) & (up < edge + 0.5)
        rows = np.linspace(edge, edge + 0.5, 5)
        means = [alpha[strip & (up >= low) & (up <= high)].mean() for low, high in pairwise(rows)]
        assert alpha[strip].max() == np.float32(strongest) and alpha[strip].min() == 0.0
        assert (np.diff(means) < 0).all()


def test_all_lashes_of_a_face_have_their_place_and_both_eyes_are_alike(face: FaceAsset) -> None:
    places, points = lash_positions(face), face.part("lashes").vertices
    assert places.min() >= 0 and places.max() <= 1
    mirrored = np.linalg.norm(points[:, None] - points[None] * [-1, 1, 1], axis=-1).argmin(axis=1)
    np.testing.assert_allclose(places, places[mirrored], atol=2e-3)
    upper, middle = places[:, 1] > 0.5, face.part("eye_left").vertices[:, 1].mean()
    assert points[upper, 1].mean() > middle > points[~upper, 1].mean()


def test_they_go_over_the_wire(face: FaceAsset) -> None:
    message = encode_face(face)
    header = json.loads(json.dumps(message.header))
    again = decode_result(header, message.buffers)
    np.testing.assert_array_equal(again.lashes.places, lash_positions(face))
    assert encode_face(replace(face, albedo=None)).header["lashes"] is None
    far = [np.full_like(again.lashes.places, np.nan).tobytes() if entry["name"] == "lashes.places" else buffer
           for entry, buffer in zip(header["buffers"], message.buffers, strict=True)]  # fmt: skip
    with pytest.raises(AddonError, match="lashes"):
        decode_result(header, far)


def test_the_gltf_has_single_hairs(face: FaceAsset) -> None:
    gltf = pygltflib.GLTF2().load_from_bytes(glb_bytes(face))
    primitive = next(mesh for mesh in gltf.meshes if mesh.name == "lashes").primitives[0]
    material = gltf.materials[primitive.material]
    assert material.alphaMode == pygltflib.BLEND and material.doubleSided and primitive.attributes.COLOR_0 is None
    image = gltf.images[gltf.textures[material.pbrMetallicRoughness.baseColorTexture.index].source]
    view = gltf.bufferViews[image.bufferView]
    blob = gltf.binary_blob()
    shown = np.asarray(Image.open(io.BytesIO(blob[view.byteOffset : view.byteOffset + view.byteLength])))
    np.testing.assert_array_equal(shown, lash_picture())
    view = gltf.bufferViews[gltf.accessors[primitive.attributes.TEXCOORD_0].bufferView]
    uv = np.frombuffer(blob[view.byteOffset : view.byteOffset + view.byteLength], "<f4").reshape(-1, 2)
    expected = lash_positions(face) * [1, -1] + [0, 1]
    np.testing.assert_allclose(np.unique(uv, axis=0), np.unique(expected.astype(np.float32), axis=0), atol=1e-6)


def test_lashes_that_are_not_the_templates_are_opaque_strips() -> None:
    assert (lash_alpha(make_asset()) == 1).all()
    assert lash_positions(make_asset()) is None and encode_face(make_asset()).header["lashes"] is None
