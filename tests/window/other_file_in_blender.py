"""Another file is opened while the backend works: what the panel shows then, and what becomes of the head.

Told by ``in_blender.py``; needs the photos alone.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import bpy

Story = Generator[float, None, None]


def listening() -> list[str]:
    """Our modal operators, which are all that hears of ESC."""
    names = [operator.bl_idname for window in bpy.context.window_manager.windows for operator in window.modal_operators]
    return [name for name in names if name.startswith("LIKENESS_")]


def open_file(tools: Any, name: str) -> Story:
    """As an artist does it, with the file's own windows."""
    tools.call(bpy.ops.wm.open_mainfile, filepath=str(tools.HERE / f"{name}.blend"))
    tools.forget_gap()
    yield 2.0


def escape(tools: Any) -> Story:
    _, _, region = tools.view3d()
    tools.press("ESC", region.x + region.width // 3, region.y + region.height // 2)
    yield 1.0


def two_files(tools: Any) -> Story:
    """``photos.blend`` with a list of photos, which is open then, and ``cube.blend`` with a cube alone."""
    bpy.data.batch_remove(list(bpy.data.objects))
    tools.view3d()[1].spaces.active.show_region_ui = True
    yield 1.0
    tools.show_sidebar()
    yield 1.0
    tools.call(bpy.ops.mesh.primitive_cube_add)
    tools.call(bpy.ops.wm.save_as_mainfile, filepath=str(tools.HERE / "cube.blend"))
    bpy.data.batch_remove(list(bpy.data.objects))
    files = [{"name": name} for name in tools.SETTINGS["photos"]]
    tools.call(bpy.ops.likeness.add_photos, "EXEC_DEFAULT", True, directory=str(tools.HERE / "photos"), files=files)
    bpy.context.scene.likeness.quality, bpy.context.scene.likeness.texture_size = "fast", "1024"
    tools.call(bpy.ops.wm.save_as_mainfile, filepath=str(tools.HERE / "photos.blend"))
    yield 1.0


def asked_for(tools: Any) -> Story:
    """A head, until its preview shows."""
    tools.call(bpy.ops.likeness.reconstruct, "INVOKE_DEFAULT")
    yield from tools.until(lambda: tools.session().preview is not None, 120, "the preview")
    assert listening() == ["LIKENESS_OT_reconstruct"], listening()
    yield 0.5


def waits(tools: Any) -> Story:
    yield from tools.until(lambda: tools.session().has_lost_scene, 180, "the head")
    yield 1.0


def story(tools: Any) -> Story:
    ops = bpy.ops.likeness
    yield from tools.installed()
    yield from two_files(tools)

    yield from asked_for(tools)
    tools.screenshot("1_before")
    yield from open_file(tools, "cube")
    assert listening() == [] and tools.session().busy, listening()
    tools.screenshot("2_another_file")
    yield from escape(tools)
    assert tools.session().busy, "nobody hears of ESC any more, and the panel does not offer it"
    yield from waits(tools)
    assert tools.heads() == 0 and len(bpy.data.objects) == 1
    tools.screenshot("3_waits")
    tools.time_calls(tools.addon("ui.redraw"), "regions")
    tools.calls.clear()
    yield 3.0
    assert not tools.calls, "nothing changes, so that there is nothing to draw"
    assert not ops.reconstruct.poll() and not ops.expression_from_photo.poll()

    yield from open_file(tools, "photos")
    tools.screenshot("4_waits_in_a_third_file")
    tools.addon("ui.redraw").push_undo("Opened", bpy.context.scene)
    bpy.context.view_layer.objects.active = None
    tools.call(ops.take_head, "INVOKE_DEFAULT")
    assert listening() == ["LIKENESS_OT_take_head"], listening()
    yield from tools.until(lambda: not tools.session().busy, 20, "the import")
    yield 2.0
    assert tools.heads() == 1 and listening() == []
    tools.screenshot("5_taken")
    tools.call(bpy.ops.ed.undo)
    yield 1.0
    assert tools.heads() == 0 and tools.session().view.phase.value == "done"
    tools.screenshot("6_undone")
    tools.call(bpy.ops.ed.redo)
    yield 1.0
    assert tools.heads() == 1

    yield from asked_for(tools)
    yield from open_file(tools, "cube")
    yield from waits(tools)
    tools.call(bpy.ops.object.mode_set, mode="EDIT")
    tools.call(ops.take_head, "INVOKE_DEFAULT")
    yield 1.0
    tools.screenshot("7_waits_for_object_mode")
    assert tools.session().busy and tools.heads() == 0
    yield from escape(tools)
    assert not tools.session().busy and listening() == [], "ESC is on the button, and works"
    tools.screenshot("8_cancelled")
    tools.call(bpy.ops.object.mode_set, mode="OBJECT")

    yield from open_file(tools, "photos")
    yield from asked_for(tools)
    yield from open_file(tools, "cube")
    yield from waits(tools)
    tools.call(ops.cancel)
    yield 1.0
    assert not tools.session().busy and tools.session().preview is None
    tools.screenshot("9_thrown_away")

    yield from transfer(tools)
    yield from disabled(tools)


def transfer(tools: Any) -> Story:
    """An expression that is being looked for ends with its file."""
    current = tools.addon("transfer.sliced").current_work
    photo = str(tools.HERE / "photos" / tools.SETTINGS["photos"][0])
    bpy.data.objects["Cube"].select_set(True)
    tools.call(bpy.ops.likeness.expression_from_photo, "INVOKE_DEFAULT", chosen=True, filepath=photo)
    yield from tools.until(lambda: current() is not None and current().waiting, 10, "the transfer")
    assert listening() == ["LIKENESS_OT_expression_from_photo"]
    yield from open_file(tools, "photos")
    assert current() is None and listening() == []
    yield from tools.until(lambda: not tools.session().busy, 10, "the end of the transfer")
    assert bpy.ops.likeness.expression_from_photo.poll()


def disabled(tools: Any) -> Story:
    """The extension is disabled, and enabled again, while a head waits: it is offered, also in the next file."""
    yield from asked_for(tools)
    yield from open_file(tools, "cube")
    yield from waits(tools)
    began = time.monotonic()
    bpy.ops.preferences.addon_disable(module=tools.PACKAGE)
    tools.figures["disable_seconds"] = round(time.monotonic() - began, 2)
    yield 1.0
    tools.forget_gap()
    bpy.ops.preferences.addon_enable(module=tools.PACKAGE)
    tools.forget_gap()
    yield from tools.until(lambda: tools.session().waiting.offered, 10, "the offer")
    yield 1.0
    assert not tools.session().busy and not tools.session().has_lost_scene
    assert bpy.ops.likeness.reconstruct.poll(), "it keeps nobody from working"
    tools.show_sidebar()
    yield 1.0
    tools.screenshot("10_offered")
    yield from open_file(tools, "photos")
    tools.screenshot("11_offered_in_the_next_file")
    tools.addon("ui.redraw").push_undo("Opened", bpy.context.scene)
    yield from accept_offer(tools, "offered")
    tools.screenshot("12_taken")
    yield from undoes_taking(tools)


def accept_offer(tools: Any, phase: str) -> Story:
    """The one head that is offered goes into the scene, and its file goes."""
    (head,) = tools.session().waiting.offered
    tools.phase = phase
    began = time.monotonic()
    tools.call(bpy.ops.likeness.take_head, "INVOKE_DEFAULT", head=head.name)
    assert listening() == ["LIKENESS_OT_take_head"], listening()
    yield from tools.until(lambda: not tools.session().busy, 20, "the import")
    tools.figures[f"{phase}_seconds"] = round(time.monotonic() - began, 2)
    yield 2.0
    assert tools.heads() == 1 and not tools.session().waiting.offered and not head.slot.path.exists()


def undoes_taking(tools: Any) -> Story:
    tools.call(bpy.ops.ed.undo)
    yield 1.0
    assert tools.heads() == 0 and not tools.session().waiting.offered
