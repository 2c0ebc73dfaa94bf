"""The panels beside a finished head: what is in them, once, and above what may be long."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import pytest

bpy = pytest.importorskip("bpy")
sys.path[:0] = [str(Path(__file__).parent / "scene"), str(Path(__file__).parent)]
from instant_backend import Backend  # noqa: E402

from blender_addon.protocol.result import HeadResult  # noqa: E402
from blender_addon.scene import tags  # noqa: E402
from blender_addon.scene.importing import import_head  # noqa: E402
from blender_addon.ui.panel import HeadPanel, MainPanel  # noqa: E402
from blender_addon.ui.transfer_panel import ExpressionPanel  # noqa: E402

pytestmark = pytest.mark.blender


def buttons() -> list[str]:
    """Operators of all panels, from top to bottom."""
    layout = MagicMock()
    for panel in (MainPanel, HeadPanel, ExpressionPanel):
        if getattr(panel, "poll", lambda context: True)(bpy.context):
            panel.draw(MagicMock(layout=layout), bpy.context)
    return [call.args[0] for call in layout.mock_calls if call[0].endswith("operator")]


def eight(result: HeadResult) -> HeadResult:
    """As of eight photos."""
    return replace(result, photos=tuple(replace(result.photos[0], name=f"{number}.jpg") for number in range(8)))


def test_neutral_is_there_once_with_a_head_and_without(backend: Backend, result: HeadResult) -> None:
    neutral = {"likeness.reset_selected", "likeness.reset_expression"}
    assert len([name for name in buttons() if name in neutral]) == 1
    import_head(result, bpy.context)
    assert len([name for name in buttons() if name in neutral]) == 1


def test_many_photos_push_no_button_down(backend: Backend, result: HeadResult) -> None:
    import_head(eight(result), bpy.context)
    drawn = buttons()
    first = drawn.index("likeness.look_through")
    assert drawn.count("likeness.look_through") == 8
    assert {"likeness.solve_again", "likeness.apply_to_mpfb", "likeness.leave_photo"} <= set(drawn[:first])


def test_the_photo_list_scrolls(backend: Backend) -> None:
    layout = MagicMock()
    MainPanel.draw(MagicMock(layout=layout), bpy.context)
    (listed,) = [call for call in layout.mock_calls if call[0].endswith("template_list")]
    assert listed.kwargs["rows"] == listed.kwargs["maxrows"] == 5


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
