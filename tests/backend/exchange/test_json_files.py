"""cameras.json, expressions.json and report.json."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from backend.exchange.face_asset import FaceAsset
from backend.exchange.files import build_report, write_cameras, write_expressions, write_report
from backend.photos.collection import PhotoQuality, PhotoVerdict
from backend.rendering.camera import Camera
from protocol.names import ARKIT_NAMES


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
    report = build_report(verdicts, rejected, hand_made_asset.photos, {"quality": "fast"})
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
    report = build_report(verdicts, (), hand_made_asset.photos, {}, doubts={first: "Look at it.", second: ""})
    assert [photo["reason"] for photo in report["photos"]] == ["2 faces are in it. Look at it.", ""]
