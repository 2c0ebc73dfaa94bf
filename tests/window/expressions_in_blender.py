"""The Expressions panel in a window: a photo, a video, keys for a stranger, a mapping. Told by ``in_blender.py``.

Needs in its folder, besides: ``head.blend`` with a Likeness head, ``expression.jpg``, ``clip.mp4``, ``stranger.obj``.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import bpy
import numpy as np
from mathutils import Vector

Story = Generator[float, None, None]


def working(tools: Any) -> Any:
    return tools.addon("transfer.sliced").current_work()


def select(active: bpy.types.Object, *others: bpy.types.Object) -> None:
    for obj in bpy.context.view_layer.objects:
        obj.select_set(obj in (active, *others))
    bpy.context.view_layer.objects.active = active


def values(obj: bpy.types.Object) -> dict[str, float]:
    return {block.name: block.value for block in obj.data.shape_keys.key_blocks[1:]}


def show(tools: Any, *objects: bpy.types.Object) -> None:
    """The view from the front, on some objects, without what distracts."""
    window, area, region = tools.view3d()
    tools.addon("scene.cameras").show_albedo(area.spaces.active.shading)
    overlay = area.spaces.active.overlay
    overlay.show_floor = overlay.show_extras = overlay.show_outline_selected = overlay.show_relationship_lines = False
    selected = list(bpy.context.selected_objects)
    active = bpy.context.view_layer.objects.active
    select(objects[0], *objects[1:])
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_selected()
    if len(objects) > 1:
        area.spaces.active.region_3d.view_location.x += 0.12  # the sidebar covers the right third
    select(active, *selected)


def run(tools: Any, operator: Any, seconds: float, figure: str, **options: Any) -> Story:
    """Call an operator as a click does and wait for its end."""
    began = time.monotonic()
    tools.phase = figure
    path = options.pop("browsed", None)
    tools.call(operator, "INVOKE_DEFAULT", **options)
    if path is not None:
        yield from tools.choose_file(path, f"browser_{figure}")
        yield 0.5  # until a timer has called again
    yield from tools.until(lambda: working(tools) is None, seconds, figure)
    tools.figures[f"{figure}_seconds"] = round(time.monotonic() - began, 2)
    for _ in range(4):  # panels find their places within a few drawings
        yield 1.0
        tools.addon("redraw").everything()
    yield 1.0


def story(tools: Any) -> Story:
    yield from tools.installed()
    tools.call(bpy.ops.wm.open_mainfile, filepath=str(tools.HERE / "head.blend"), load_ui=False)
    yield 1.0
    tools.open_panels("ExpressionPanel")
    yield from tools.show_sidebar()
    head = bpy.data.objects["head"]
    select(head)
    show(tools, head)
    tools.addon("redraw").push_undo("Opened", bpy.context.scene)
    yield 1.5
    tools.screenshot("1_panel")

    yield from pictures(tools, head)
    head = bpy.data.objects["head"]
    action = head.data.shape_keys.animation_data.action
    assert action is not None
    frames = [int(frame) for frame in action.frame_range]
    assert [bpy.context.scene.frame_start, bpy.context.scene.frame_end] == frames, "the scene is as long as the film"
    widest = max(range(frames[0], frames[1] + 1), key=lambda frame: moved(head, frame))
    bpy.context.scene.frame_set(widest)
    yield 1.5
    tools.screenshot("4_video")
    yield from stranger(tools, head)


def pictures(tools: Any, head: bpy.types.Object) -> Story:
    """A photo, its undoing, a video that is cancelled, and one that is not."""
    here, ops = tools.HERE, bpy.ops.likeness
    yield from run(tools, ops.expression_from_photo, 200, "photo", browsed=here / "expression.jpg")
    shown = values(head)
    assert sum(value > 0.05 for value in shown.values()) > 3, shown
    tools.screenshot("2_photo")
    tools.call(bpy.ops.ed.undo)
    yield 1.0
    head = bpy.data.objects["head"]
    assert not any(values(head).values()), "one undo takes the expression away"
    clip = {"chosen": True, "filepath": str(here / "clip.mp4")}
    tools.call(ops.animate_from_video, "INVOKE_DEFAULT", **clip)
    yield from tools.until(lambda: working(tools) is None or working(tools).fraction > 0.4, 200, "progress")
    yield 0.3
    tools.screenshot("3_video_running")
    window = bpy.context.window_manager.windows[0]
    began = time.monotonic()
    window.event_simulate(type="ESC", value="PRESS", x=400, y=300)
    window.event_simulate(type="ESC", value="RELEASE", x=400, y=300)
    yield from tools.until(lambda: working(tools) is None, 5, "the cancelling")
    tools.figures["cancel_seconds"] = round(time.monotonic() - began, 2)
    assert head.data.shape_keys.animation_data is None
    yield from tools.until(lambda: not tools.session().busy, 10, "the backend's answer")
    yield from run(tools, ops.animate_from_video, 300, "video", **clip)


def moved(obj: bpy.types.Object, frame: int) -> float:
    """How far from neutral a frame is."""
    bpy.context.scene.frame_set(frame)
    return sum(values(obj).values())


def stranger(tools: Any, head: bpy.types.Object) -> Story:
    """A mesh of another topology without keys gets some, then the animation, then by names of its own."""
    tools.call(bpy.ops.wm.obj_import, filepath=str(tools.HERE / "stranger.obj"))
    other = bpy.context.view_layer.objects.active
    other.name = "stranger"
    bpy.data.objects["Cube"].hide_set(True)
    places = [np.mean(tools.box(obj), axis=0) for obj in (head, other)]
    other.location += Vector(places[0] - places[1]) + Vector((0.36, 0.0, 0.0))
    thin = other.modifiers.new("Decimate", "DECIMATE")
    thin.ratio = 0.6
    tools.call(bpy.ops.object.modifier_apply, modifier=thin.name)
    for polygon in other.data.polygons:
        polygon.use_smooth = True
    bpy.context.scene.likeness_transfer.source = head
    select(other)
    show(tools, head, other)
    tools.addon("redraw").push_undo("A stranger", bpy.context.scene)
    yield 1.0
    assert other.data.shape_keys is None
    yield from run(tools, bpy.ops.likeness.make_arkit_keys, 300, "make_keys")
    other = bpy.data.objects["stranger"]
    assert len(other.data.shape_keys.key_blocks) == 53
    yield from run(tools, bpy.ops.likeness.transfer_to_selected, 60, "transfer_animation")
    assert other.data.shape_keys.animation_data.action is not None
    tools.screenshot("5_stranger")
    other.data.shape_keys.animation_data_clear()
    for block in other.data.shape_keys.key_blocks[1:]:
        side = {"Left": "_L", "Right": "_R"}
        for word, letter in side.items():
            if block.name.endswith(word) and block.name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
                block.name = block.name.removesuffix(word) + letter
        block.name = f"face.{block.name}"
        block.value = 0.0
    tools.open_panels("ExpressionPanel", "MappingPanel")
    yield 1.0
    select(other)
    assert tools.call(bpy.ops.likeness.suggest_mapping) == {"FINISHED"}
    links = bpy.context.scene.likeness_transfer.links
    tools.figures["links"] = len(links)
    bpy.context.scene.likeness_transfer.active_link = 17
    links[17].weight = 0.8
    yield from run(tools, bpy.ops.likeness.transfer_to_selected, 60, "transfer_mapped")
    yield 1.0
    tools.screenshot("6_mapping")
