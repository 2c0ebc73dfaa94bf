"""What an artist has locked stays when the head is solved again: skin by a vertex group, keys by their lock."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scene_helpers import coordinates, local
from test_scene_sculpt import again, larger, sculpt

from blender_addon.protocol.result import HeadResult

pytest.importorskip("bpy")
pytestmark = pytest.mark.blender

from blender_addon.objects import meshes, tags  # noqa: E402
from blender_addon.scene import expressions as locks  # noqa: E402
from blender_addon.scene.expressions import expression_unchanged, set_expression  # noqa: E402

SMILE = "mouthSmileLeft"


def grown(result: HeadResult) -> HeadResult:
    """Every part 2 % larger, with half the keys."""
    parts = [replace(p, vertices=(p.vertices * 1.02).astype(np.float32), keys=p.keys * 0.5) for p in result.parts]
    return replace(result, parts=tuple(parts))


def all_points(head) -> dict[str, np.ndarray]:
    return {block.name: coordinates(block.points) for block in head.data.shape_keys.key_blocks}


def test_locked_skin_stays_in_all_keys_and_the_rest_is_new(bpy, collection, result: HeadResult) -> None:
    head = tags.part_object(collection, "head")
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


def test_unlocked_skin_is_solved_again_with_what_was_sculpted(bpy, collection, result: HeadResult) -> None:
    head = tags.part_object(collection, "head")
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


def test_eyes_teeth_and_lashes_stay_with_the_skin_around_them(bpy, collection, result: HeadResult) -> None:
    head = tags.part_object(collection, "head")

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


def test_the_lock_of_a_sculpt_fades_out_around_it(bpy, collection) -> None:
    head = tags.part_object(collection, "head")
    assert locks.sculpted_weights(head.data) is None and locks.lock_weights(head) is None
    sculpt(head, range(1000, 1010), (0.0, -0.004, 0.0))
    weights = locks.sculpted_weights(head.data)
    assert (weights[1000:1010] == 1).all() and set(np.unique(weights)) == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert 20 < (weights > 0).sum() < 600
    locks.lock(head, weights)
    np.testing.assert_allclose(locks.lock_weights(head), weights, atol=1e-6)
    locks.lock(head, np.full(len(weights), 0.5, np.float32))
    np.testing.assert_allclose(locks.lock_weights(head), np.maximum(weights, 0.5), atol=1e-6)


def test_a_locked_key_keeps_shape_and_value(bpy, collection, result: HeadResult) -> None:
    head = tags.part_object(collection, "head")
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
    from blender_addon.scene.hair import SURFACE_UV, is_groomed, places

    head, hair = tags.part_object(collection, "head"), tags.hair_object(collection, "CURVES")
    locks.lock(head, np.ones(len(head.data.vertices), np.float32))
    moved = grown(result)
    again(bpy, collection, replace(moved, hair=replace(result.hair, points=result.hair.points * np.float32(1.02))))
    curves = hair.data
    starts = np.empty(len(curves.curves) + 1, np.int32)
    curves.curve_offset_data.foreach_get("value", starts)
    roots = np.array([p.vector for p in curves.position_data])[starts[:-1]]
    uv = np.array([item.vector for item in curves.attributes[SURFACE_UV].data], np.float32)
    assert np.abs(roots - places(head.data, uv)).max() < 1e-5 and not is_groomed(hair)
