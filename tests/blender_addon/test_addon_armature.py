"""The buttons of the armature: added, led, reset and removed from the panel; greyed with a reason."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock

import bpy
import pytest
from instant_backend import Backend
from scene_helpers import import_head
from transfer_rigs import rig, select, values_at

from blender_addon.objects import tags
from blender_addon.protocol.result import HeadResult
from blender_addon.ui.keys_panel import ArmaturePanel


def drawn() -> list[str]:
    """Operators of the panel from top to bottom."""
    layout = MagicMock()
    layout.row.return_value = layout
    ArmaturePanel.draw(MagicMock(layout=layout), bpy.context)
    return [call.args[0] for call in layout.operator.mock_calls if call.args]


def test_from_the_panel_bones_come_lead_and_go(backend: Backend, result: HeadResult) -> None:
    assert not ArmaturePanel.poll(bpy.context)
    with pytest.raises(RuntimeError, match="Select a head"):
        bpy.ops.likeness.add_armature()
    collection = import_head(result, bpy.context, armature=False)
    assert ArmaturePanel.poll(bpy.context) and drawn() == ["likeness.add_armature"]
    with pytest.raises(RuntimeError, match="has no armature"):
        bpy.ops.likeness.reset_pose()
    assert bpy.ops.likeness.add_armature() == {"FINISHED"}
    rig, head = tags.active_rig(bpy.context), tags.part_object(collection, "head")
    assert rig is not None
    with pytest.raises(RuntimeError, match="has its armature"):
        bpy.ops.likeness.add_armature()
    assert drawn() == ["likeness.set_lead"] * 4 + ["likeness.reset_pose", "likeness.remove_armature"]
    bpy.ops.likeness.set_lead(what="JAW", by_bones=True)
    jaw = rig.pose.bones["jaw"]
    jaw.rotation_euler.x = 0.5 * jaw.constraints["As Far as the Keys (Turn)"].max_x or -0.1
    bpy.context.view_layer.update()
    assert head.data.shape_keys.key_blocks["jawOpen"].value > 0.2
    bpy.ops.likeness.reset_pose()
    bpy.context.view_layer.update()
    assert head.data.shape_keys.key_blocks["jawOpen"].value < 0.02
    assert bpy.ops.likeness.remove_armature() == {"FINISHED"}
    assert tags.active_rig(bpy.context) is None


def test_heads_come_with_bones_where_that_is_wanted(backend: Backend, result: HeadResult) -> None:
    collection = import_head(result, bpy.context, armature=True)
    assert tags.rig_object(collection) is not None
    assert tags.rig_object(import_head(result, bpy.context, armature=False)) is None


def test_bones_that_lead_give_a_take_and_take_one(backend: Backend, result: HeadResult, tmp_path: Path) -> None:
    collection = import_head(result, bpy.context, armature=True)
    head, other = tags.part_object(collection, "head"), rig(bpy, "other", ["jawOpen", "cheekPuff"])
    select(bpy, head)
    bpy.ops.likeness.set_lead(what="JAW", by_bones=True)
    rows = "".join(f"10:00:00:{i:02}.000,61,{i / 30:.3f},0.5\n" for i in range(30))
    (tmp_path / "take.csv").write_text("Timecode,BlendShapeCount,JawOpen,CheekPuff\n" + rows)
    bpy.context.scene.render.fps = 30
    bpy.ops.likeness.load_expression_file(filepath=str(tmp_path / "take.csv"))
    wanted = [i / 30 for i in range(30)]
    assert values_at(bpy, head, "jawOpen", range(1, 31)) == pytest.approx(wanted, abs=0.02)
    settings = bpy.context.scene.likeness_transfer
    settings.source = head
    select(bpy, other)
    bpy.ops.likeness.transfer_to_selected()
    assert values_at(bpy, other, "jawOpen", range(1, 31)) == pytest.approx(wanted, abs=0.02)
    assert values_at(bpy, other, "cheekPuff", [9]) == pytest.approx([0.5])
