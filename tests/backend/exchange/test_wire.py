"""A ``FaceAsset`` through its wire form."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from backend.exchange.face_asset import FaceAsset, FacePart
from backend.exchange.wire import decode_face, encode_face
from backend.exchange.wire_buffers import WireError, WireMessage
from backend.hair.hair_strands import HairStrands
from backend.rig.arkit import ARKIT_NAMES


@pytest.fixture
def message(hand_made_asset: FaceAsset) -> WireMessage:
    return encode_face(hand_made_asset)


def test_everything_survives(hand_made_asset: FaceAsset, message: WireMessage) -> None:
    again = decode_face(json.dumps(message.header).encode(), message.buffers)
    assert np.array_equal(again.albedo, hand_made_asset.albedo)
    for old, new in zip(hand_made_asset.parts, again.parts, strict=True):
        assert old.name == new.name
        assert list(new.keys) == [name for name in ARKIT_NAMES if name in old.keys]
        for name, offsets in new.keys.items():
            assert np.array_equal(offsets, old.keys[name])
        for field in fields(FacePart):
            if field.name not in ("name", "keys"):
                assert np.array_equal(getattr(old, field.name), getattr(new, field.name)), field.name
    for field in fields(HairStrands):
        old, new = (getattr(asset.hair_strands, field.name) for asset in (hand_made_asset, again))
        assert np.array_equal(old, new) and type(old) is type(new), field.name
    for old, new in zip(hand_made_asset.photos, again.photos, strict=True):
        assert old.name == new.name and old.camera.size == new.camera.size
        assert np.array_equal(old.camera.intrinsics, new.camera.intrinsics)
        assert np.array_equal(old.camera.camera_from_head, new.camera.camera_from_head)
        assert np.allclose(old.expression, new.expression, atol=1e-5)
        assert np.array_equal(old.landmarks, new.landmarks) if old.landmarks is not None else new.landmarks is None
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
    bare = replace(hand_made_asset, albedo=None, hair_strands=None, hair_cards=None, detail=None)
    message = encode_face(bare)
    assert message.header["albedo"] is None and message.header["version"] == 1
    assert not any("media_type" in entry for entry in message.header["buffers"])
    face = decode_face(message.header, message.buffers)
    assert face.albedo is None and face.hair_strands is None
    np.testing.assert_array_equal(face.parts[0].vertices, hand_made_asset.parts[0].vertices)


def test_a_head_without_hair_says_so(hand_made_asset: FaceAsset) -> None:
    message = encode_face(replace(hand_made_asset, hair_strands=None))
    assert message.header["hair"] is None
    older = {name: value for name, value in message.header.items() if name != "hair"}
    for header in (message.header, older):
        assert decode_face(header, message.buffers).hair_strands is None


def drop_a_buffer(header: dict, buffers: list[bytes]) -> None:
    buffers.pop()


def shorten_a_buffer(header: dict, buffers: list[bytes]) -> None:
    buffers[0] = buffers[0][:-4]


def lie_about_a_shape(header: dict, buffers: list[bytes]) -> None:
    header["buffers"][0]["shape"] = [3, header["buffers"][0]["shape"][0]]


def claim_a_negative_shape(header: dict, buffers: list[bytes]) -> None:
    header["buffers"][0]["shape"] = [-header["buffers"][0]["shape"][0], -3]


def use_another_dtype(header: dict, buffers: list[bytes]) -> None:
    header["buffers"][0]["dtype"] = "|O"


def point_outside(header: dict, buffers: list[bytes]) -> None:
    buffers[1] = np.full(len(buffers[1]) // 4, 10**6, "<i4").tobytes()


def be_infinite(header: dict, buffers: list[bytes]) -> None:
    buffers[0] = np.full(len(buffers[0]) // 4, np.inf, "<f4").tobytes()


def name_a_buffer_twice(header: dict, buffers: list[bytes]) -> None:
    header["buffers"][1]["name"] = header["buffers"][0]["name"]


def leave_out_a_part(header: dict, buffers: list[bytes]) -> None:
    header["parts"].pop()


def break_the_albedo(header: dict, buffers: list[bytes]) -> None:
    buffers[-1] = b"\0" * len(buffers[-1])


def come_from_the_future(header: dict, buffers: list[bytes]) -> None:
    header["version"] = 2


def invent_a_key(header: dict, buffers: list[bytes]) -> None:
    header["parts"][0]["key_names"][0] = "earWiggle"


def hair_buffer(header: dict, name: str) -> int:
    return [entry["name"] for entry in header["buffers"]].index(name)


def have_infinite_hair(header: dict, buffers: list[bytes]) -> None:
    number = hair_buffer(header, "hair.points")
    buffers[number] = np.full(len(buffers[number]) // 4, np.inf, "<f4").tobytes()


def have_flat_hair(header: dict, buffers: list[bytes]) -> None:
    header["buffers"][hair_buffer(header, "hair.points")]["shape"] = [
        len(buffers[hair_buffer(header, "hair.points")]) // 4
    ]


def have_too_few_roots(header: dict, buffers: list[bytes]) -> None:
    number = hair_buffer(header, "hair.root_uv")
    header["buffers"][number]["shape"][0] -= 1
    buffers[number] = buffers[number][:-8]


def have_hair_that_did_not_come(header: dict, buffers: list[bytes]) -> None:
    header["hair"]["width"] = "hair.height"


def have_a_style_of_numbers(header: dict, buffers: list[bytes]) -> None:
    header["hair"]["style"] = 7


@pytest.mark.parametrize(
    "spoil",
    [
        drop_a_buffer, shorten_a_buffer, lie_about_a_shape, claim_a_negative_shape, use_another_dtype, point_outside,
        be_infinite, name_a_buffer_twice, leave_out_a_part, break_the_albedo, come_from_the_future, invent_a_key,
        have_infinite_hair, have_flat_hair, have_too_few_roots, have_hair_that_did_not_come, have_a_style_of_numbers,
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(message: WireMessage, spoil: Callable[[dict, list[bytes]], None]) -> None:
    header, buffers = json.loads(json.dumps(message.header)), list(message.buffers)
    spoil(header, buffers)
    with pytest.raises(WireError):
        decode_face(header, buffers)


@pytest.mark.parametrize("header", [b"", b"[]", b"{}", b'{"version": 1}', b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_header_is_refused(header: bytes) -> None:
    with pytest.raises(WireError):
        decode_face(header, [])
