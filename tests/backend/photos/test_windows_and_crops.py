"""Windows, head crops, the head's pose and polygons of its landmarks, on made-up pictures and on the mean face."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.expression.follow import face_in_frame
from backend.photos import faces
from backend.photos.regions import EYE_RIGHT, FACE_OVAL, face_normals, grown, mirrored, polygon_mask


def mean_face(size: float = 200.0, centre: tuple[float, float] = (300.0, 280.0)) -> np.ndarray:
    return faces.mean_landmarks().points * (size / 2) + [*centre, 0.0]


def spots(side: int, places: np.ndarray) -> np.ndarray:
    """A dark picture with a soft bright spot at each place (x, y)."""
    rows, columns = np.mgrid[:side, :side] + 0.5
    picture = np.zeros((side, side))
    for x, y in places:
        picture += 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 4.0**2))
    return np.repeat(picture[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)


def centroid(picture: np.ndarray) -> np.ndarray:
    weight = picture[..., 0].astype(float)
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("resolution", [64, 150, 400])
@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 2, -2.0])
def test_what_a_window_shows_is_where_to_picture_says(angle: float, resolution: int, flipped: bool) -> None:
    place = np.array([223.3, 181.7])
    window = faces.Window((200.0, 190.0), 150.0, angle, flipped)
    found = centroid(window.cut(spots(400, place[None]), resolution))
    back = window.to_picture(np.array([[*found, resolution / 10]]), resolution)[0]
    assert back[:2] == pytest.approx(place, abs=0.3)
    assert back[2] == pytest.approx(15.0)


def test_reducing_does_not_alias() -> None:
    stripes = np.zeros((600, 600, 3), np.uint8)
    stripes[:, ::2] = 255
    small = faces.Window((300.0, 300.0), 560.0).cut(stripes, 70)
    assert np.abs(small[5:-5, 5:-5].astype(float) - 127.5).max() < 12


def test_outside_the_picture_the_edge_is_repeated() -> None:
    picture = np.full((50, 50, 3), 90, np.uint8)
    assert (faces.Window((0.0, 0.0), 400.0, 0.3).cut(picture, 64) == 90).all()


def test_fit_inside_never_enlarges(synthetic_picture: np.ndarray) -> None:
    same, factor = faces.fit_inside(synthetic_picture, 1000)
    assert factor == 1.0
    assert same.shape == synthetic_picture.shape
    small, factor = faces.fit_inside(synthetic_picture, 80)
    assert small.shape == (60, 80, 3)
    assert factor == 0.25


def test_crop_and_picture_coordinates_are_inverse_and_true() -> None:
    face = mean_face()
    rng = np.random.default_rng(1)
    picture = cv2.GaussianBlur(rng.integers(0, 255, (600, 640, 3), dtype=np.uint8), (0, 0), 3)
    for max_side in (4096, 200):
        crop = faces.crop_head(picture, face, max_side)
        points = rng.uniform(0, 600, (20, 3))
        assert crop.to_picture(crop.to_crop(points)) == pytest.approx(points)
        assert crop.scale * (points[:, :2] - crop.offset) == pytest.approx(crop.to_crop(points)[:, :2])
        assert crop.pixels.shape[0] == crop.pixels.shape[1] <= max_side
        x, y = crop.to_crop(np.array([300.0, 280.0, 0.0]))[:2]
        assert np.abs(crop.pixels[int(y), int(x)].astype(int) - picture[280, 300]).max() < 25
    whole = faces.crop_head(picture, face)
    left, top = int(whole.offset[0]), int(whole.offset[1])
    side = whole.pixels.shape[0]
    assert whole.scale == 1.0
    assert (
        whole.pixels[max(0, -top) : 600 - top, max(0, -left) : 640 - left]
        == picture[max(0, top) : top + side, max(0, left) : left + side]
    ).all()


def test_crop_holds_the_head_with_room_around_it() -> None:
    face = mean_face(200.0, (450.0, 430.0))
    crop = faces.crop_head(np.zeros((900, 900, 3), np.uint8), face)
    inside = crop.to_crop(face)[:, :2] / crop.pixels.shape[0]
    assert inside.min() > 0.2
    assert inside.max() < 0.8


@pytest.mark.parametrize("centre", [(20.0, 20.0), (390.0, 200.0), (-80.0, 150.0)])
def test_padding_repeats_the_edge_and_covered_says_so(centre: tuple[float, float]) -> None:
    picture = np.random.default_rng(0).integers(1, 255, (300, 400, 3), dtype=np.uint8)
    crop = faces.crop_head(picture, mean_face(120.0, centre))
    left, top, right, bottom = (round(edge) for edge in crop.covered)
    side = crop.pixels.shape[0]
    assert crop.pixels.shape == (side, side, 3)
    x, y = round(crop.offset[0]), round(crop.offset[1])
    columns, rows = np.clip(np.arange(x, x + side), 0, 399), np.clip(np.arange(y, y + side), 0, 299)
    assert (crop.pixels == picture[np.ix_(rows, columns)]).all()
    assert (left, right) == (np.clip(-x, 0, side), np.clip(400 - x, 0, side))
    assert (top, bottom) == (np.clip(-y, 0, side), np.clip(300 - y, 0, side))


@pytest.mark.parametrize(("axis", "name"), [("y", "yaw"), ("x", "pitch"), ("z", "roll")])
@pytest.mark.parametrize("degrees", [-40.0, 0.0, 25.0])
def test_pose_of_the_turned_mean_face(axis: str, name: str, degrees: float) -> None:
    """Image axes: x right, y down, z away. To the own left is picture right: a turn by -y; up is a turn by -x."""
    sign = {"y": -1, "x": -1, "z": 1}[axis]
    turned = mean_face() @ Rotation.from_euler(axis, sign * degrees, degrees=True).as_matrix().T
    pose = vars(faces.head_pose(turned))
    assert pose.pop(name) == pytest.approx(degrees, abs=0.5)
    assert list(pose.values()) == pytest.approx([0.0, 0.0], abs=0.5)
    if name == "yaw" and degrees > 0:
        nose, eyes = turned[1], turned[[faces.EYE_OUTER_RIGHT, faces.EYE_OUTER_LEFT]].mean(axis=0)
        assert nose[0] > eyes[0]


def test_mirror_map_is_an_involution_that_mirrors_the_mean_face() -> None:
    mean = faces.mean_landmarks()
    assert (mean.mirror[mean.mirror] == np.arange(478)).all()
    assert mean.points[mean.mirror] * [-1, 1, 1] == pytest.approx(mean.points, abs=1e-5)
    assert mean.points[faces.EYE_OUTER_LEFT, 0] > 0 > mean.points[faces.EYE_OUTER_RIGHT, 0]


def test_polygons_lie_where_the_parts_are() -> None:
    face = faces.mean_landmarks().points * 100 + [256.0, 256.0, 0.0]
    oval, eye = polygon_mask(face, FACE_OVAL, 512), polygon_mask(face, EYE_RIGHT, 512)
    assert oval[int(face[1, 1]), int(face[1, 0])]
    assert (eye & ~oval).sum() == 0
    rows, columns = np.nonzero(eye)
    assert [columns.mean(), rows.mean()] == pytest.approx(face[list(EYE_RIGHT), :2].mean(axis=0), abs=2)
    assert polygon_mask(face, mirrored(EYE_RIGHT), 512)[:, ::-1].sum() == pytest.approx(eye.sum(), rel=0.05)
    assert grown(eye, 3).sum() > eye.sum() > grown(eye, -1).sum()


def test_normals_point_out_of_the_face() -> None:
    face = faces.mean_landmarks().points * 120 + [256.0, 256.0, 0.0]
    normals = face_normals(face, 512)
    right_cheek, left_cheek = face[123, :2].astype(int), face[352, :2].astype(int)
    assert normals[right_cheek[1], right_cheek[0], 0] < -0.2
    assert normals[left_cheek[1], left_cheek[0], 0] > 0.2
    chin, forehead = face[152, :2].astype(int), face[10, :2].astype(int)
    assert normals[chin[1] - 3, chin[0], 1] > normals[forehead[1] + 3, forehead[0], 1] + 0.2
    assert np.isfinite(normals).all()


def test_no_lens_takes_pictures_wider_than_two_to_one() -> None:
    face = replace(
        face_in_frame("pano", np.zeros((400, 400, 3), np.uint8), mean_face()),
        source_size=(9000, 900),
        crop_scale=0.8,
        crop_offset=(6300.0, 250.0),
    )
    np.testing.assert_allclose(face.lens_centre, [200, 200])  # the face's surroundings
    photo = replace(face, source_size=(1500, 1000), crop_offset=(900.0, 250.0))
    np.testing.assert_allclose(photo.lens_centre, [-120, 200])  # the picture's middle
    np.testing.assert_allclose(replace(face, focal_px=3000.0).lens_centre, [0.8 * (4500 - 6300), 0.8 * 200])
