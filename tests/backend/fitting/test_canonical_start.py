"""LAP's view and light as the fit's first guess."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from canonical_hand_made import canonical_of, made_photo, still_photo, usual_place
from scipy.spatial.transform import Rotation

from backend.fitting.canonical import align_by_landmarks, head_light, start_from_view
from backend.fitting.detector_model import initial_parameters
from backend.fitting.options import PriorWeights
from backend.photos.faces import Window
from backend.rendering.spherical_harmonics import shade


def seen_from(template, yaw: float, roll: float):
    """A photo of the mean face from 1.2 m, and what perfect networks say of it."""
    face = canonical_of(template, np.zeros(len(template.identity_modes)), usual_place(template), 64)
    turn = Rotation.from_euler("y", yaw, degrees=True).as_matrix()
    tilt = Rotation.from_euler("z", roll, degrees=True).as_matrix()
    rotation = tilt @ turn @ np.diag([1.0, -1.0, -1.0])
    points = template.landmarks478.positions(template.vertices).astype(np.float64)
    in_camera = (points - points.mean(0)) @ rotation.T + [0.01, -0.02, 1.2]
    pixels = 1500 * in_camera[:, :2] / in_camera[:, 2:] + 150
    photo = made_photo(0, landmarks=np.concatenate([pixels, np.zeros((478, 1))], 1).astype(np.float32))
    window = Window((150.0, 150.0), 200.0, np.radians(roll))
    return photo, replace(still_photo("0.png", 64, face.depth), rotation=turn, window=window), face, rotation


def degrees_apart(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.degrees(Rotation.from_matrix(first @ second.T).magnitude()))


def test_a_lost_pose_starts_from_the_view_and_a_good_one_stays(template) -> None:
    photo, seen, face, rotation = seen_from(template, 30.0, 12.0)
    place = align_by_landmarks(template, face)
    good = initial_parameters(template, photo, PriorWeights(), 0)
    assert degrees_apart(good.rotation, rotation) < 1
    lost = replace(good, rotation=Rotation.from_rotvec([0.4, -0.9, 0.3]).as_matrix() @ good.rotation)
    found = start_from_view(template, photo, lost, seen, place)
    assert degrees_apart(found.rotation, rotation) < 2
    assert found.focal == pytest.approx(lost.focal, rel=1e-6)
    marks = template.landmarks478.positions(template.vertices)
    off = np.linalg.norm(found.camera().project(marks)[:, :2] - photo.landmarks[:, :2], axis=-1)
    assert np.median(off) < 3
    wrong = replace(seen, rotation=Rotation.from_euler("y", -30, degrees=True).as_matrix())
    assert start_from_view(template, photo, good, wrong, place) is good


def test_the_lamp_stands_where_the_networks_see_it(template) -> None:
    above = replace(still_photo("0.png", 8, np.ones((8, 8))), direction=np.array([0.0, 0.6, 0.8]))  # light falls down
    light = head_light(above, usual_place(template))
    up, front, down = (shade(np.array([d]), light)[0, 0] for d in ([0, 0.6, 0.8], [0.0, 0, 1], [0, -0.6, 0.8]))
    assert up > front > down
    assert up == pytest.approx(1.0, abs=0.08)  # ambient and diffuse together
    np.testing.assert_allclose(light[:, 0], light[:, 2])
