"""What an artist has sculpted stays when the head is solved again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scene_helpers import coordinates, local

from blender_addon.protocol.result import HeadResult

pytest.importorskip("bpy")
pytestmark = pytest.mark.blender

from blender_addon.objects import meshes, tags  # noqa: E402
from blender_addon.objects.meshes import to_blender  # noqa: E402
from blender_addon.scene import importing  # noqa: E402


def larger(result: HeadResult) -> HeadResult:
    head = replace(result.head, vertices=(result.head.vertices * 1.02).astype(np.float32))
    return replace(result, parts=(head, *result.parts[1:]))


def sculpt(head, vertices: range, offset: tuple[float, float, float]) -> None:
    """As Blender's sculpting and editing do with the basis: all keys move along."""
    for block in head.data.shape_keys.key_blocks:
        for number in vertices:
            block.points[number].co = np.array(block.points[number].co) + offset
    for number in vertices:
        head.data.vertices[number].co = np.array(head.data.vertices[number].co) + offset


def again(bpy, collection, result: HeadResult) -> None:
    importing.import_head(result, bpy.context, (), collection[tags.HEAD_ID])


def test_a_sculpted_chin_is_on_the_new_head_and_in_all_keys(bpy, collection, result: HeadResult) -> None:
    head = tags.part_object(collection, "head")
    assert meshes.sculpted(head.data) is None
    sculpt(head, range(100, 120), (0.0, -0.004, 0.002))
    again(bpy, collection, larger(result))
    expected = local(larger(result).head, head).copy()
    expected[100:120] += (0.0, -0.004, 0.002)
    np.testing.assert_allclose(coordinates(head.data.vertices), expected, atol=1e-6)
    blocks = head.data.shape_keys.key_blocks
    offsets = coordinates(blocks["jawOpen"].points) - coordinates(blocks["Basis"].points)
    np.testing.assert_allclose(offsets, to_blender(result.head.keys[result.head.key_names.index("jawOpen")]), atol=1e-6)
    again(bpy, collection, result)  # and once more
    assert np.abs(meshes.sculpted(head.data)[100:120] - (0.0, -0.004, 0.002)).max() < 1e-6
    assert not meshes.sculpted(head.data)[:100].any()


def test_a_head_that_nobody_touched_is_replaced(bpy, collection, result: HeadResult) -> None:
    head = tags.part_object(collection, "head")
    again(bpy, collection, larger(result))
    np.testing.assert_allclose(coordinates(head.data.vertices), local(larger(result).head, head), atol=1e-6)
    assert meshes.sculpted(head.data) is None


def test_removing_the_sculpt_gives_what_the_photos_gave(bpy, collection, result: HeadResult) -> None:
    head = tags.part_object(collection, "head")
    sculpt(head, range(50), (0.003, 0.0, 0.0))
    meshes.remove_sculpt(head.data)
    assert meshes.sculpted(head.data) is None
    np.testing.assert_allclose(coordinates(head.data.vertices), local(result.head, head), atol=1e-6)
    smile = coordinates(head.data.shape_keys.key_blocks["mouthSmileLeft"].points)
    wanted = local(result.head, head) + to_blender(result.head.keys[result.head.key_names.index("mouthSmileLeft")])
    np.testing.assert_allclose(smile, wanted, atol=1e-6)


def test_edit_mode_counts_as_sculpting(bpy, collection, result: HeadResult) -> None:
    head = tags.part_object(collection, "head")
    bpy.context.view_layer.objects.active = head
    head.active_shape_key_index = 0
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.transform.translate(value=(0.0, 0.0, 0.01))
    bpy.ops.object.mode_set(mode="OBJECT")
    moved = meshes.sculpted(head.data)
    assert moved is not None and np.allclose(moved, (0, 0, 0.01), atol=1e-6)
    again(bpy, collection, larger(result))
    expected = local(larger(result).head, head) + np.array([0, 0, 0.01])
    np.testing.assert_allclose(coordinates(head.data.vertices), expected, atol=1e-6)


def test_files_from_before_have_no_memory_and_no_error(bpy, collection, result: HeadResult) -> None:
    head = tags.part_object(collection, "head")
    head.data.attributes.remove(head.data.attributes[meshes.ORIGINAL_BASIS])
    sculpt(head, range(10), (0.003, 0.0, 0.0))
    assert meshes.sculpted(head.data) is None
    again(bpy, collection, result)
    np.testing.assert_allclose(coordinates(head.data.vertices), local(result.head, head), atol=1e-6)
