"""The landmark net in the photo stage, and faces fitted to its points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from backend.errors import LikenessError
from backend.fitting.detector_model import face_scale
from backend.models import landmarks
from backend.models.registry import forget_models
from backend.photos.collect import CollectOptions, collect
from backend.photos.collection import PhotoFace, PhotoSource
from backend.photos.faces import landmark_window, mean_landmarks
from backend.rendering.camera import CanonicalCamera, View, rotation_from_euler
from trainer.people.source import PeopleConfig

SIDE = 32


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
def landmarker() -> landmarks.SurfaceLandmarker:
    return landmarks.SurfaceLandmarker.load()


def apart(first: np.ndarray, second: np.ndarray) -> float:
    """Median distance in per cent of the face."""
    return float(100.0 * np.median(np.linalg.norm(first - second, axis=-1)) / face_scale(first))


def test_faces_of_the_photo_stage_have_a_surface_near_the_detectors_landmarks(face: PhotoFace) -> None:
    assert face.surface is not None
    assert apart(face.landmarks[:, :2].astype(np.float64), face.surface.positions) < 5.0
    assert (face.surface.deviation > 0).all()


def test_a_mirrored_picture_has_mirrored_points(face: PhotoFace, landmarker: landmarks.SurfaceLandmarker) -> None:
    mirror, width = mean_landmarks().mirror, face.pixels.shape[1]
    flipped = face.landmarks[mirror].copy()
    flipped[:, 0] = width - flipped[:, 0]
    found = landmarker.find(np.ascontiguousarray(face.pixels[:, ::-1]), flipped).positions[mirror]
    found[:, 0] = width - found[:, 0]
    assert apart(face.surface.positions, found) < 0.5


def test_the_answer_hardly_depends_on_the_detector_or_the_pictures_size(
    face: PhotoFace, landmarker: landmarks.SurfaceLandmarker
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
        landmarks.SurfaceLandmarker.load(tmp_path)

    def missing(*_: object) -> landmarks.SurfaceLandmarker:
        raise LikenessError("missing_part", "not there", "")

    monkeypatch.setattr(landmarks.SurfaceLandmarker, "load", missing)
    forget_models()
    try:
        assert landmarks.surface_landmarker() is None
    finally:
        forget_models()


def test_windows_that_disagree_make_the_points_less_certain(
    face: PhotoFace, landmarker: landmarks.SurfaceLandmarker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variance is the mixture's: the mean of the predicted ones and the variance between the windows."""
    window = landmark_window(face.landmarks, landmarks.WINDOW_PER_FACE)
    guess = landmarker._guess(window.cut(face.pixels, landmarker.network.config.size)[None])
    moved = replace(
        guess,
        places=torch.cat([guess.places - 0.01, guess.places + 0.01]),
        deviation=torch.cat([guess.deviation, 2.0 * guess.deviation]),
    )
    monkeypatch.setattr(landmarker, "_guess", lambda _: moved)
    found = landmarker._look(face.pixels, window, ((1.0, 0.0, False), (1.0, 0.0, False)))
    predicted = 2.5 * (window.side * guess.deviation[0].double().numpy()) ** 2
    np.testing.assert_allclose(found.deviation**2, predicted + (0.01 * window.side) ** 2, rtol=1e-5)


def mean_face() -> Tensor:
    """(478, 3) a bowl of the size of a face around the pivot, with a nose."""
    g = torch.Generator().manual_seed(0)
    x, y = (torch.rand(2, landmarks.LANDMARKS, generator=g) - 0.5) * 0.15
    nose = 0.03 * torch.exp(-(x**2 + y**2) / 3e-4)
    return torch.stack([x, y, 0.97 + 8 * x**2 + 5 * y**2 - nose], 1)


def views(count: int, yaw_degrees: float) -> View:
    g = torch.Generator().manual_seed(count)
    angles = torch.randn(count, 3, generator=g) * torch.tensor([0.2, 0.0, 0.1])
    angles[:, 1] = torch.deg2rad(torch.linspace(-yaw_degrees, yaw_degrees, count))
    return View(rotation_from_euler(angles), torch.randn(count, 3, generator=g) * torch.tensor([0.02, 0.02, 0.08]))


def seen(points: Tensor, view: View, deviation: float = 0.005) -> Tensor:
    """(N, 478, 3) marks of canonical points (478, 3) or (N, 478, 3)."""
    many = points.expand(len(view.rotation), -1, -1)
    places = CanonicalCamera((SIDE, SIDE)).project(view.apply(many))[..., :2] / SIDE
    return torch.cat([places, torch.full_like(places[..., :1], deviation)], 2)


