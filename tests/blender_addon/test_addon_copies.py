"""Copies of a head inside its own collection, and looking through a photo while it is solved again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import MagicMock

import bpy
import numpy as np
import pytest
from head_message import load_or_make
from instant_backend import Backend
from scene_helpers import coordinates, import_head
from transfer_rigs import rig, select

from blender_addon.client.submissions import PhotoFile
from blender_addon.objects import tags
from blender_addon.objects.meshes import origin_of
from blender_addon.protocol.result import HeadResult
from blender_addon.ui.panel import HEAD_PANELS, MainPanel

PHOTO = "square.jpg"


def duplicated(*objects: bpy.types.Object, linked: bool = False) -> bpy.types.Object:
    """The copy of the first object; all copies are selected then."""
    select(bpy, *objects)
    bpy.context.view_layer.objects.active = objects[0]
    bpy.ops.object.duplicate(linked=linked)
    return bpy.context.view_layer.objects.active


def copy_of_the_mesh(collection: bpy.types.Collection) -> tuple[bpy.types.Object, bpy.types.Object]:
    """The head's own mesh, and a copy of it alone, which is selected."""
    own = tags.part_object(collection, "head")
    return own, duplicated(own)


def copy_of_all(collection: bpy.types.Collection) -> tuple[bpy.types.Object, bpy.types.Object]:
    """The same with parts and cameras."""
    own = tags.part_object(collection, "head")
    tags.cameras_collection(collection).hide_viewport = False  # Blender duplicates what is shown
    return own, duplicated(own, *(obj for obj in collection.all_objects if obj != own))


def part_of(mesh: bpy.types.Object, part: str) -> bpy.types.Object:
    return next(child for child in mesh.children if child.get(tags.PART) == part)


def smile(obj: bpy.types.Object) -> float:
    return obj.data.shape_keys.key_blocks["mouthSmileLeft"].value


def set_smiles(*objects: bpy.types.Object) -> None:
    for obj in objects:
        obj.data.shape_keys.key_blocks["mouthSmileLeft"].value = 0.5


def drawn() -> list[str]:
    layout = MagicMock()
    for panel in (MainPanel, *HEAD_PANELS):
        panel.draw(MagicMock(layout=layout), bpy.context)
    return [call.kwargs["text"] for call in layout.mock_calls if "text" in call.kwargs]


@pytest.mark.parametrize("copied", [copy_of_the_mesh, copy_of_all])
def test_neutral_resets_the_copy_that_is_selected(collection: bpy.types.Collection, copied: Callable) -> None:
    own, copy = copied(collection)
    set_smiles(own, copy)
    assert bpy.ops.likeness.reset_selected() == {"FINISHED"}
    assert (smile(own), smile(copy)) == (0.5, 0.0)
    select(bpy, own)
    bpy.ops.likeness.reset_selected()
    assert smile(own) == 0.0


def test_neutral_resets_a_character_with_the_52_keys_and_not_the_head(collection: bpy.types.Collection) -> None:
    own = tags.part_object(collection, "head")
    character = rig(bpy, "character", list(own.data.shape_keys.key_blocks.keys())[1:])
    set_smiles(own, character)
    select(bpy, character)
    bpy.ops.likeness.reset_selected()
    assert (smile(own), smile(character)) == (0.5, 0.0)


def test_a_photo_is_looked_through_at_the_copy_with_its_own_cameras(
    collection: bpy.types.Collection, result: HeadResult
) -> None:
    own, copy = copy_of_all(collection)
    assert len(tags.camera_objects(collection)) == 2 * len(result.photos)
    names = [photo.name for photo in result.photos]
    for mesh, other in ((copy, own), (own, copy)):
        select(bpy, mesh)
        assert [text for text in drawn() if text in names] == sorted(names, key=names.index)
        assert bpy.ops.likeness.look_through(photo="square.jpg") == {"FINISHED"}
        assert bpy.context.scene.camera.parent == mesh
        assert smile(mesh) > 0 and smile(other) == 0
        select(bpy, other)
        assert bpy.ops.likeness.leave_photo() == {"FINISHED"} and smile(mesh) == 0


@pytest.mark.parametrize("copied", [copy_of_the_mesh, copy_of_all])
def test_solving_again_changes_the_head_that_the_copy_was_made_of_and_says_so(
    backend: Backend,
    collection: bpy.types.Collection,
    result: HeadResult,
    copied: Callable,
    capfd: pytest.CaptureFixture,
) -> None:
    """One keeps the shape so far by Shift+D, which selects the copy, and goes on with more photos."""
    own, copy = copied(collection)
    own.name, copy.name = "Anna", "Anna before"
    before, cameras = coordinates(own.data.vertices), [c for c in copy.children if c.type == "CAMERA"]
    smaller = tuple(replace(part, vertices=part.vertices * 1.1) for part in result.parts)
    backend.result = replace(result, parts=smaller, photos=result.photos[1:])
    words = "Anna before is a copy and keeps its shape: solving again changes Anna."
    assert words in " ".join(drawn())
    assert bpy.ops.likeness.solve_again() == {"FINISHED"}
    assert words in capfd.readouterr().out
    larger = 1.1 * before + 0.1 * origin_of(own.data)
    np.testing.assert_allclose(coordinates(own.data.vertices), larger, atol=1e-6)
    np.testing.assert_array_equal(coordinates(copy.data.vertices), before)
    assert [
        camera for camera in copy.children if camera.type == "CAMERA"
    ] == cameras  # one of a photo not used now, too
    select(bpy, own)
    assert "is a copy" not in " ".join(drawn()) and "portrait.jpg" not in drawn()


