"""Corneas, sunk irises, tear lines and caruncles of the template's face."""

from __future__ import annotations

import numpy as np
import pytest

from backend.geometry.template import load_template
from backend.rig.eye_surfaces import EyeShapes, eye_shapes
from backend.rig.measure import face_loops, part_slice
from backend.rig.personalise import personalise_keys
from protocol.names import ARKIT_INDEX, EYE_PART_NAMES


@pytest.fixture(scope="module")
def shapes() -> EyeShapes:
    template = load_template()
    return eye_shapes(template, template.vertices, personalise_keys(template, template.vertices))


def _surface(shapes: EyeShapes, name: str):
    return shapes.surfaces[EYE_PART_NAMES.index(name)]


def test_a_cornea_stands_in_front_of_an_iris_that_lies_behind_its_rim(shapes: EyeShapes) -> None:
    template = load_template()
    for eye, side in enumerate(("left", "right")):
        centre, radius = shapes.centres[eye], shapes.radii[eye]
        cornea = _surface(shapes, f"cornea_{side}").vertices - centre
        ball = shapes.neutral[part_slice(template.parts[f"eye_{side}"])] - centre
        iris = ball[(ball[:, 2] > 0) & (np.hypot(ball[:, 0], ball[:, 1]) < 0.005)]
        assert cornea[:, 2].max() - radius == pytest.approx(0.0006, abs=1e-4)
        assert np.ptp(iris[:, 2]) < 1e-4  # a disc
        assert cornea[0, 2] - iris[:, 2].max() > 0.0015  # the chamber that light is refracted into
        edge = np.linalg.norm(cornea[-24:], axis=1)
        assert (edge < radius).all()  # the shell ends inside the eyeball, not as a step on it


def test_corneas_turn_with_their_eyes(shapes: EyeShapes) -> None:
    cornea = _surface(shapes, "cornea_left")
    index = ARKIT_INDEX["eyeLookOutLeft"]
    moved = cornea.vertices + cornea.keys[index] - shapes.centres[0]
    still = cornea.vertices - shapes.centres[0]
    assert np.allclose(np.linalg.norm(moved, axis=1), np.linalg.norm(still, axis=1), atol=1e-6)
    assert np.abs(cornea.keys[index]).max() > 0.003
    assert not np.any(cornea.keys[ARKIT_INDEX["eyeLookOutRight"]])
    assert not np.any(cornea.keys[ARKIT_INDEX["jawOpen"]])


def test_no_cornea_comes_through_a_closed_lid(shapes: EyeShapes) -> None:
    template = load_template()
    for eye, side in enumerate(("Left", "Right")):
        loops = face_loops(template).eyes[eye]
        posed = shapes.neutral + shapes.keys[ARKIT_INDEX[f"eyeBlink{side}"]]
        lid = (
            posed[loops.rows[loops.margin + 1 : loops.margin + 5][:, loops.upper]].reshape(-1, 3) - shapes.centres[eye]
        )
        near = lid[np.hypot(lid[:, 0], lid[:, 1]) < 0.0055]
        across = np.hypot(near[:, 0], near[:, 1])
        bulge = shapes.radii[eye] + 0.00005 + 0.00055 * (1.0 - (across / 0.00585) ** 2)
        assert len(near) and (np.linalg.norm(near, axis=1) > bulge).all()


def test_tear_lines_lie_on_the_lower_lid_and_move_with_it(shapes: EyeShapes) -> None:
    template = load_template()
    tears = _surface(shapes, "tear_lines")
    half = len(tears.vertices) // 2
    loops = face_loops(template).eyes[0]
    lid = template.vertices[loops.rows[loops.margin, loops.lower]]
    middle = tears.vertices[:half][7]  # on the lid's margin
    assert np.linalg.norm(lid - middle, axis=1).min() < 0.0008
    top = tears.vertices[half - 8] - shapes.centres[0]  # on the eyeball
    assert 0 <= np.linalg.norm(top) - shapes.radii[0] < 1e-4
    index = ARKIT_INDEX["eyeSquintLeft"]
    moved = np.linalg.norm(tears.keys[index, :half], axis=1).max()
    assert moved > 0.5 * np.linalg.norm(shapes.keys[index][loops.rows[loops.margin, loops.lower]], axis=1).max() > 0


def test_caruncles_fill_the_inner_corners(shapes: EyeShapes) -> None:
    template = load_template()
    caruncles = _surface(shapes, "caruncles")
    half = len(caruncles.vertices) // 2
    for eye, own in ((0, caruncles.vertices[:half]), (1, caruncles.vertices[half:])):
        loops = face_loops(template).eyes[eye]
        corner = template.vertices[loops.rows[loops.margin, loops.inner]]
        assert np.linalg.norm(own - corner, axis=1).min() < 0.0025
        assert own[:, 2].max() < corner[2]  # behind the lids' margin


def test_faces_point_out_of_the_eyes(shapes: EyeShapes) -> None:
    for surface in shapes.surfaces:
        corners = surface.vertices[surface.quads].astype(np.float64)
        normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
        front = np.abs(normals[:, 2]) > 0.3 * np.linalg.norm(normals, axis=1)
        assert (normals[front, 2] > 0).mean() > 0.9, surface.name
