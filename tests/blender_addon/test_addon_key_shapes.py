"""Shapes of single keys: sculpted in place, mirrored, reset."""

from __future__ import annotations

from unittest.mock import MagicMock

import bpy
import numpy as np
import pytest
from mathutils import Vector

from blender_addon.objects.meshes import neutral_coordinates
from blender_addon.scene.key_shapes import MADE, SCULPTED, offsets
from blender_addon.ui.keys_panel import KeysPanel


def carve(head: bpy.types.Object, key: str, vertex: int, move: tuple[float, ...]) -> None:
    """What a stroke does to a key."""
    head.data.shape_keys.key_blocks[key].points[vertex].co += Vector(move)


def outermost(head: bpy.types.Object, side: int) -> int:
    return int((side * neutral_coordinates(head.data)[:, 0]).argmax())


def test_a_key_is_sculpted_in_place_and_the_rest_stays(head: bpy.types.Object) -> None:
    keys = head.data.shape_keys.key_blocks
    keys["mouthSmileLeft"].value = 0.3
    rest, smile = neutral_coordinates(head.data), offsets(head.data, "mouthSmileLeft")
    bpy.ops.likeness.sculpt_key(key="jawOpen")
    assert head.mode == "SCULPT" and head.active_shape_key.name == "jawOpen" and head.show_only_shape_key
    assert keys["jawOpen"].value == 1.0 and keys["mouthSmileLeft"].value == 0.0 and not keys["jawOpen"].lock_shape
    carve(head, "jawOpen", 7, (0.0, 0.0, 0.002))
    head.active_shape_key_index = 0
    KeysPanel.draw(panel := MagicMock(**{"layout.panel.return_value": (MagicMock(), None)}), bpy.context)
    assert "'Done with jawOpen'" in str(panel.mock_calls)
    bpy.ops.likeness.sculpt_key()
    assert head.mode == "OBJECT" and not head.show_only_shape_key and SCULPTED not in head
    assert keys["jawOpen"].value == 0.0 and keys["mouthSmileLeft"].value == pytest.approx(0.3)
    assert keys["jawOpen"].lock_shape, "solving again keeps it"
    np.testing.assert_array_equal(neutral_coordinates(head.data), rest)
    np.testing.assert_array_equal(offsets(head.data, "mouthSmileLeft"), smile)
    bpy.ops.likeness.sculpt_key(key="jawForward")
    bpy.ops.likeness.sculpt_key()
    assert not keys["jawForward"].lock_shape, "nothing was changed"


def test_a_sculpted_key_is_reset_to_how_it_was_made(head: bpy.types.Object) -> None:
    made = offsets(head.data, "browInnerUp")
    carve(head, "browInnerUp", 100, (0.004, 0.0, 0.002))
    head.active_shape_key_index = head.data.shape_keys.key_blocks.find("browInnerUp")
    bpy.ops.likeness.reset_key()
    np.testing.assert_allclose(offsets(head.data, "browInnerUp"), made, atol=2e-6)
    del head.data[MADE]
    with pytest.raises(RuntimeError, match="Solve the head again"):
        bpy.ops.likeness.reset_key()


def test_a_key_of_one_side_gives_the_other_its_mirror_image(head: bpy.types.Object) -> None:
    left, right = outermost(head, 1), outermost(head, -1)
    carve(head, "cheekPuff", left, (0.003, 0.001, 0.0))
    carve(head, "mouthSmileLeft", left, (0.003, 0.001, 0.0))
    bpy.ops.likeness.mirror_key(key="mouthSmileLeft")
    moved = offsets(head.data, "mouthSmileLeft"), offsets(head.data, "mouthSmileRight")
    np.testing.assert_allclose(moved[1][right], moved[0][left] * [-1, 1, 1], atol=1e-6)
    assert np.linalg.norm(moved[1], axis=1).sum() == pytest.approx(np.linalg.norm(moved[0], axis=1).sum(), rel=1e-3)
    assert head.data.shape_keys.key_blocks["mouthSmileRight"].lock_shape
    before = offsets(head.data, "cheekPuff")
    bpy.ops.likeness.mirror_key(key="cheekPuff")
    puff = offsets(head.data, "cheekPuff")
    np.testing.assert_allclose(puff[left], before[left], atol=1e-6)
    np.testing.assert_allclose(puff[right], before[left] * [-1, 1, 1], atol=1e-6)


def test_a_mesh_with_other_faces_is_not_mirrored(head: bpy.types.Object) -> None:
    head.data.attributes.remove(head.data.attributes["hm08_vertex"])
    with pytest.raises(RuntimeError, match="faces"):
        bpy.ops.likeness.mirror_key(key="jawOpen")
    head.active_shape_key_index = 0
    with pytest.raises(RuntimeError, match="52 keys"):
        bpy.ops.likeness.reset_key()
