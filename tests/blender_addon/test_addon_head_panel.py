"""The panels of a head: its skin's locks, and the 52 keys, which move, are reset, keyframed and locked."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock

import bmesh
import bpy
import pytest
from blender_addon.shared.names import ARKIT_NAMES

from blender_addon.objects.actions import fcurves_of
from blender_addon.text import draw_wrapped
from blender_addon.ui.keys_panel import KeysPanel, key_rows
from blender_addon.ui.panel import HEAD_PANELS, MainPanel, SkinPanel
from blender_addon.ui.transfer_panel import ExpressionPanel


def buttons() -> list[str]:
    """Operators of all panels, from top to bottom."""
    layout = MagicMock()
    for panel in (MainPanel, *HEAD_PANELS, ExpressionPanel):
        if getattr(panel, "poll", lambda context: True)(bpy.context):
            panel.draw(MagicMock(layout=layout), bpy.context)
    return [call.args[0] for call in layout.mock_calls if call[0].endswith("operator")]


def test_neutral_leaves_an_artists_own_key_and_finds_the_only_head(head: bpy.types.Object) -> None:
    head.shape_key_add(name="longer nose").value = 0.5
    keys = head.data.shape_keys.key_blocks
    for chosen in (True, False):
        keys["jawOpen"].value = 0.5
        head.select_set(chosen)
        bpy.context.view_layer.objects.active = head if chosen else None
        assert bpy.ops.likeness.reset_selected() == {"FINISHED"}
        assert keys["jawOpen"].value == 0 and keys["longer nose"].value == 0.5


def test_skin_is_locked_by_a_sculpt_or_a_selection(head: bpy.types.Object) -> None:
    from blender_addon.scene.expressions import lock_weights

    assert "likeness.lock_skin" not in buttons()
    with pytest.raises(RuntimeError, match="This head has not been sculpted"):
        bpy.ops.likeness.lock_skin()
    head.data.shape_keys.reference_key.points[500].co.z += 0.004
    assert "likeness.lock_skin" in buttons()
    bpy.ops.likeness.lock_skin()
    assert lock_weights(head)[500] == 1.0
    bpy.ops.likeness.unlock_skin()
    assert lock_weights(head) is None
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="DESELECT")
    edited = bmesh.from_edit_mesh(head.data)
    edited.verts.ensure_lookup_table()
    edited.verts[7].select_set(True)
    bmesh.update_edit_mesh(head.data)
    assert bpy.ops.likeness.lock_skin() == {"FINISHED"} and head.mode == "EDIT"
    bpy.ops.object.mode_set(mode="OBJECT")
    assert set(lock_weights(head).nonzero()[0]) == {7}


@pytest.mark.parametrize("shading", ["SOLID", "MATERIAL"])
def test_solid_shading_says_that_it_does_not_show_the_skins_sliders(head: bpy.types.Object, shading: str) -> None:
    panel, context = MagicMock(), MagicMock(scene=bpy.context.scene)
    context.space_data.shading.type = shading
    SkinPanel.draw(panel, context)
    assert ("Solid" in str(panel.mock_calls)) == (shading == "SOLID")


def test_a_sentence_has_no_more_lines_than_it_may_and_no_space_before_it() -> None:
    layout = MagicMock()
    draw_wrapped(layout, " No face was found in it; it may be too small, too dark, covered or turned away." * 2, most=2)
    assert [call.kwargs["text"][0].isspace() for call in layout.column.return_value.label.mock_calls] == [False] * 2


def drawn(search: str = "", symmetric: bool = True) -> list[str]:
    """Keys or pairs of the sliders from top to bottom, all groups open."""
    settings = bpy.context.scene.likeness_keys
    settings.search, settings.symmetric = search, symmetric
    layout = MagicMock()
    layout.panel.side_effect = lambda *_, **__: (MagicMock(), layout)
    for inner in ("row", "column", "split"):
        getattr(layout, inner).return_value = layout
    KeysPanel.draw(MagicMock(layout=layout), bpy.context)
    calls = [call for call in layout.mock_calls if call[0].endswith("prop") and call.kwargs.get("slider")]
    return [call.args[0].name if call.args[1] == "value" else call.args[1] for call in calls]


def test_sliders_are_pairs_or_sides_and_are_found_by_name(head: bpy.types.Object) -> None:
    pairs, sides = drawn(), drawn(symmetric=False)
    assert "mouthSmile" in pairs and "mouthSmileLeft" not in pairs
    present = {block.name for block in head.data.shape_keys.key_blocks} & set(ARKIT_NAMES)
    assert set(sides) == present
    assert drawn("smil") == ["mouthSmile"]
    assert drawn("SMILE", symmetric=False) == ["mouthSmileLeft", "mouthSmileRight"]
    assert drawn("no such key") == []


def test_one_slider_moves_both_sides_and_reads_their_mean(head: bpy.types.Object) -> None:
    keys, sliders = head.data.shape_keys.key_blocks, bpy.context.scene.likeness_keys
    sliders.mouthSmile = 0.6
    assert keys["mouthSmileLeft"].value == keys["mouthSmileRight"].value == pytest.approx(0.6)
    keys["mouthSmileLeft"].value = 0.2
    assert sliders.mouthSmile == pytest.approx(0.4)


def test_a_group_is_reset_and_others_stay(head: bpy.types.Object) -> None:
    keys = head.data.shape_keys.key_blocks
    head.shape_key_add(name="longer nose").value = 0.5
    keys["mouthSmileLeft"].value = keys["jawOpen"].value = 0.5
    assert bpy.ops.likeness.reset_keys(group="Mouth") == {"FINISHED"}
    assert keys["mouthSmileLeft"].value == 0 and keys["jawOpen"].value == 0.5
    assert bpy.ops.likeness.reset_keys() == {"FINISHED"}
    assert keys["jawOpen"].value == 0 and keys["longer nose"].value == 0.5
    assert bpy.ops.likeness.reset_keys(group="Ears") == {"CANCELLED"}


def test_keyframes_come_at_the_current_frame_and_play(head: bpy.types.Object) -> None:
    scene, keys = bpy.context.scene, head.data.shape_keys.key_blocks
    present = {block.name for block in keys} & set(ARKIT_NAMES)
    for frame, value in ((1, 0.0), (11, 1.0)):
        scene.frame_set(frame)
        keys["jawOpen"].value = value
        assert bpy.ops.likeness.keyframe_keys() == {"FINISHED"}
    scene.frame_set(6)
    assert 0.3 < keys["jawOpen"].value < 0.7
    assert len(fcurves_of(head.data.shape_keys)) == len(present)


def test_an_expression_is_saved_and_loaded_onto_the_head(head: bpy.types.Object, tmp_path: Path) -> None:
    keys = head.data.shape_keys.key_blocks
    keys["jawOpen"].value, keys["mouthSmileLeft"].value = 0.4, 0.75
    path = tmp_path / "grin.json"
    assert bpy.ops.likeness.save_pose(filepath=str(path)) == {"FINISHED"}
    assert bpy.ops.likeness.reset_keys() == {"FINISHED"}
    keys["mouthFunnel" if "mouthFunnel" in keys else "jawOpen"].value = 0.9
    head.select_set(True)
    bpy.context.view_layer.objects.active = head
    assert bpy.ops.likeness.load_expression_file(filepath=str(path)) == {"FINISHED"}
    values = {block.name: block.value for block in keys if block.name in ARKIT_NAMES and block.value > 0}
    assert values == pytest.approx({"jawOpen": 0.4, "mouthSmileLeft": 0.75}, abs=1e-5)


def test_a_file_that_cannot_be_written_is_one_sentence(head: bpy.types.Object, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="could not be written"):
        bpy.ops.likeness.save_pose(filepath=str(tmp_path / "nowhere" / "grin.json"))


def test_a_lock_holds_a_pair_or_a_side(head: bpy.types.Object) -> None:
    keys, settings = head.data.shape_keys.key_blocks, bpy.context.scene.likeness_keys
    settings.mouthSmile, keys["jawOpen"].value = 0.6, 0.3
    both = next(names for names in key_rows("Mouth") if "mouthSmileLeft" in names)
    bpy.ops.likeness.lock_keys(names=" ".join(both))
    assert keys["mouthSmileLeft"].lock_shape and keys["mouthSmileRight"].lock_shape
    for reset in (bpy.ops.likeness.reset_keys, bpy.ops.likeness.reset_selected):
        keys["jawOpen"].value = 0.3
        assert reset() == {"FINISHED"}
        assert keys["jawOpen"].value == 0.0 and keys["mouthSmileRight"].value == pytest.approx(0.6)
    bpy.ops.likeness.lock_keys(names=" ".join(both))
    bpy.ops.likeness.reset_keys()
    assert keys["mouthSmileRight"].value == 0.0 and not keys["mouthSmileLeft"].lock_shape


def test_a_locked_key_is_not_set_by_an_expression(head: bpy.types.Object) -> None:
    from blender_addon.transfer.apply import set_values

    keys = head.data.shape_keys.key_blocks
    keys["jawOpen"].value, keys["jawOpen"].lock_shape = 0.3, True
    outcome = set_values(head, {"jawOpen": 0.9, "mouthPucker": 0.5}, 1.0)
    assert keys["jawOpen"].value == pytest.approx(0.3) and keys["mouthPucker"].value == 0.5
    assert outcome.warning == "Left alone on head, since they are locked: jawOpen."
