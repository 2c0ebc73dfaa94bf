"""Copies of a head inside its own collection (Shift+D): what the operators of the sidebar do while one is selected."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
sys.path[:0] = [str(Path(__file__).parent / "scene"), str(Path(__file__).parent)]
from instant_backend import Backend  # noqa: E402
from scene_helpers import coordinates  # noqa: E402
from transfer_rigs import rig, select  # noqa: E402

from blender_addon.objects import tags  # noqa: E402
from blender_addon.objects.meshes import origin_of  # noqa: E402
from blender_addon.objects.tags import cameras_by_photo  # noqa: E402
from blender_addon.protocol.result import HeadResult  # noqa: E402
from blender_addon.scene.importing import import_head  # noqa: E402
from blender_addon.ui.panel import HEAD_PANELS, MainPanel  # noqa: E402

pytestmark = pytest.mark.blender


@pytest.fixture
def collection(backend: Backend, result: HeadResult) -> bpy.types.Collection:
    return import_head(result, bpy.context)


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
    assert bpy.ops.likeness.reset_expression() == {"FINISHED"}
    assert (smile(own), smile(copy)) == (0.5, 0.0)
    select(bpy, own)
    bpy.ops.likeness.reset_expression()
    assert smile(own) == 0.0


def test_neutral_resets_a_character_with_the_52_keys_and_not_the_head(collection: bpy.types.Collection) -> None:
    own = tags.part_object(collection, "head")
    character = rig(bpy, "character", list(own.data.shape_keys.key_blocks.keys())[1:])
    stranger = rig(bpy, "stranger", ["mouthSmileLeft"])
    set_smiles(own, character, stranger)
    select(bpy, character)
    bpy.ops.likeness.reset_expression()
    assert (smile(own), smile(character)) == (0.5, 0.0)
    select(bpy, stranger)  # which has no such keys: the scene's only head is meant
    bpy.ops.likeness.reset_expression()
    assert (smile(own), smile(stranger)) == (0.0, 0.5)


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
    bpy.data.objects.remove(cameras_by_photo(collection, own)["square.jpg"])
    cameras = cameras_by_photo(collection, copy)
    assert bpy.ops.likeness.solve_again() == {"FINISHED"}
    assert {camera.parent for camera in cameras.values()} == {copy}
    assert cameras_by_photo(collection, own)["square.jpg"].parent == own


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
