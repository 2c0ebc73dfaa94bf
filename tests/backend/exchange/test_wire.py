"""A ``FaceAsset`` through its wire form, read as the Blender extension reads it."""

from __future__ import annotations

import io
import json
from dataclasses import fields, replace

import numpy as np
import pytest
from hand_made import with_eyes
from PIL import Image

from backend.exchange.buffers import WireMessage
from backend.exchange.face_asset import FaceAsset, FacePart
from backend.exchange.preview import BACKDROP, front_portrait
from backend.exchange.wire import encode_face
from backend.hair.hair_strands import HairStrands
from blender_addon.errors import AddonError
from blender_addon.protocol.result import decode_result
from protocol.names import ARKIT_NAMES


@pytest.fixture
def hand_made_asset(hand_made_asset: FaceAsset) -> FaceAsset:
    return with_eyes(hand_made_asset)


@pytest.fixture
def message(hand_made_asset: FaceAsset) -> WireMessage:
    return encode_face(hand_made_asset)


def test_everything_survives(hand_made_asset: FaceAsset, message: WireMessage) -> None:
    again = decode_result(json.loads(json.dumps(message.header)), message.buffers)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(again.albedo_png))), hand_made_asset.albedo)
    for old, new in zip((*hand_made_asset.parts, *hand_made_asset.eyes.parts), again.parts, strict=True):
        assert old.name == new.name
        assert list(new.key_names) == [name for name in ARKIT_NAMES if name in old.keys]
        for name, offsets in zip(new.key_names, new.keys, strict=True):
            assert np.array_equal(offsets, old.keys[name])
        for field in fields(FacePart):
            if field.name not in ("name", "keys"):
                assert np.array_equal(getattr(old, field.name), getattr(new, field.name)), field.name
    for field in fields(HairStrands):
        old, new = getattr(hand_made_asset.hair_strands, field.name), getattr(again.hair, field.name)
        assert np.array_equal(old, new), field.name
    for old, new in zip(hand_made_asset.photos, again.photos, strict=True):
        assert old.name == new.name and tuple(old.camera.size) == tuple(new.size)
        assert np.array_equal(old.camera.intrinsics, new.intrinsics)
        assert np.array_equal(old.camera.camera_from_head, new.camera_from_head)
        assert np.allclose(old.expression, [new.expression[name] for name in ARKIT_NAMES], atol=1e-5)
        assert np.array_equal(old.landmarks, new.landmarks) and np.array_equal(old.head_points, new.head_points)
    assert json.loads(json.dumps(again.report)) == json.loads(json.dumps(dict(hand_made_asset.report), default=float))


def test_the_header_describes_every_buffer(message: WireMessage) -> None:
    entries = message.header["buffers"]
    assert len(entries) == len(message.buffers) == len({entry["name"] for entry in entries})
    for entry, buffer in zip(entries, message.buffers, strict=True):
        size = entry["bytes"] if "bytes" in entry else 4 * int(np.prod(entry["shape"]))
        assert size == len(buffer)
    lashes = message.header["parts"][-1]
    assert lashes["name"] == "lashes" and lashes["alpha"] == "lashes.alpha"
    assert {part["alpha"] for part in message.header["parts"][:-1]} == {None}


def test_geometry_alone_has_neither_picture_nor_hair(hand_made_asset: FaceAsset) -> None:
    eyes = replace(hand_made_asset.eyes, picture=None)
    bare = replace(hand_made_asset, albedo=None, hair_strands=None, hair_cards=None, detail=None, eyes=eyes)
    message = encode_face(bare)
    assert message.header["albedo"] is None and message.header["version"] == 1
    assert not any("media_type" in entry for entry in message.header["buffers"])
    face = decode_result(json.loads(json.dumps(message.header)), message.buffers)
    assert face.albedo_png is None and face.hair is None
    np.testing.assert_array_equal(face.parts[0].vertices, hand_made_asset.parts[0].vertices)


def test_a_portrait_shows_the_head_in_the_middle_in_its_albedo(hand_made_asset: FaceAsset) -> None:
    blue = replace(hand_made_asset, albedo=np.full((64, 64, 3), (20, 30, 220), np.uint8), hair_strands=None)
    message = encode_face(blue, portrait=front_portrait(blue))
    face = decode_result(json.loads(json.dumps(message.header)), message.buffers)
    shown = np.asarray(Image.open(io.BytesIO(face.portrait_png))).astype(int)
    assert shown.shape == (256, 256, 3) and (shown[2:6, 2:6] == BACKDROP).all()
    middle = shown[110:146, 110:146]
    assert (middle[..., 2] > 2 * middle[..., :2].max(-1)).mean() > 0.9
    assert encode_face(blue).header["portrait"] is None


def test_a_portrait_that_is_too_large_is_refused(hand_made_asset: FaceAsset) -> None:
    message = encode_face(hand_made_asset, portrait=np.zeros((8, 257, 3), np.uint8))
    with pytest.raises(AddonError, match="far too large"):
        decode_result(json.loads(json.dumps(message.header)), message.buffers)


def test_a_head_without_hair_says_so(hand_made_asset: FaceAsset) -> None:
    message = encode_face(replace(hand_made_asset, hair_strands=None))
    assert message.header["hair"] is None
    assert decode_result(json.loads(json.dumps(message.header)), message.buffers).hair is None
