"""Glasses that one photo hardly shows, of a person who wears them in the others."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from made_photos import quality

from backend.models.parsing import voting
from backend.models.parsing.voting import vote_on_glasses
from backend.photos.collection import FaceClass, PhotoFace
from backend.photos.faces import mean_landmarks
from backend.photos.regions import BROW_RIGHT, EYE_RIGHT, grown, mirrored, polygon_mask

GLASSES = np.uint8(FaceClass.GLASSES)


def bare_face(name: str, side: int, roll: float = 0.0) -> PhotoFace:
    """Skin all over, the mean landmarks in its middle."""
    points = mean_landmarks().points * (0.12 * side)
    cos, sin = np.cos(roll), np.sin(roll)
    points[:, :2] = points[:, :2] @ np.array([[cos, -sin], [sin, cos]]).T
    points[:, :2] += side / 2 - points[:, :2].mean(axis=0)
    labels = np.full((side, side), FaceClass.SKIN, np.uint8)
    pixels = np.full((side, side, 3), 150, np.uint8)
    return PhotoFace(
        name, (side, side), None, pixels, 1.0, (0.0, 0.0), points.astype(np.float32), labels, False, 0.0, quality()
    )


def rims(face: PhotoFace) -> np.ndarray:
    """(S, S) bool: a ring around each eye and a bridge."""
    drawn, middles = np.zeros(face.labels.shape, np.uint8), []
    for part in (EYE_RIGHT, mirrored(EYE_RIGHT)):
        eye = face.landmarks[list(part), :2]
        middles.append(tuple(int(value) for value in eye.mean(axis=0)))
        cv2.circle(drawn, middles[-1], round(0.75 * float(np.linalg.norm(np.ptp(eye, axis=0)))), 1, 5)
    cv2.line(drawn, *middles, 1, 5)
    return drawn > 0


def with_glasses(face: PhotoFace) -> PhotoFace:
    return replace(face, labels=np.where(rims(face), GLASSES, face.labels))


@pytest.fixture
def hint(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the net is made to say, [mean probability of glasses], and behind it the sides of the crops it was given."""
    said = [0.12]

    def probabilities(_: object, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        said.append(pixels.shape[0])
        return np.full((len(FaceClass), *pixels.shape[:2]), said[0], np.float32)

    monkeypatch.setattr(voting, "face_parser", lambda device: object())
    monkeypatch.setattr(voting, "class_probabilities", probabilities)
    return said


def test_they_are_labelled_where_the_others_have_them(hint: list[float]) -> None:
    wearing = [with_glasses(bare_face("a", 300)), with_glasses(bare_face("b", 240, 0.1))]
    face = bare_face("c", 520, -0.2)
    hair = np.zeros(face.labels.shape, bool)
    hair[:, : round(face.landmarks[:, 0].mean())] = True
    face = replace(face, labels=np.where(hair, np.uint8(FaceClass.HAIR), face.labels))
    first, second, found = vote_on_glasses([*wearing, face])
    assert first is wearing[0] and second is wearing[1] and hint[1:] == [384]
    assert (found.labels[hair] == FaceClass.HAIR).all(), "only skin can be glasses that were missed"
    brows = polygon_mask(face.landmarks, BROW_RIGHT, 520) | polygon_mask(face.landmarks, mirrored(BROW_RIGHT), 520)
    own, drawn = found.labels == FaceClass.GLASSES, rims(face)
    assert not (own & brows).any(), "fine rims leave brows alone"
    truth = drawn & ~hair & ~grown(brows, 0.04 * float(np.ptp(face.landmarks[:, 1])))
    assert (own & truth).sum() / truth.sum() > 0.8
    near = cv2.dilate(drawn.astype(np.uint8), np.ones((13, 13))) > 0
    assert not (own & ~near).any()


def test_without_a_hint_or_where_few_photos_have_them_nothing_changes(hint: list[float]) -> None:
    bare = [bare_face(name, 200) for name in "abc"]
    one, two = with_glasses(bare[0]), with_glasses(bare[1])
    for faces in (bare, [one, *bare[1:]], [one, two, with_glasses(bare[2])], [one, bare[1]], [one], []):
        assert all(a is b for a, b in zip(vote_on_glasses(faces), faces, strict=True))
    assert len(hint) == 1, "the net need not be asked"
    hint[0] = 0.05
    assert all(a is b for a, b in zip(vote_on_glasses([one, two, bare[2]]), [one, two, bare[2]], strict=True))
    assert len(hint) == 2
