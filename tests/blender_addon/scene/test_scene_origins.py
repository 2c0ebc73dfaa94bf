"""Objects turn about what they hang on: a head about its neck, an eye about its centre; older files are as before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from head_message import template_vertices
from scene_helpers import coordinates, evaluated, subdivision

from blender_addon.protocol.names import EYE_PART_NAMES, PART_NAMES
from blender_addon.protocol.result import HeadResult

pytest.importorskip("bpy")
pytestmark = pytest.mark.blender

from blender_addon.objects import tags  # noqa: E402
from blender_addon.objects.meshes import to_blender  # noqa: E402
from blender_addon.rig import build  # noqa: E402
from blender_addon.scene import importing  # noqa: E402
from blender_addon.scene.own_head import neutral_head  # noqa: E402


@pytest.fixture
def old_collection(bpy, result: HeadResult, photo_files, monkeypatch: pytest.MonkeyPatch):
    """A head as it was made before objects had origins of their own."""
    with monkeypatch.context() as before:
        before.setattr(importing, "neck_pivot", lambda head: np.zeros(3, np.float32))
        before.setattr(importing, "eye_centre", lambda eye: np.zeros(3, np.float32))
        before.setattr(importing, "remember_origin", lambda item, origin: None)
        collection = importing.import_head(result, bpy.context, photo_files)
    assert tags.ORIGIN not in collection
    assert not any(tags.ORIGIN in tags.part_object(collection, part).data for part in PART_NAMES + EYE_PART_NAMES)
    assert tags.part_object(collection, "eye_left").location.length == 0.0
    return collection


def larger(result: HeadResult) -> HeadResult:
    parts = tuple(
        replace(p, vertices=(p.vertices * np.float32([1.1, 1, 1.1])).astype(np.float32)) for p in result.parts
    )
    return replace(result, parts=parts)


def world(bpy, collection) -> dict[str, np.ndarray]:
    """(V, 3) world places of every part's cage."""
    found = {}
    for part in PART_NAMES + EYE_PART_NAMES:
        obj = tags.part_object(collection, part)
        subdivision(obj).show_viewport = False
        found[part] = evaluated(bpy, obj)
    return found


def assert_in_place(bpy, collection, result: HeadResult) -> None:
    """Every part and camera lies where the result has it, seen from where the head frame's origin is in the world."""
    for part in result.parts:
        np.testing.assert_allclose(world(bpy, collection)[part.name], to_blender(part.vertices), atol=2e-6)
    tags.cameras_collection(collection).hide_viewport = False  # Blender does not place what is hidden
    bpy.context.view_layer.update()
    for camera in tags.camera_objects(collection):
        photo = next(photo for photo in result.photos if photo.name == camera[tags.PHOTO])
        centre = -photo.camera_from_head[:3, :3].T @ photo.camera_from_head[:3, 3]
        np.testing.assert_allclose(camera.matrix_world.translation, to_blender(centre), atol=1e-5)
    sent = np.frombuffer(neutral_head(collection), "<f4").reshape(-1, 3)
    np.testing.assert_allclose(sent, template_vertices(result.parts), atol=2e-6)


def test_a_head_stands_on_its_neck_and_eyes_on_their_centres(bpy, collection, result: HeadResult) -> None:
    head = tags.part_object(collection, "head")
    points = coordinates(head.data.vertices)
    assert abs(points[:, 2].min()) < 0.05 and points[:, 2].max() > 0.2  # the origin was 0.6 m below
    low = points[points[:, 2] < 0.02, 1]
    assert head.location.x == 0.0 and low.min() < -0.02 and low.max() > 0.02  # inside the neck
    for part in ("eye_left", "eye_right"):
        ball = coordinates(tags.part_object(collection, part).data.vertices)
        away = np.linalg.norm(ball, axis=1)
        assert 0.01 < away.mean() < 0.015 and np.quantile(np.abs(away - np.median(away)), 0.9) < 0.0015
    assert_in_place(bpy, collection, result)


def test_an_eye_that_is_turned_stays_in_its_socket(bpy, collection) -> None:
    before = world(bpy, collection)["eye_left"]
    tags.part_object(collection, "eye_left").rotation_euler = (0.0, 0.0, 0.3)
    after = world(bpy, collection)["eye_left"]
    assert np.linalg.norm(after.mean(0) - before.mean(0)) < 0.001 < np.linalg.norm(after - before, axis=1).max()


def test_solving_again_keeps_the_heads_place_and_moves_the_eyes_centres(bpy, collection, result: HeadResult) -> None:
    head = tags.part_object(collection, "head")
    place = head.location.copy()
    importing.import_head(larger(result), bpy.context, (), into=collection[tags.HEAD_ID])
    assert head.location == place
    assert_in_place(bpy, collection, larger(result))
    ball = coordinates(tags.part_object(collection, "eye_left").data.vertices)
    assert np.abs(0.5 * (ball.min(0) + ball.max(0))).max() < 0.002
    bpy.data.objects.remove(tags.part_object(collection, "eye_left"))
    bpy.data.objects.remove(tags.part_object(collection, "tongue"))
    importing.import_head(result, bpy.context, (), into=collection[tags.HEAD_ID])
    assert_in_place(bpy, collection, result)


def test_a_head_that_was_deleted_fits_on_what_is_left_of_it(bpy, collection, result: HeadResult) -> None:
    bpy.data.objects.remove(tags.part_object(collection, "head"))
    importing.import_head(larger(result), bpy.context, (), into=collection[tags.HEAD_ID])
    assert_in_place(bpy, collection, larger(result))


def test_a_head_of_an_older_file_keeps_its_origin(bpy, old_collection, result: HeadResult) -> None:
    assert_in_place(bpy, old_collection, result)
    again = importing.import_head(larger(result), bpy.context, (), into=old_collection[tags.HEAD_ID])
    assert tags.part_object(again, "head").location.length == 0.0
    assert tags.part_object(again, "eye_left").location.length == 0.0
    assert_in_place(bpy, again, larger(result))
    bpy.data.objects.remove(tags.part_object(again, "eye_left"))  # one that comes back has its own
    importing.import_head(result, bpy.context, (), into=again[tags.HEAD_ID])
    assert tags.part_object(again, "eye_left").location.length > 0.5
    assert_in_place(bpy, again, result)


@pytest.mark.parametrize("made", ["collection", "old_collection"])
def test_bones_are_where_the_head_is(bpy, request: pytest.FixtureRequest, result: HeadResult, made: str) -> None:
    head_of = request.getfixturevalue(made)
    rig = build.put_rig(head_of)
    bpy.context.view_layer.update()
    eye = np.array(rig.matrix_world @ rig.data.bones["eye.L"].head_local)
    np.testing.assert_allclose(eye, to_blender(importing.eye_centre(result.parts[1])), atol=1e-4)
    neck = np.array(rig.matrix_world @ rig.data.bones["neck"].head_local)
    np.testing.assert_allclose(neck, to_blender(importing.neck_pivot(result.head)), atol=2e-3)
