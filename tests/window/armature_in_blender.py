"""The armature in a window, from Blender's default scene: jaw and eyes by their bones, keyframes, undo, locks and
sliders. Told by ``in_blender.py``.

Needs ``message.npz`` in its folder, besides: a head as ``tests/blender_addon/scene/head_message.py`` saves it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import bpy
from saved_head_in_blender import begun, choose, head

Story = Generator[float, None, None]
FRAME_LAST = 12
TITLE_BELOW_TOP = 13
"""Pixels from the sidebar's top to the first panel's title."""


def rig() -> bpy.types.Object:
    return next(obj for obj in bpy.data.objects if obj.type == "ARMATURE")


def key(name: str) -> float:
    graph = bpy.context.evaluated_depsgraph_get()
    return head().data.shape_keys.evaluated_get(graph).key_blocks[name].value


def choose_bone(name: str) -> None:
    bones = rig().data.bones
    for bone in rig().pose.bones:
        chosen = bone.name == name
        if hasattr(bone, "select"):  # from 5.0 on
            bone.select = chosen
        else:
            bone.bone.select = chosen
    bones.active = bones[name]


def turned(tools: Any, axis: str, by: int) -> Story:
    """R, an axis of the bone's own, degrees, Enter: as an artist turns a bone."""
    window, _, region = tools.view3d()
    x, y = region.x + region.width // 2 - 150, region.y + region.height // 2 - 150
    window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=x, y=y)
    yield 0.3
    for typed in ("R", axis, axis):
        window.event_simulate(type=typed, value="PRESS", x=x, y=y)
        window.event_simulate(type=typed, value="RELEASE", x=x, y=y)
        yield 0.3
    names = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
    for digit in str(by):
        name = "MINUS" if digit == "-" else names[int(digit)]
        window.event_simulate(type=name, value="PRESS", unicode=digit, x=x, y=y)
        window.event_simulate(type=name, value="RELEASE", x=x, y=y)
        yield 0.2
    window.event_simulate(type="RET", value="PRESS", x=x, y=y)
    window.event_simulate(type="RET", value="RELEASE", x=x, y=y)
    yield 1.0


def story(tools: Any) -> Story:
    ops = bpy.ops.likeness
    yield from begun(tools)
    tools.addon("ui.redraw").push_undo("Head", bpy.context.scene)
    yield 3.0
    tools.screenshot("1_head")

    choose(head())
    tools.call(ops.add_armature)
    for what in ("JAW", "EYES"):
        tools.call(ops.set_lead, what=what, by_bones=True)
    choose(rig())
    tools.call(bpy.ops.object.mode_set, mode="POSE")
    yield 1.5
    choose_bone("jaw")
    yield from turned(tools, "X", 12)
    opened = key("jawOpen")
    tools.figures["jaw_open_by_bone"] = round(opened, 3)
    tools.screenshot("2_jaw_by_bone")
    assert opened > 0.2, opened
    choose_bone("eye.L")
    yield from turned(tools, "X", 12)
    looks = {name: round(key(name), 3) for name in ("eyeLookUpLeft", "eyeLookDownLeft", "eyeLookUpRight")}
    tools.figures["looks"] = looks
    assert looks["eyeLookUpLeft"] + looks["eyeLookDownLeft"] > 0.1 and looks["eyeLookUpRight"] < 0.01, looks
    tools.screenshot("3_eye_by_bone")

    tools.call(bpy.ops.ed.undo)
    yield 1.0
    assert key("eyeLookUpLeft") + key("eyeLookDownLeft") < 0.01, "one undo takes the look away"
    assert abs(key("jawOpen") - opened) < 0.01, "and the jaw stays"
    tools.call(bpy.ops.ed.undo)
    yield 1.0
    assert key("jawOpen") < 0.01, "another one shuts the mouth"
    tools.call(bpy.ops.ed.redo)
    yield 1.0
    assert abs(key("jawOpen") - opened) < 0.01, "and redo opens it"

    yield from keyframes(tools, opened)
    yield from locks(tools)


def keyframes(tools: Any, opened: float) -> Story:
    """The mouth opens over twelve frames by keyframes of the bone."""
    ops, scene = bpy.ops.likeness, bpy.context.scene
    scene.frame_start, scene.frame_end = 1, FRAME_LAST
    scene.frame_set(FRAME_LAST)
    tools.call(ops.keyframe_keys)
    scene.frame_set(1)
    tools.call(ops.reset_pose)
    tools.call(ops.keyframe_keys)
    for frame, wanted in ((1, 0.0), (FRAME_LAST // 2, 0.5 * opened), (FRAME_LAST, opened)):
        scene.frame_set(frame)
        yield 0.5
        assert abs(key("jawOpen") - wanted) < 0.25 * opened, (frame, key("jawOpen"), wanted)
    scene.frame_set(FRAME_LAST // 2 + 2)
    yield 1.5
    tools.screenshot("4_keyframes")
    tools.call(bpy.ops.screen.animation_play)
    yield 2.0
    tools.call(bpy.ops.screen.animation_play)
    yield 0.5


def locks(tools: Any) -> Story:
    """A locked key stays, the sliders and the locks are drawn."""
    ops = bpy.ops.likeness
    tools.call(bpy.ops.object.mode_set, mode="OBJECT")
    choose(head())
    blocks = head().data.shape_keys.key_blocks
    blocks["browInnerUp"].value = 0.8
    tools.call(ops.lock_keys, names="browInnerUp")
    tools.call(ops.reset_keys)
    assert abs(blocks["browInnerUp"].value - 0.8) < 1e-5
    head().data.shape_keys.reference_key.points[500].co.z += 0.004
    tools.call(ops.lock_skin)
    collection = next(c for c in bpy.data.collections if "likeness_id" in c)
    collection.likeness.symmetry = 0.5
    assert collection.likeness.changed
    above = (tools.addon("ui.panel").MainPanel, tools.addon("ui.panel").OptionsPanel)
    for panel in reversed(above):
        bpy.utils.unregister_class(panel)  # so that the panels below are seen
    tools.addon("ui.redraw").everything()
    yield 2.0
    tools.screenshot("5_locks")
    yield from key_pictures(tools)
    for panel in above:
        bpy.utils.register_class(panel)


def key_pictures(tools: Any) -> Story:
    """Face Keys with the keys' pictures beside the sliders, then large above them."""
    head_panel = tools.addon("ui.panel").HeadPanel
    icon = tools.addon("ui.key_pictures").picture_icon
    assert icon("jawOpen") and icon("jawOpen") != icon("mouthPucker"), "every key has a picture of its own"
    bpy.utils.unregister_class(head_panel)  # so that Face Keys is the first
    tools.addon("ui.redraw").everything()
    yield 1.0
    sidebar = next(region for region in tools.view3d()[1].regions if region.type == "UI")
    tools.press("LEFTMOUSE", sidebar.x + sidebar.width // 3, sidebar.y + sidebar.height - TITLE_BELOW_TOP)
    yield 1.0
    for name, large in (("6_face_keys", False), ("7_large_pictures", True)):
        bpy.context.scene.likeness_keys.pictures = large
        tools.addon("ui.redraw").everything()
        yield 2.0
        tools.screenshot(name)
    bpy.utils.register_class(head_panel)
