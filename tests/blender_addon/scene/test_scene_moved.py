"""A head whose objects the artist has moved into other collections is still one head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scene_helpers import coordinates, counts, local

from blender_addon.protocol.result import HeadResult

pytest.importorskip("bpy")
pytestmark = pytest.mark.blender

from blender_addon.objects import tags  # noqa: E402
from blender_addon.scene import importing  # noqa: E402


def move_out(bpy, collection, scene):
    """All objects into a collection of the artist's own; where they are now."""
    characters = bpy.data.collections.new("Characters")
    scene.collection.children.link(characters)
    for obj in collection.all_objects[:]:
        for before in obj.users_collection:
            before.objects.unlink(obj)
        characters.objects.link(obj)
    return characters


@pytest.fixture
def larger(result: HeadResult) -> HeadResult:
    return replace(result, parts=tuple(replace(part, vertices=part.vertices * 1.1) for part in result.parts))


def test_solving_again_finds_what_was_moved_into_another_collection(
    bpy, collection, larger: HeadResult, tmp_path: Path
) -> None:
    characters = move_out(bpy, collection, bpy.context.scene)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "moved.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "moved.blend"))
    (collection,), characters = tags.head_collections(), bpy.data.collections["Characters"]
    bpy.context.view_layer.objects.active = bpy.data.objects["tongue"]
    assert tags.active_head(bpy.context) == collection
    head, before = tags.part_object(collection, "head"), counts(bpy)
    assert head.users_collection == (characters,) and len(tags.camera_objects(collection)) == 4
    importing.import_head(larger, bpy.context, into=collection[tags.HEAD_ID])
    assert counts(bpy) == before
    np.testing.assert_allclose(coordinates(head.data.vertices), local(larger.head, head), atol=1e-6)


def test_a_part_that_was_deleted_of_a_moved_head_hangs_on_it_again(bpy, collection, larger: HeadResult) -> None:
    move_out(bpy, collection, bpy.context.scene)
    bpy.data.objects.remove(tags.part_object(collection, "head"))
    importing.import_head(larger, bpy.context, into=collection[tags.HEAD_ID])
    assert tags.part_object(collection, "tongue").parent == tags.part_object(collection, "head")
