"""Copies of a head, as Blender makes them: they have the original's id until one of them is solved again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blender_addon.shared.names import PART_NAMES
from head_message import HeadMessage
from scene_helpers import coordinates, counts, import_head

from blender_addon.errors import AddonError
from blender_addon.objects import tags
from blender_addon.objects.meshes import origin_of, to_blender
from blender_addon.protocol.result import HeadResult
from blender_addon.scene import importing
from blender_addon.scene.hair import SCALP_TAG
from blender_addon.scene.materials import relief_nodes, skin_material
from blender_addon.scene.own_head import own_id, stored_photos


@pytest.fixture
def larger(result: HeadResult, message: HeadMessage) -> HeadResult:
    """The head a tenth larger, with another albedo."""
    parts = tuple(replace(part, vertices=part.vertices * 1.1) for part in result.parts)
    return replace(result, parts=parts, albedo_png=next(iter(message.photos.values())))


def full_copy(bpy, folder: Path) -> None:
    bpy.ops.scene.new(type="FULL_COPY")


def appended(bpy, folder: Path) -> None:
    """The file's own head a second time, into the same scene."""
    path = str(folder / "head.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
    with bpy.data.libraries.load(path) as (source, target):
        target.collections = [name for name in source.collections if name == "Likeness"]
    bpy.context.scene.collection.children.link(target.collections[0])


def copy_of(bpy, original, copied: Callable, folder: Path):
    """The copy's collection, with the copied head as the active object."""
    copied(bpy, folder)
    (copy,) = (c for c in tags.head_collections() if c != original)
    bpy.context.view_layer.objects.active = tags.part_object(copy, "head")
    return copy


def rest(collection) -> np.ndarray:
    """(V, 3) the head's vertices in the head frame, whatever its origin."""
    mesh = tags.part_object(collection, "head").data
    return coordinates(mesh.vertices) + origin_of(mesh)


@pytest.mark.parametrize("copied", [full_copy, appended])
def test_solving_a_copy_again_leaves_the_original(
    bpy, collection, result: HeadResult, larger: HeadResult, message: HeadMessage, copied: Callable, tmp_path: Path
) -> None:
    copy = copy_of(bpy, collection, copied, tmp_path)
    assert copy[tags.HEAD_ID] == collection[tags.HEAD_ID]
    assert tags.active_head(bpy.context) == copy
    head_id, parted = own_id(copy)
    assert parted and copy[tags.HEAD_ID] == head_id != collection[tags.HEAD_ID]
    before = counts(bpy)
    skin = coordinates(tags.hair_object(collection)[SCALP_TAG].data.vertices)
    import_head(larger, bpy.context, into=head_id)
    assert counts(bpy) == {**before, **{kind: before[kind] + 1 for kind in ("objects", "meshes")}}, "its own scalp"
    np.testing.assert_array_equal(coordinates(tags.hair_object(collection)[SCALP_TAG].data.vertices), skin)
    np.testing.assert_allclose(rest(copy), to_blender(larger.head.vertices), atol=1e-6)
    np.testing.assert_allclose(rest(collection), to_blender(result.head.vertices), atol=1e-6)
    assert collection[tags.EYES] != copy[tags.EYES] and collection[tags.LASHES] != copy[tags.LASHES]
    for head, expected in ((collection, result), (copy, larger)):
        albedo = head[tags.ALBEDO]
        assert bytes(albedo.packed_file.data) == expected.albedo_png
        for obj in [obj for obj in head.objects if tags.PART in obj]:
            shown = {node.image for node in obj.data.materials[0].node_tree.nodes if node.type == "TEX_IMAGE"}
            own = {"eye_left": tags.EYES, "eye_right": tags.EYES, "lashes": tags.LASHES}
            picture, of_albedo = head[own.get(obj[tags.PART], tags.ALBEDO)], obj[tags.PART] in PART_NAMES
            own_shown = {one for one in shown if tags.RELIEF not in one and "typical" not in one.name}
            assert own_shown == ({picture} if of_albedo else set())
        assert {photo.label: photo.data for photo in stored_photos(head)} == message.photos
    reliefs = [
        {node.image for node in relief_nodes(skin_material(tags.part_object(head, "head")))}
        for head in (collection, copy)
    ]
    assert len(reliefs[0]) == len(reliefs[1]) == 4 and not reliefs[0] & reliefs[1]
    for head in (collection, copy):
        assert all(len(camera.data.background_images) == 1 for camera in tags.camera_objects(head))
        assert {obj[tags.HEAD_ID] for obj in head.all_objects} == {head[tags.HEAD_ID]}
        assert [child[tags.CAMERAS] for child in head.children] == [head[tags.HEAD_ID]]


def test_of_two_copies_in_a_scene_the_one_that_holds_the_active_object_counts(bpy, collection, tmp_path: Path) -> None:
    copy = copy_of(bpy, collection, appended, tmp_path)
    for head in (copy, collection):
        bpy.context.view_layer.objects.active = tags.part_object(head, "tongue")
        assert tags.active_head(bpy.context) == head
    bpy.ops.object.select_all(action="DESELECT")
    bpy.context.view_layer.objects.active = None
    assert tags.active_head(bpy.context) is None  # it could be either


def test_a_copy_that_is_made_while_a_head_is_solved_stays_as_it_is(
    bpy, collection, result: HeadResult, larger: HeadResult, tmp_path: Path
) -> None:
    collection.name = "Zoe"  # the copy comes before it in the file
    place = tags.Place.shown(bpy.context)
    bpy.ops.scene.new(type="FULL_COPY")
    (copy,) = (c for c in tags.head_collections() if c != collection)
    copy.name = "Adam"
    for _ in importing.import_steps(larger, place, into=collection[tags.HEAD_ID]):
        pass
    np.testing.assert_allclose(rest(collection), to_blender(larger.head.vertices), atol=1e-6)
    np.testing.assert_allclose(rest(copy), to_blender(result.head.vertices), atol=1e-6)


def test_a_linked_copy_is_refused_before_the_job(bpy, collection, tmp_path: Path) -> None:
    path = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
    with bpy.data.libraries.load(path, link=True) as (source, target):
        target.collections = [name for name in source.collections if name == "Likeness"]
    (linked,) = (c for c in tags.head_collections() if c.library is not None)
    with pytest.raises(AddonError, match="linked"):
        own_id(linked)
    assert own_id(collection)[1]  # the one of this file is not mixed up with it
