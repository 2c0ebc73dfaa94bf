"""The landmark net in the photo stage: mirrored, moved and enlarged pictures, missing weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from backend.errors import LikenessError
from backend.fitting.detector_model import face_scale
from backend.models.landmarks import WINDOW_PER_FACE, SurfaceLandmarker, surface_landmarker
from backend.models.registry import forget_models
from backend.photos.collect import CollectOptions, collect
from backend.photos.collection import PhotoFace
from backend.photos.faces import landmark_window, mean_landmarks
from backend.photos.formats import PhotoSource
from trainer.people.source import PeopleConfig


@pytest.fixture(scope="module")
def source() -> PhotoSource:
    """A picture of somebody who does not exist and whom no training has seen."""
    image = PeopleConfig(size=320, seed=77, film=False).build().batch(range(2, 3), torch.device("cpu")).images[0]
    ok, data = cv2.imencode(".png", (image.permute(1, 2, 0).numpy()[:, :, ::-1] * 255).round().astype(np.uint8))
    assert ok
    return PhotoSource("nobody.png", data=data.tobytes())


@pytest.fixture(scope="module")
def face(source: PhotoSource) -> PhotoFace:
    return collect([source]).faces[0]


@pytest.fixture(scope="module")
def landmarker() -> SurfaceLandmarker:
    return SurfaceLandmarker.load()


def apart(first: np.ndarray, second: np.ndarray) -> float:
    """Median distance in per cent of the face."""
    return float(100.0 * np.median(np.linalg.norm(first - second, axis=-1)) / face_scale(first))


def test_faces_of_the_photo_stage_have_a_surface_near_the_detectors_landmarks(face: PhotoFace) -> None:
    assert face.surface is not None
    assert apart(face.landmarks[:, :2].astype(np.float64), face.surface.positions) < 5.0
    assert (face.surface.deviation > 0).all()


def test_a_mirrored_picture_has_mirrored_points(face: PhotoFace, landmarker: SurfaceLandmarker) -> None:
    mirror, width = mean_landmarks().mirror, face.pixels.shape[1]
    flipped = face.landmarks[mirror].copy()
    flipped[:, 0] = width - flipped[:, 0]
    found = landmarker.find(np.ascontiguousarray(face.pixels[:, ::-1]), flipped).positions[mirror]
    found[:, 0] = width - found[:, 0]
    assert apart(face.surface.positions, found) < 0.5


def test_the_answer_hardly_depends_on_the_detector_or_the_pictures_size(
    face: PhotoFace, landmarker: SurfaceLandmarker
) -> None:
    scale = face_scale(face.landmarks)
    shifted = face.landmarks + np.array([0.05 * scale, -0.04 * scale, 0.0])
    assert apart(face.surface.positions, landmarker.find(face.pixels, shifted).positions) < 1.0
    height, width = face.pixels.shape[:2]
    half = cv2.resize(face.pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    factor = np.array(half.shape[1::-1]) / np.array(face.pixels.shape[1::-1])  # not a half where a side is odd
    smaller = landmarker.find(half, face.landmarks[:, :2] * factor)
    assert apart(face.surface.positions, smaller.positions / factor) < 1.0


def test_it_can_be_left_out(source: PhotoSource) -> None:
    without = collect([source], options=CollectOptions(surface=False)).faces[0]
    assert without.surface is None


def test_without_weights_there_are_none_and_the_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LikenessError, match="landmarks model is not trained"):
        SurfaceLandmarker.load(tmp_path)

    def missing(*_: object) -> SurfaceLandmarker:
        raise LikenessError("missing_part", "not there", "")

    monkeypatch.setattr(SurfaceLandmarker, "load", missing)
    forget_models()
    try:
        assert surface_landmarker() is None
    finally:
        forget_models()


def test_the_net_lies_and_computes_where_it_is_told() -> None:
    """``meta`` stands in for a GPU: it takes a tensor from the CPU as little as one does."""
    landmarker = surface_landmarker("meta")
    assert landmarker is not None and landmarker.device.type == "meta" and surface_landmarker().device.type == "cpu"
    size = landmarker._network.config.size
    guess = landmarker._guess(np.zeros((2, size, size, 3), np.uint8))
    assert guess.places.device.type == guess.deviation.device.type == "meta" and len(guess.places) == 2


def test_windows_that_disagree_make_the_points_less_certain(
    face: PhotoFace, landmarker: SurfaceLandmarker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variance is the mixture's: the mean of the predicted ones and the variance between the windows."""
    window = landmark_window(face.landmarks, WINDOW_PER_FACE)
    guess = landmarker._guess(window.cut(face.pixels, landmarker._network.config.size)[None])
    moved = replace(
        guess,
        places=torch.cat([guess.places - 0.01, guess.places + 0.01]),
        deviation=torch.cat([guess.deviation, 2.0 * guess.deviation]),
    )
    monkeypatch.setattr(landmarker, "_guess", lambda _: moved)
    found = landmarker._look(face.pixels, window, ((1.0, 0.0, False), (1.0, 0.0, False)))
    predicted = 2.5 * (window.side * guess.deviation[0].double().numpy()) ** 2
    np.testing.assert_allclose(found.deviation**2, predicted + (0.01 * window.side) ** 2, rtol=1e-5)