def turned_apart(first: Tensor, second: Tensor) -> Tensor:
    """(N,) degrees between rotations."""
    return torch.rad2deg((((first * second).sum((1, 2)) - 1) / 2).clamp(-1, 1).acos())


def shapes(components: int = 3) -> landmarks.LandmarkShapes:
    """Wider, deeper, longer faces, and a mouth that opens."""
    mean = mean_face()
    middle = mean - mean.mean(0)
    people = torch.stack([middle * torch.eye(3)[axis] * 0.08 for axis in (0, 2, 1)])[:components]
    expressions = torch.zeros(landmarks.EXPRESSIONS, landmarks.LANDMARKS, 3)
    expressions[0, :, 1] = torch.where(middle[:, 1] > 0.03, 0.01, 0.0)
    return landmarks.LandmarkShapes(mean, people, expressions)


def marked_face() -> landmarks.LandmarkFace:
    torch.manual_seed(0)
    net, known = landmarks.LandmarkFace(SIDE, 3), shapes()
    people = known.mean + torch.einsum("pk,klc->plc", torch.randn(60, 3), known.people)
    noise = torch.randn(60, landmarks.LANDMARKS, 3) * torch.tensor([0.002, 0.002, 0.0])
    net.set_reference(known, seen(people, views(60, 30.0)) + noise)
    return net


def person(*coefficients: float) -> Tensor:
    """(478, 3) the points of a face."""
    known = shapes()
    return known.mean + torch.einsum("k,klc->lc", torch.tensor(coefficients).float(), known.people)


def test_the_mean_face_is_found_where_it_is_even_in_profile() -> None:
    true = views(9, 80.0)
    found = marked_face().faces(seen(mean_face(), true), torch.arange(9))
    assert turned_apart(found.view.rotation, true.rotation).max() < 0.3
    torch.testing.assert_close(found.view.translation, true.translation, atol=2e-3, rtol=0)
    assert found.shape.abs().max() < 0.1


def test_points_that_the_net_is_unsure_of_do_not_turn_the_view() -> None:
    true, net, alone = views(5, 20.0), marked_face(), torch.arange(5)
    marks = seen(mean_face(), true)
    wrong = mean_face()[:, 1] > 0.03  # those low on the face, all to one side
    marks[:, wrong, 0] += 0.05
    disturbed = turned_apart(net.faces(marks, alone).view.rotation, true.rotation)
    marks[:, wrong, 2] = 0.5
    calm = turned_apart(net.faces(marks, alone).view.rotation, true.rotation)
    assert calm.max() < 0.3 and disturbed.min() > 1


def test_photos_from_several_sides_tell_how_deep_a_face_is() -> None:
    net, true = marked_face(), views(5, 45.0)
    marks = seen(person(0.0, 1.2, -1.2), true)  # of no other size: size cannot be told from nearness
    together = net.faces(marks, torch.zeros(5, dtype=torch.int64))
    torch.testing.assert_close(together.shape[0], torch.tensor([0.0, 1.2, -1.2]), atol=0.2, rtol=0)
    front = net.faces(marks[2:3], torch.tensor([0]))
    assert front.certainty[0, 1] < together.certainty[0, 1] - 0.02, "from the front depth is hardly seen, and known so"
    assert (together.certainty >= 0).all() and (together.certainty <= 1).all()
    assert turned_apart(together.view.rotation, true.rotation).max() < 0.7


def test_an_open_mouth_is_no_long_face_and_the_order_does_not_matter() -> None:
    net, true = marked_face(), views(4, 30.0)
    open_mouth = person(0.0, 0.0, 0.0) + 1.5 * shapes().expressions[0]
    points = torch.stack([open_mouth, person(0, 0, 0), open_mouth, person(0, 0, 0)])
    marks, sets = seen(points, true), torch.tensor([0, 0, 1, 1])
    found = net.faces(marks, sets)
    assert found.shape.abs().max() < 0.3
    order = torch.tensor([1, 0, 3, 2])
    torch.testing.assert_close(net.faces(marks[order], sets).shape, found.shape, atol=1e-3, rtol=0)
    torch.testing.assert_close(net.faces(marks[2:], torch.tensor([0, 0])).shape[0], found.shape[1], atol=1e-3, rtol=0)


def test_features_know_people_apart_and_are_finite_where_the_marks_are_nonsense() -> None:
    net = marked_face()
    told = net.features(seen(torch.stack([person(1, 0, 0), person(-1, 0, 0)]), views(2, 10.0)))
    assert told.shape == (2, net.width) and (told[0] - told[1]).abs().max() > 0.5
    assert net.features(torch.full((2, landmarks.LANDMARKS, 3), 0.5)).isfinite().all()
