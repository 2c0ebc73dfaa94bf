"""What an artist has sculpted, locked or moved stays when the head is solved again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scene_helpers import coordinates, counts, import_head, local

from blender_addon.objects import meshes, tags
from blender_addon.objects.meshes import to_blender
from blender_addon.protocol.result import HeadResult
from blender_addon.scene import expressions as locks
from blender_addon.scene.expressions import expression_unchanged, set_expression

SMILE = "mouthSmileLeft"


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
    import_head(result, bpy.context, (), collection[tags.HEAD_ID])


def test_a_sculpted_chin_is_on_the_new_head_and_in_all_keys(bpy, collection, head, result: HeadResult) -> None:
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


def test_a_head_that_nobody_touched_is_replaced(bpy, collection, head, result: HeadResult) -> None:
    again(bpy, collection, larger(result))
    np.testing.assert_allclose(coordinates(head.data.vertices), local(larger(result).head, head), atol=1e-6)
    assert meshes.sculpted(head.data) is None


def test_removing_the_sculpt_gives_what_the_photos_gave(bpy, head, result: HeadResult) -> None:
    sculpt(head, range(50), (0.003, 0.0, 0.0))
    meshes.remove_sculpt(head.data)
    assert meshes.sculpted(head.data) is None
    np.testing.assert_allclose(coordinates(head.data.vertices), local(result.head, head), atol=1e-6)
    smile = coordinates(head.data.shape_keys.key_blocks["mouthSmileLeft"].points)
    wanted = local(result.head, head) + to_blender(result.head.keys[result.head.key_names.index("mouthSmileLeft")])
    np.testing.assert_allclose(smile, wanted, atol=1e-6)


def test_edit_mode_counts_as_sculpting(bpy, collection, head, result: HeadResult) -> None:
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


def test_files_from_before_have_no_memory_and_no_error(bpy, collection, head, result: HeadResult) -> None:
    head.data.attributes.remove(head.data.attributes[meshes.ORIGINAL_BASIS])
    sculpt(head, range(10), (0.003, 0.0, 0.0))
    assert meshes.sculpted(head.data) is None
    again(bpy, collection, result)
    np.testing.assert_allclose(coordinates(head.data.vertices), local(result.head, head), atol=1e-6)


def grown(result: HeadResult) -> HeadResult:
    """Every part 2 % larger, with half the keys."""
    parts = [replace(p, vertices=(p.vertices * 1.02).astype(np.float32), keys=p.keys * 0.5) for p in result.parts]
    return replace(result, parts=tuple(parts))


def all_points(head) -> dict[str, np.ndarray]:
    return {block.name: coordinates(block.points) for block in head.data.shape_keys.key_blocks}


def test_locked_skin_stays_in_all_keys_and_the_rest_is_new(bpy, collection, head, result: HeadResult) -> None:
    sculpt(head, range(100, 120), (0.0, -0.004, 0.002))
    before = all_points(head)
    weights = np.zeros(len(head.data.vertices), np.float32)
    weights[100:120], weights[200] = 1.0, 0.5
    locks.lock(head, weights)
    again(bpy, collection, grown(result))
    after = all_points(head)
    new = local(grown(result).head, head)
    assert np.abs(new[100:120] - before["Basis"][100:120]).max() > 1e-3
    for name in before:
        np.testing.assert_allclose(after[name][100:120], before[name][100:120], atol=1e-6)
    np.testing.assert_allclose(after["Basis"][:100], new[:100], atol=1e-6)
    np.testing.assert_allclose(after["Basis"][200], 0.5 * (new[200] + before["Basis"][200]), atol=1e-6)
    np.testing.assert_allclose(coordinates(head.data.vertices), after["Basis"], atol=1e-6)
    again(bpy, collection, result)  # and once more
    np.testing.assert_allclose(all_points(head)["Basis"][100:120], before["Basis"][100:120], atol=1e-6)


def test_unlocked_skin_is_solved_again_with_what_was_sculpted(bpy, collection, head, result: HeadResult) -> None:
    sculpt(head, range(100, 120), (0.0, -0.004, 0.002))
    locks.lock(head, np.ones(len(head.data.vertices), np.float32))
    again(bpy, collection, grown(result))
    np.testing.assert_allclose(meshes.sculpted(head.data)[100:120], [[0.0, -0.004, 0.002]] * 20, atol=1e-6)
    assert not meshes.sculpted(head.data)[:100].any()  # what was held is no sculpt
    locks.unlock(head)
    again(bpy, collection, grown(result))
    wanted = local(grown(result).head, head)
    wanted[100:120] += (0.0, -0.004, 0.002)
    np.testing.assert_allclose(all_points(head)["Basis"], wanted, atol=1e-6)


def test_eyes_teeth_and_lashes_stay_with_the_skin_around_them(bpy, collection, head, result: HeadResult) -> None:

    def places() -> dict[str, np.ndarray]:
        bpy.context.view_layer.update()
        parts = {part.name: tags.part_object(collection, part.name) for part in result.parts}
        return {
            name: coordinates(obj.data.vertices) @ np.array(obj.matrix_world)[:3, :3].T + obj.matrix_world.translation
            for name, obj in parts.items()
        }

    before = places()
    left = np.array([v.co.x > 0.0 for v in head.data.vertices], np.float32)
    locks.lock(head, left)
    again(bpy, collection, grown(result))
    after = places()
    moved = {name: np.abs(after[name] - before[name]).max() for name in before}
    assert moved["eye_left"] < 0.1 * moved["eye_right"] and moved["eye_right"] > 1e-3
    if "cornea_left" in moved:
        shift = (after["cornea_left"] - before["cornea_left"]).mean(0) - (after["eye_left"] - before["eye_left"]).mean(
            0
        )
        assert np.abs(shift).max() < 1e-4  # a cornea stays on its eye
    lashes = np.abs(after["lashes"] - before["lashes"]).max(1)
    assert lashes[before["lashes"][:, 0] > 0.01].max() < 1e-6 < 1e-3 < lashes[before["lashes"][:, 0] < -0.01].max()
    half = np.linalg.norm(after["teeth_upper"] - before["teeth_upper"], axis=1)
    assert half.max() > 1e-4
    locks.lock(head, np.ones_like(left))
    standing = places()
    again(bpy, collection, result)
    now = places()
    assert all(np.abs(now[name] - standing[name]).max() < 1e-6 for name in now)


def test_the_lock_of_a_sculpt_fades_out_around_it(bpy, head) -> None:
    assert locks.sculpted_weights(head.data) is None and locks.lock_weights(head) is None
    sculpt(head, range(1000, 1010), (0.0, -0.004, 0.0))
    weights = locks.sculpted_weights(head.data)
    assert (weights[1000:1010] == 1).all() and set(np.unique(weights)) == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert 20 < (weights > 0).sum() < 600
    locks.lock(head, weights)
    np.testing.assert_allclose(locks.lock_weights(head), weights, atol=1e-6)
    locks.lock(head, np.full(len(weights), 0.5, np.float32))
    np.testing.assert_allclose(locks.lock_weights(head), np.maximum(weights, 0.5), atol=1e-6)


def test_a_locked_key_keeps_shape_and_value(bpy, collection, head, result: HeadResult) -> None:
    blocks = head.data.shape_keys.key_blocks
    for number in range(50):
        blocks[SMILE].points[number].co.z += 0.005
    offsets = coordinates(blocks[SMILE].points) - coordinates(blocks["Basis"].points)
    blocks[SMILE].value, blocks["jawOpen"].value, blocks[SMILE].lock_shape = 0.7, 0.4, True
    set_expression(head, {"jawOpen": 0.2, SMILE: 0.1})
    assert blocks[SMILE].value == pytest.approx(0.7) and blocks["jawOpen"].value == pytest.approx(0.2)
    assert expression_unchanged(head, {"jawOpen": 0.2, SMILE: 0.1})
    again(bpy, collection, larger(grown(result)))
    after = coordinates(blocks[SMILE].points) - coordinates(blocks["Basis"].points)
    np.testing.assert_allclose(after, offsets, atol=1e-6)
    assert blocks[SMILE].value == pytest.approx(0.7) and blocks[SMILE].lock_shape


def test_hair_stands_on_skin_that_is_locked(bpy, collection, result: HeadResult) -> None:
    from blender_addon.scene.hair import SURFACE_UV, is_groomed, meshes, places

    head, hair = tags.part_object(collection, "head"), tags.hair_object(collection)
    locks.lock(head, np.ones(len(head.data.vertices), np.float32))
    moved = grown(result)
    again(bpy, collection, replace(moved, hair=replace(result.hair, points=result.hair.points * np.float32(1.02))))
    curves = hair.data
    starts = np.empty(len(curves.curves) + 1, np.int32)
    curves.curve_offset_data.foreach_get("value", starts)
    roots = np.array([p.vector for p in curves.position_data])[starts[:-1]]
    uv = np.array([item.vector for item in curves.attributes[SURFACE_UV].data], np.float32)
    skin = meshes.neutral_coordinates(head.data)
    assert np.abs(roots - places(head.data, uv, skin)).max() < 1e-5 and not is_groomed(hair)


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
def tenth_larger(result: HeadResult) -> HeadResult:
    return replace(result, parts=tuple(replace(part, vertices=part.vertices * 1.1) for part in result.parts))


def test_solving_again_finds_what_was_moved_into_another_collection(
    bpy, collection, tenth_larger: HeadResult, tmp_path: Path
) -> None:
    characters = move_out(bpy, collection, bpy.context.scene)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "moved.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "moved.blend"))
    (collection,), characters = tags.head_collections(), bpy.data.collections["Characters"]
    bpy.context.view_layer.objects.active = bpy.data.objects["tongue"]
    assert tags.active_head(bpy.context) == collection
    head, before = tags.part_object(collection, "head"), counts(bpy)
    assert head.users_collection == (characters,) and len(tags.camera_objects(collection)) == 4
    import_head(tenth_larger, bpy.context, into=collection[tags.HEAD_ID])
    assert counts(bpy) == before
    np.testing.assert_allclose(coordinates(head.data.vertices), local(tenth_larger.head, head), atol=1e-6)


def test_a_part_that_was_deleted_of_a_moved_head_hangs_on_it_again(bpy, collection, tenth_larger: HeadResult) -> None:
    move_out(bpy, collection, bpy.context.scene)
    bpy.data.objects.remove(tags.part_object(collection, "head"))
    import_head(tenth_larger, bpy.context, into=collection[tags.HEAD_ID])
    assert tags.part_object(collection, "tongue").parent == tags.part_object(collection, "head")
