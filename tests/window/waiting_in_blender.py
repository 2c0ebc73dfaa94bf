"""A head waits while Blender is quit; Blender is started again, offers it, and puts it into the scene.

Told by ``in_blender.py`` in two starts of Blender; needs the photos alone.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import bpy
from other_file_in_blender import accept_offer, asked_for, open_file, two_files, undoes_taking, waits

Story = Generator[float, None, None]


def story(tools: Any) -> Story:
    return quits(tools) if tools.SETTINGS["start"] == 1 else starts_again(tools)


def quits(tools: Any) -> Story:
    yield from tools.installed()
    yield 1.0
    for head in tools.session().waiting.offered:  # of a story that failed
        tools.session().waiting.discard_offered(head)
    yield from two_files(tools)
    yield from asked_for(tools)
    yield from open_file(tools, "cube")
    yield from waits(tools)
    tools.screenshot("1_waits")
    tools.call(bpy.ops.wm.quit_blender)
    yield 60.0
    raise AssertionError("Blender did not quit")


def starts_again(tools: Any) -> Story:
    tools.press("ESC", 5, 5)  # the splash screen
    yield 1.0
    tools.phase = "enabling"
    tools.call(bpy.ops.preferences.addon_enable, module=tools.PACKAGE)
    tools.forget_gap()
    tools.time_calls(tools.addon("waiting"), "left_behind")
    yield from tools.until(lambda: tools.session().waiting.offered, 20, "the offer")
    tools.view3d()[1].spaces.active.show_region_ui = True
    yield 1.0
    tools.show_sidebar()
    yield 1.0
    tools.screenshot("2_offered")
    yield from open_file(tools, "photos")
    tools.screenshot("3_offered_in_another_file")
    tools.addon("ui.redraw").push_undo("Opened", bpy.context.scene)
    chosen = bpy.context.preferences.addons[tools.PACKAGE].preferences
    chosen.where, chosen.existing_python = "EXISTING", "/bin/sh"
    yield from accept_offer(tools, "taking")
    tools.phase = "after"
    assert len(bpy.data.objects["head"].data.shape_keys.key_blocks) == 53
    assert "USED" in [photo.status for photo in bpy.context.scene.likeness.photos]
    tools.screenshot("4_taken")
    yield from undoes_taking(tools)
