"""A face through its wire form, read as the Blender extension reads it, and what JSON files say of it."""

import io
import json
import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hand_made import with_eyes
from PIL import Image

from backend.exchange.buffers import WireMessage
from backend.exchange.face_asset import FaceAsset, FacePart
from backend.exchange.files import build_report, write_cameras, write_expressions, write_report
from backend.exchange.preview import BACKDROP, front_portrait
from backend.exchange.wire import encode_face
from backend.hair.hair_strands import HairStrands
from backend.photos.collection import PhotoQuality, PhotoVerdict
from backend.rendering.camera import Camera
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
    for field in (field for field in fields(HairStrands) if field.name != "style"):  # for the command line's pictures
        old, new = getattr(hand_made_asset.hair_strands, field.name), getattr(again.hair, field.name)
        assert old is None or np.array_equal(old, new), field.name
    assert again.hair.chain["density"] > 0 and again.hair.scalp.density.max() > 0.1  # of a thin beard
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


def test_cameras_project_the_same_points_after_a_round_trip(hand_made_asset: FaceAsset, tmp_path: Path) -> None:
    write_cameras(hand_made_asset.photos, tmp_path / "cameras.json")
    written = json.loads((tmp_path / "cameras.json").read_text("utf-8"))["photos"]
    cameras = {
        one["name"]: Camera(
            np.array(one["intrinsics"]), np.array(one["camera_from_head"]), (one["width"], one["height"])
        )
        for one in written
    }
    points = hand_made_asset.parts[0].vertices.astype(float)
    assert list(cameras) == [photo.name for photo in hand_made_asset.photos]
    for photo in hand_made_asset.photos:
        np.testing.assert_allclose(cameras[photo.name].project(points), photo.camera.project(points), atol=1e-9)
        assert cameras[photo.name].size == photo.camera.size


def test_expressions_have_all_52_names(hand_made_asset: FaceAsset, tmp_path: Path) -> None:
    path = tmp_path / "expressions.json"
    write_expressions(hand_made_asset.photos, path)
    written = json.loads(path.read_text("utf-8"))
    assert [list(photo["weights"]) for photo in written["photos"]] == [list(ARKIT_NAMES)] * 2
    assert written["photos"][0]["weights"]["jawOpen"] == 0.75
    for photo, entry in zip(hand_made_asset.photos, written["photos"], strict=True):
        np.testing.assert_allclose(list(entry["weights"].values()), photo.expression, atol=1e-5)


def test_a_report_says_what_became_of_every_photo(hand_made_asset: FaceAsset) -> None:
    quality = PhotoQuality(0.8, 1, 1, 0.9, 1, 1)
    verdicts = (
        PhotoVerdict("one.jpg", True, "", quality),
        PhotoVerdict("blurred.jpg", False, "It is too blurred.", quality),
        PhotoVerdict("stranger.jpg", True, "", quality),
        PhotoVerdict("zwei äöü.png", True, "", quality),
        PhotoVerdict("text.txt", False, "This is not a picture."),
    )
    rejected = (("stranger.jpg", "It shows somebody else."),)
    report = build_report(verdicts, rejected, hand_made_asset.photos, {"quality": "fast"}, {}, {})
    photos = {photo["name"]: photo for photo in report["photos"]}
    assert [name for name, photo in photos.items() if photo["used"]] == ["one.jpg", "zwei äöü.png"]
    assert photos["stranger.jpg"]["reason"] == "It shows somebody else."
    assert photos["blurred.jpg"]["reason"] == "It is too blurred."
    assert photos["one.jpg"]["landmark_error_percent"] == 1.25
    assert photos["one.jpg"]["quality"]["score"] == 0.8
    assert report["peak_rss_mb"] is None or report["peak_rss_mb"] > 10
    assert report["versions"]["numpy"] == np.__version__


def test_a_report_may_hold_numpy_numbers_but_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_report({"a": np.float32(0.5), "b": np.arange(2), "c": math.nan, "d": np.bool_(True)}, path)
    assert json.loads(path.read_text("utf-8")) == {"a": 0.5, "b": [0, 1], "c": None, "d": True}
    with pytest.raises(TypeError):
        write_report({"a": object()}, path)


def test_the_report_tells_a_doubt_about_a_used_photo(hand_made_asset: FaceAsset) -> None:
    first, second = (photo.name for photo in hand_made_asset.photos)
    verdicts = (PhotoVerdict(first, True, "2 faces are in it."), PhotoVerdict(second, True, ""))
    report = build_report(verdicts, (), hand_made_asset.photos, {}, {}, {first: "Look at it.", second: ""})
    assert [photo["reason"] for photo in report["photos"]] == ["2 faces are in it. Look at it.", ""]
