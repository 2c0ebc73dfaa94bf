"""Faces that the landmark detector loses are followed by the landmark net, and by nothing where there is none."""

import numpy as np
import pytest
import torch

from backend.expression import follow
from backend.expression.follow import FaceFollower, FrameLandmarks, find_face
from backend.expression.reading import posed_depth
from backend.fitting.detector_model import face_scale
from backend.models.landmarks import surface_landmarker
from backend.photos.faces import detect_faces, find_landmarks
from trainer.methods.expressions.evaluate import SEED, known_pictures
from trainer.people.source import PeopleConfig

pytestmark = pytest.mark.skipif(surface_landmarker() is None, reason="needs the landmark net")


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, ...]:
    """Three frames of a clip in which one face is seen."""
    torch.set_num_threads(1)
    return known_pictures(PeopleConfig(size=160, seed=SEED, photos=3, clips=True, film=False), 1001).pictures


def off_percent(found: FrameLandmarks, landmarks: np.ndarray) -> float:
    """Median distance of landmarks in per cent of the face's scale."""
    apart = np.linalg.norm(found.landmarks[:, :2] - landmarks[:, :2], axis=1)
    return float(100.0 * np.median(apart) / face_scale(landmarks))


def by_net(found: FrameLandmarks) -> bool:
    """Whether its landmarks are the net's."""
    return found.surface is not None and np.allclose(found.landmarks[:, :2], found.surface.positions, atol=1e-3)


def test_a_lost_face_is_followed_until_it_is_gone(
    pictures: tuple[np.ndarray, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = FaceFollower()
    first = follower(pictures[0])
    assert first is not None
    expected = surface_landmarker().find(pictures[1], first.landmarks).positions
    monkeypatch.setattr(follow.faces, "follow_landmarks", lambda pixels, last: None)  # as it says of small profiles
    second = follower(pictures[1])
    assert second is not None and by_net(second) and not by_net(first)
    assert off_percent(second, expected) < 0.5
    monkeypatch.setattr(follow.faces, "detect_faces", lambda pixels: ())
    noise = np.random.default_rng(0).integers(0, 255, pictures[0].shape, np.uint8)
    for empty in (np.full_like(pictures[0], 90), noise):
        follower(pictures[1])
        assert follower(empty) is None


def test_a_box_is_enough(pictures: tuple[np.ndarray, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    (face, *_) = detect_faces(pictures[2])
    landmarks = find_landmarks(pictures[2], face)
    assert landmarks is not None
    expected = surface_landmarker().find(pictures[2], landmarks).positions
    monkeypatch.setattr(follow.faces, "find_landmarks", lambda pixels, face: None)
    found = find_face(pictures[2], face)
    assert found is not None
    assert off_percent(found, expected) < 1.0
    assert find_face(np.full_like(pictures[2], 90), face) is None


def test_landmarks_beside_a_face_are_not_followed(
    pictures: tuple[np.ndarray, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a profile with a mask the detector says landmarks that lie beside it, and goes on doing so."""
    (face, *_) = detect_faces(pictures[0])
    true = find_landmarks(pictures[0], face)
    beside = true * [0.5, 0.5, 0.5]
    beside[:, :2] += [0.0, 0.8 * len(pictures[0]) - beside[:, 1].max()]
    monkeypatch.setattr(follow.faces, "find_landmarks", lambda pixels, face: beside)
    monkeypatch.setattr(follow.faces, "follow_landmarks", lambda pixels, last: beside)
    follower = FaceFollower()
    for picture in pictures:
        found = follower(picture)
        assert found is not None and by_net(found)
        assert off_percent(found, true) < 15.0  # where the face is


def test_depths_are_those_of_a_posed_face(pictures: tuple[np.ndarray, ...]) -> None:
    (face, *_) = detect_faces(pictures[0])
    landmarks = find_landmarks(pictures[0], face)
    depth = posed_depth(landmarks[:, :2].astype(np.float64))
    assert np.corrcoef(depth, landmarks[:, 2])[0, 1] > 0.9
