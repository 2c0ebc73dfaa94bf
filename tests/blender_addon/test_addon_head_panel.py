"""The panels beside a finished head: what is in them, once, and above what may be long."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest

bpy = pytest.importorskip("bpy")
import bmesh  # noqa: E402

sys.path[:0] = [str(Path(__file__).parent / "scene"), str(Path(__file__).parent)]
from instant_backend import Backend  # noqa: E402

from blender_addon.objects import tags  # noqa: E402
from blender_addon.protocol.result import HeadResult  # noqa: E402
from blender_addon.scene.importing import import_head  # noqa: E402
from blender_addon.ui.panel import HEAD_PANELS, MainPanel  # noqa: E402
from blender_addon.ui.transfer_panel import ExpressionPanel  # noqa: E402

pytestmark = pytest.mark.blender


def buttons() -> list[str]:
    """Operators of all panels, from top to bottom."""
    layout = MagicMock()
    for panel in (MainPanel, *HEAD_PANELS, ExpressionPanel):
        if getattr(panel, "poll", lambda context: True)(bpy.context):
            panel.draw(MagicMock(layout=layout), bpy.context)
    return [call.args[0] for call in layout.mock_calls if call[0].endswith("operator")]


def test_neutral_leaves_an_artists_own_key_and_finds_the_only_head(backend: Backend, result: HeadResult) -> None:
    head = tags.part_object(import_head(result, bpy.context), "head")
    head.shape_key_add(name="longer nose").value = 0.5
    keys = head.data.shape_keys.key_blocks
    for chosen in (True, False):
        keys["jawOpen"].value = 0.5
        head.select_set(chosen)
        bpy.context.view_layer.objects.active = head if chosen else None
        assert bpy.ops.likeness.reset_selected() == {"FINISHED"}
        assert keys["jawOpen"].value == 0 and keys["longer nose"].value == 0.5


def test_skin_is_locked_by_a_sculpt_or_a_selection(backend: Backend, result: HeadResult) -> None:
    from blender_addon.scene.expressions import lock_weights

    head = tags.part_object(import_head(result, bpy.context), "head")
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
