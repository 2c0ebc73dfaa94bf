"""Pull: a dragged landmark moves the skin near it, and the photo's other landmarks hold."""

from __future__ import annotations

import time

import bpy
import numpy as np
import pytest
from head_message import made_up_asset
from instant_backend import Backend
from machine_speed import times_slower

from backend.geometry.template import load_template
from blender_addon.objects import tags
from blender_addon.objects.meshes import neutral_coordinates, origin_of, sculpted, to_head
from blender_addon.scene import corrections

PHOTO = "portrait.jpg"
DRAG, STILL = 40.0, 3.0
"""Pixels of a face that is 600 pixels high."""
CHIN, MOUTH_CORNER, NOSE = 152, 61, 1


@pytest.fixture
def collection(collection: bpy.types.Collection) -> bpy.types.Collection:
    for camera in tags.camera_objects(collection):
        camera[tags.EXPRESSION] = {}  # the landmarks of the made-up photos are those of a neutral face
    return collection


def landmarks(collection: bpy.types.Collection, photo: str) -> np.ndarray:
    """(478, 2) pixels at which the present head has the landmarks, by the template's own places of them."""
    template = load_template()
    shape = template.vertices.copy()
    head = tags.part_object(collection, "head").data
    shape[: len(head.vertices)] = to_head(neutral_coordinates(head) + origin_of(head))
    camera = next(one.camera for one in made_up_asset()[0].photos if one.name == photo)
    return camera.project(template.landmarks478.positions(shape))[:, :2]


def drag(collection: bpy.types.Collection, landmark: int, change: tuple[float, float]) -> None:
    """Move a shown landmark by pixels of the photo, as the artist does."""
    camera = tags.cameras_by_photo(collection)[PHOTO]
    point = next(p for p in corrections.put_points(collection, camera) if p[tags.LANDMARK] == landmark)
    fx, fy, *_ = camera[tags.INTRINSICS]
    point.location.x += change[0] / fx * -point.location.z
    point.location.y -= change[1] / fy * -point.location.z
    bpy.context.view_layer.update()


@pytest.mark.parametrize(("landmark", "way"), [(CHIN, (0.0, 1.0)), (MOUTH_CORNER, (-1.0, 0.0)), (NOSE, (0.6, -0.8))])
def test_what_was_not_dragged_stays(collection: bpy.types.Collection, landmark: int, way: tuple[float, float]) -> None:
    before = landmarks(collection, PHOTO)
    scale = np.ptp(before[:, 1]) / 600.0
    drag(collection, landmark, tuple(scale * DRAG * np.array(way)))
    began = time.process_time()
    assert bpy.ops.likeness.pull_skin(photo=PHOTO) == {"FINISHED"}
    seconds = time.process_time() - began
    moved = (landmarks(collection, PHOTO) - before) / scale
    others = [one for one in corrections.HANDLES if one != landmark and one not in corrections.PUPILS]
    np.testing.assert_allclose(moved[landmark], DRAG * np.array(way), atol=1.0)
    assert np.linalg.norm(moved[others], axis=1).max() < STILL
    assert seconds < 2.0 * times_slower()
    assert (
        np.linalg.norm(shown_points(collection)[others] - landmarks(collection, PHOTO)[others], axis=1).max()
        < 8.0 * scale
    )


def test_it_is_a_sculpt_that_solving_again_keeps_and_no_correction(
    collection: bpy.types.Collection, backend: Backend
) -> None:
    drag(collection, CHIN, (0.0, 8.0))
    bpy.ops.likeness.pull_skin(photo=PHOTO)
    head = tags.part_object(collection, "head")
    pulled = sculpted(head.data)
    assert pulled is not None and corrections.head_corrections(collection) == ()
    jaw = head.data.shape_keys.key_blocks["jawOpen"]
    assert np.abs(jaw.points[0].co[:]).max() > 0  # the keys are there, and moved along:
    bpy.ops.likeness.solve_again()
    np.testing.assert_allclose(sculpted(head.data), pulled, atol=1e-5)
    bpy.ops.likeness.remove_sculpt()
    assert sculpted(head.data) is None


def test_points_are_shown_on_the_present_skin_and_go_back_with_it(collection: bpy.types.Collection) -> None:
    """Whatever has moved it: a pull, a slider."""
    first = shown_points(collection)
    drag(collection, CHIN, (0.0, 8.0))
    bpy.ops.likeness.pull_skin(photo=PHOTO)
    assert shown_points(collection)[CHIN, 1] == pytest.approx(first[CHIN, 1] + 8.0, abs=0.3)
    bpy.ops.likeness.remove_sculpt()
    np.testing.assert_allclose(shown_points(collection), first, atol=0.05)
    collection.likeness.chin_height = 1.0
    went = (shown_points(collection) - first)[CHIN]
    skin = landmarks(collection, PHOTO)[CHIN]
    collection.likeness.chin_height = 0.0
    assert np.linalg.norm(went) > 3.0
    np.testing.assert_allclose(went, skin - landmarks(collection, PHOTO)[CHIN], atol=1.0)
    np.testing.assert_allclose(shown_points(collection), first, atol=0.05)


def shown_points(collection: bpy.types.Collection) -> np.ndarray:
    """(478, 2) pixels of the photo at which landmarks are shown; NaN for those that are not."""
    places = np.full((478, 2), np.nan)
    for landmark, place in corrections.fitted_points(collection, tags.cameras_by_photo(collection)[PHOTO]).items():
        if landmark < 478:
            places[landmark] = place
    return places


def test_the_reach_bounds_it(collection: bpy.types.Collection) -> None:
    collection.likeness.reach = 0.02
    drag(collection, CHIN, (0.0, 8.0))
    bpy.ops.likeness.pull_skin(photo=PHOTO)
    head = tags.part_object(collection, "head")
    pulled = np.linalg.norm(sculpted(head.data), axis=1)
    most = neutral_coordinates(head.data)[pulled.argmax()]
    far = np.linalg.norm(neutral_coordinates(head.data) - most, axis=1) > 0.07
    assert pulled.max() > 0.005 and pulled[far].max() < 1e-5


def test_without_a_dragged_point_nothing_moves(collection: bpy.types.Collection) -> None:
    corrections.put_points(collection, tags.cameras_by_photo(collection)[PHOTO])
    assert bpy.ops.likeness.pull_skin(photo=PHOTO) == {"CANCELLED"}
    assert sculpted(tags.part_object(collection, "head").data) is None
