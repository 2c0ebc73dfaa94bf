"""Photos that lie on their side or stand on their head and do not say so: all stages get them upright."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_photos import encoded
from PIL import Image
from plain_photo import mask_of, plain_photo

from backend.exchange.assemble import camera_in_file
from backend.photos.collect import CollectOptions, collect
from backend.photos.collection import FaceClass, PhotoCollection, PhotoFace, PhotoSource
from backend.photos.corrections import CorrectedPoint, PhotoCorrections, with_corrections
from backend.photos.faces import head_pose
from backend.rendering.camera import Camera

TURNS = (1, 2, 3)


@pytest.fixture(scope="module")
def photo(small_photo: Path) -> Image.Image:
    """A small photo of somebody, upright."""
    return Image.open(small_photo).convert("RGB")


def collected(photo: Image.Image, turns: int) -> PhotoCollection:
    """What the photo stage makes of the photo after clockwise quarter turns, without EXIF."""
    stored = Image.fromarray(np.rot90(np.asarray(photo), -turns).copy())
    return collect([PhotoSource("a.png", encoded(stored, "PNG"))], options=CollectOptions(surface=False))


@pytest.mark.parametrize("turns", TURNS)
def test_a_turned_photo_gives_the_upright_one(photo: Image.Image, turns: int) -> None:
    upright, found = collected(photo, 0).faces[0], collected(photo, turns).faces[0]
    assert found.turns == turns
    assert found.source_size == photo.size
    assert found.file_size == (photo.size if turns == 2 else photo.size[::-1])
    assert abs(head_pose(found.landmarks).roll - head_pose(upright.landmarks).roll) < 1.0
    size = np.ptp(upright.landmarks[:, 1])
    same = found.landmarks[:, :2] / found.crop_scale + found.crop_offset
    expected = upright.landmarks[:, :2] / upright.crop_scale + upright.crop_offset
    assert np.linalg.norm(same - expected, axis=1).mean() < 0.005 * size
    hair = [np.mean(face.labels == FaceClass.HAIR) for face in (upright, found)]
    assert hair[1] == pytest.approx(hair[0], rel=0.05)


def face_in_file(turns: int) -> tuple[PhotoFace, np.ndarray]:
    """A face in a photo of 300 x 200 upright pixels, and points of its crop."""
    face = plain_photo((100, 100), name="a", crop_scale=0.5, crop_offset=(20.0, 10.0), source_size=(300, 200))
    return replace(face, turns=turns), np.array([[10.0, 20.0], [90.0, 35.0]])


@pytest.mark.parametrize("turns", (0, *TURNS))
def test_points_of_the_crop_are_in_the_pixels_of_the_file(turns: int) -> None:
    face, points = face_in_file(turns)
    picture = np.zeros((200, 300), np.uint8)
    for x, y in points / 0.5 + [20.0, 10.0]:
        picture[int(y), int(x)] = 255
    row, column = np.nonzero(np.rot90(picture, -turns))
    found = np.floor(face.in_file(points + 0.25)).astype(int)
    assert sorted(map(tuple, found)) == sorted(zip(column, row, strict=True))


@pytest.mark.parametrize("turns", (0, *TURNS))
def test_a_camera_in_the_file_projects_to_the_pixels_of_the_file(turns: int) -> None:
    face, _ = face_in_file(turns)
    intrinsics = np.array([[180.0, 0.0, 45.0], [0.0, 180.0, 60.0], [0.0, 0.0, 1.0]])
    pose = np.diag([1.0, -1.0, -1.0, 1.0])
    pose[:3, 3] = [0.01, 0.02, 0.6]
    camera = Camera(intrinsics, pose, (100, 100))
    in_file = camera_in_file(camera, face)
    points = np.random.default_rng(0).normal(scale=0.05, size=(20, 3))
    assert np.abs(in_file.project(points)[:, :2] - face.in_file(camera.project(points)[:, :2])).max() < 1e-6
    assert in_file.size == face.file_size
    lower = in_file.intrinsics[[0, 1, 1, 2, 2], [1, 0, 2, 0, 1]]
    assert np.abs(lower[[0, 1, 3, 4]]).max() < 1e-9 and in_file.intrinsics[0, 0] > 0 < in_file.intrinsics[1, 1]


@pytest.mark.parametrize("turns", (0, *TURNS))
def test_corrections_are_in_the_pixels_of_the_file(turns: int) -> None:
    face, points = face_in_file(turns)
    landmarks = np.tile(np.array([[50.0, 50.0, 0.0]], np.float32), (478, 1))
    face = replace(face, landmarks=landmarks)
    x, y = face.in_file(points)[0]
    hidden = np.zeros((200, 300), bool)
    hidden[:120, :60] = True  # of the upright photo
    corrections = PhotoCorrections("a", "both", (CorrectedPoint(152, x, y),), mask_of(np.rot90(hidden, -turns)))
    (corrected,) = with_corrections(PhotoCollection((face,)), (corrections,)).faces
    assert corrected.landmarks[152, :2] == pytest.approx(points[0])
    occluded = corrected.labels == FaceClass.OCCLUDER
    expected = np.zeros((100, 100), bool)
    expected[:55, :20] = True
    assert (occluded == expected).mean() > 0.999