def test_solving_again_leaves_the_copy_its_cameras(backend: Backend, collection: bpy.types.Collection) -> None:
    """Also where the head's own camera of that photo was deleted."""
    own, copy = copy_of_all(collection)
    bpy.data.objects.remove(tags.cameras_by_photo(collection, own)["square.jpg"])
    cameras = tags.cameras_by_photo(collection, copy)
    assert bpy.ops.likeness.solve_again() == {"FINISHED"}
    assert {camera.parent for camera in cameras.values()} == {copy}
    assert tags.cameras_by_photo(collection, own)["square.jpg"].parent == own


def test_expressions_go_onto_the_head_whose_part_is_selected(collection: bpy.types.Collection) -> None:
    own, copy = copy_of_all(collection)
    source = rig(bpy, "source", ["mouthSmileLeft"])
    source.data.shape_keys.key_blocks["mouthSmileLeft"].value = 0.25
    bpy.context.scene.likeness_transfer.source = source
    select(bpy, part_of(copy, "teeth_lower"))
    assert bpy.ops.likeness.transfer_to_selected() == {"FINISHED"}
    assert (smile(own), smile(copy)) == (0.0, 0.25)
    bpy.context.scene.likeness_transfer.source = None
    target = rig(bpy, "target", ["mouthSmileLeft"])
    select(bpy, part_of(copy, "eye_left"), target)
    assert bpy.ops.likeness.transfer_to_selected() == {"FINISHED"}  # out of the copy that the eye is a part of
    assert smile(target) == 0.25
    select(bpy, part_of(copy, "eye_left"))
    assert bpy.ops.likeness.reset_selected() == {"FINISHED"} and smile(copy) == 0.0


@pytest.fixture(scope="module")
def files() -> list[PhotoFile]:
    return [PhotoFile(name, None, data) for name, data in load_or_make().photos.items()]


@pytest.fixture
def looking(backend: Backend, result: HeadResult, files: list[PhotoFile]) -> bpy.types.Collection:
    """A head through one of whose photos one looks; a backend that finds another expression on that."""
    collection = import_head(result, bpy.context, files)
    bpy.ops.likeness.look_through(photo=PHOTO)
    photos = [replace(p, expression={**p.expression, "jawOpen": 0.75}) for p in result.photos]
    backend.result = replace(result, photos=tuple(photos))
    return collection


def jaw(collection: bpy.types.Collection) -> float:
    return tags.part_object(collection, "head").data.shape_keys.key_blocks["jawOpen"].value


def test_the_head_in_the_photo_wears_what_is_solved_again(looking: bpy.types.Collection) -> None:
    assert jaw(looking) == pytest.approx(0.1)
    bpy.ops.likeness.solve_again()
    assert jaw(looking) == 0.75


def test_an_expression_of_the_artists_own_stays(looking: bpy.types.Collection) -> None:
    tags.part_object(looking, "head").data.shape_keys.key_blocks["jawOpen"].value = 0.25
    bpy.ops.likeness.solve_again()
    assert jaw(looking) == 0.25


def test_a_head_that_nobody_compares_stays_neutral(looking: bpy.types.Collection) -> None:
    bpy.ops.likeness.leave_photo()
    bpy.ops.likeness.solve_again()
    assert jaw(looking) == 0.0


def test_how_a_photo_lies_over_the_head_stays(looking: bpy.types.Collection) -> None:
    camera = tags.cameras_by_photo(looking)[PHOTO]
    (background,) = camera.data.background_images
    assert (background.display_depth, background.alpha) == ("BACK", 1.0)
    background.display_depth, background.alpha = "FRONT", 0.25
    bpy.ops.likeness.solve_again()
    (background,) = camera.data.background_images
    assert (background.display_depth, background.alpha) == ("FRONT", 0.25)


def test_a_photo_whose_camera_is_gone_is_left_with_a_neutral_face(
    backend: Backend, looking: bpy.types.Collection, result: HeadResult
) -> None:
    """Solved again without that photo, or deleted."""
    backend.result = replace(result, photos=result.photos[:3])
    bpy.ops.likeness.solve_again()
    assert bpy.context.scene.camera is None and jaw(looking) > 0
    bpy.ops.likeness.leave_photo()
    assert jaw(looking) == 0.0 and bpy.context.scene.render.resolution_x == 1920
    tags.part_object(looking, "head").data.shape_keys.key_blocks["jawOpen"].value = 0.25
    bpy.ops.likeness.leave_photo()  # of none
    assert jaw(looking) == 0.25


def test_a_camera_that_is_chosen_meanwhile_stays(looking: bpy.types.Collection) -> None:
    own = bpy.data.objects.new("own", bpy.data.cameras.new("own"))
    bpy.context.scene.collection.objects.link(own)
    bpy.context.scene.camera = own
    bpy.ops.likeness.leave_photo()
    assert jaw(looking) == 0.0
    assert bpy.context.scene.camera == own and bpy.context.scene.render.resolution_x == 1920
