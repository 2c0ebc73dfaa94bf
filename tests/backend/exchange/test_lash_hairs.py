"""Single lashes: their picture, and the strips in it."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pygltflib
import pytest
from hand_made import make_asset
from PIL import Image
from test_lash_alpha import COLUMNS, ROWS, asset_with_strip

from backend.exchange.assemble import assemble, with_pictures
from backend.exchange.face_asset import FaceAsset
from backend.exchange.gltf import glb_bytes
from backend.exchange.lashes import HEIGHT, WIDTH, lash_picture, lash_positions
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
    assert opacity.shape == (HEIGHT, WIDTH)
    for half, hairs, thin in ((opacity[: HEIGHT // 2], 62, 90), (opacity[HEIGHT // 2 :], 120, 150)):
        root, middle = half[12] > 0.5, half[thin] > 0.5
        assert 0.5 * hairs < np.diff(root.astype(int)).clip(0).sum() <= hairs  # some stand before others
        assert 0.1 < root.mean() < 0.5 and 0 < middle.mean() < 0.7 * root.mean()
        assert half[:3].max() == half[-8:].max() == 0.0  # nothing of the other half is filtered in
    assert len(np.unique(lash_picture()[..., :3].reshape(-1, 3), axis=0)) == 1  # no other colour at a hair's rim


def test_the_same_picture_each_time() -> None:
    assert np.array_equal(lash_picture(), lash_picture.__wrapped__())


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("height", [0.4, -0.4])
def test_roots_lie_at_the_lid_and_the_nose_is_at_the_left(height: float, flipped: bool) -> None:
    asset, row = asset_with_strip(height, flipped)
    places, x = lash_positions(asset), asset.part("lashes").vertices[:, 0]
    lower_edge = 0.5 if height > 0 else 0.0
    up = [places[row == number, 1] for number in range(ROWS)]
    assert (np.diff([values.mean() for values in up]) > 0.05).all()
    assert lower_edge < up[0].min() < lower_edge + 0.03 and lower_edge + 0.47 < up[-1].max() < lower_edge + 0.5
    order = np.argsort(np.abs(x[row == 0]))
    across = places[row == 0, 0][order]
    assert across[0] == 0.0 and across[-1] == 1.0 and (np.diff(across) > 0).all() and len(across) == COLUMNS


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


def test_what_is_no_strip_has_none() -> None:
    assert lash_positions(make_asset()) is None and encode_face(make_asset()).header["lashes"] is None
