"""The networks on photos: any order, any tilt, black-and-white among colour; landmarks on the surface."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from canonical_hand_made import canonical_of, made_photo, still_photo, usual_place
from scipy.spatial.transform import Rotation

from backend.models.lap.apply import align, canonical_face, place_landmarks
from backend.models.lap.canonical_face import PhotoAlignment

RANGE = (0.5, 1.5)


def test_the_order_of_the_photos_does_not_matter(model) -> None:
    photos = [made_photo(number) for number in range(3)]
    first, other = canonical_face(photos, model), canonical_face(photos[::-1], model)
    np.testing.assert_allclose(first.depth, other.depth, atol=1e-6)
    np.testing.assert_allclose(first.albedo, other.albedo, atol=1e-5)
    np.testing.assert_allclose(first.confidence, other.confidence, atol=1e-4)
    assert [photo.name for photo in other.photos] == ["2.png", "1.png", "0.png"]
    for one, two in zip(first.photos, other.photos[::-1], strict=True):
        np.testing.assert_allclose(one.rotation, two.rotation, atol=1e-5)
    fewer = canonical_face(photos[:1], model)
    assert np.abs(fewer.albedo - first.albedo).max() > 1e-4


def test_maps_are_in_their_ranges(model) -> None:
    face = canonical_face([made_photo(0), made_photo(1)], model)
    assert face.depth.shape == (32, 32) and face.albedo.shape == (32, 32, 3)
    assert face.depth.min() >= 0.9 and face.depth.max() <= 1.1
    np.testing.assert_allclose(np.linalg.norm(face.normals, axis=-1), 1, atol=1e-6)
    assert (face.normals[8:24, 8:24, 2] < 0).mean() > 0.9  # out of the face, to the camera
    for values in (face.albedo, face.confidence, face.landmark_weights):
        assert values.min() >= 0 and values.max() <= 1
    assert face.photos[0].depth.shape == (32, 32) and face.photos[0].direction[2] > 0


def test_a_black_and_white_photo_says_nothing_about_colour(model) -> None:
    colour, grey = made_photo(0), made_photo(1, monochrome=True)
    alone, both = canonical_face([colour], model), canonical_face([colour, grey], model)
    np.testing.assert_allclose(alone.albedo, both.albedo, atol=1e-5)
    assert np.abs(alone.depth - both.depth).max() > 1e-7
    canonical_face([grey], model)  # alone it has to do


def test_no_photo_is_an_error(model) -> None:
    with pytest.raises(ValueError, match="at least one photo"):
        canonical_face([], model)


def test_alignment_recovers_scale_offset_and_tilt_in_spite_of_outliers() -> None:
    generator = np.random.default_rng(0)
    view = generator.uniform(10, 54, (200, 2))
    true = PhotoAlignment(1.12, np.radians(9), (2.5, -1.5))
    square = true.to_square(view, 64)
    np.testing.assert_allclose(true.to_view(square, 64), view, atol=1e-9)
    square[:20] += generator.normal(0, 6, (20, 2))
    found = align(view, square, np.ones(200), 64)
    assert found.scale == pytest.approx(1.12, abs=0.002)
    assert np.degrees(found.tilt) == pytest.approx(9, abs=0.2)
    np.testing.assert_allclose(found.offset, true.offset, atol=0.1)
    assert align(view[:5], square[:5], np.ones(5), 64) == PhotoAlignment()


def test_landmarks_of_differently_cropped_photos_meet_on_the_surface(template) -> None:
    """Three views, whose squares differ by a similarity of which the networks' views say nothing."""
    face = canonical_of(template, np.zeros(len(template.identity_modes)), usual_place(template), 128)
    true = face.landmarks
    squares, photos = [], []
    crops = (PhotoAlignment(1.08, 0.08, (3.0, 1.0)), PhotoAlignment(0.95, -0.06, (-2.0, -1.0)), PhotoAlignment())
    for yaw, crop in zip((0.0, 25.0, -25.0), crops, strict=True):
        rotation = Rotation.from_euler("y", yaw, degrees=True).as_matrix()
        photo = replace(still_photo(f"{yaw}", 128, face.depth), rotation=rotation)
        seen = face.camera.project(torch.from_numpy(photo.moved(true))).numpy()[:, :2]
        squares.append(crop.to_square(seen, 128) / 128)
        photos.append(photo)
    placed = place_landmarks(replace(face, photos=tuple(photos)), squares, RANGE)
    sure = placed.landmark_weights > 0.9
    assert sure.sum() > 200
    # what all squares share cannot be told: compare up to one similarity of the picture
    found, expected = placed.landmarks[sure, :2] * 1000, true[sure, :2] * 1000  # about millimetres
    shared = align(found, expected, np.ones(sure.sum()), 64)
    off = np.linalg.norm(shared.to_square(found, 64) - expected, axis=-1)
    assert np.median(off) < 0.7
    scales = np.array([photo.alignment.scale for photo in placed.photos])
    np.testing.assert_allclose(scales / scales[2], [1.08, 0.95, 1.0], atol=0.01)
    tilts = np.array([photo.alignment.tilt for photo in placed.photos])
    np.testing.assert_allclose(tilts - tilts[2], [0.08, -0.06, 0.0], atol=0.01)
