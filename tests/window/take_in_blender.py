"""A Live Link take on a Likeness head drives a foreign rig with lashes of its own; a mute, a lock, one undo. Told by
``in_blender.py``; needs in its folder ``message.npz`` and ``stranger.obj``.
"""

from __future__ import annotations

from typing import Any

import bpy
from expressions_in_blender import Story, run, select, show, values
from mathutils import Vector
from saved_head_in_blender import begun, head

FRAMES, LOOKED_AT = 60, 45
NAMES = ("stranger", "own lashes")


def state() -> list[dict[str, float]]:
    """What the rig shows; empty where nothing moves it."""
    bpy.context.scene.frame_set(LOOKED_AT)
    return [{key: value for key, value in values(bpy.data.objects[name]).items() if value > 0.001} for name in NAMES]


def story(tools: Any) -> Story:
    ops = bpy.ops.likeness
    yield from begun(tools)
    tools.open_panels("ExpressionPanel")
    tools.call(bpy.ops.wm.obj_import, filepath=str(tools.HERE / "stranger.obj"))
    stranger = bpy.context.view_layer.objects.active
    lashes = next(part for part in head().children if part.get("likeness_part") == "lashes")
    own = bpy.data.objects.new(NAMES[1], lashes.data.copy())
    own.shape_key_clear()
    own.matrix_world = lashes.matrix_world
    bpy.context.scene.collection.objects.link(own)
    stranger.name = NAMES[0]
    at = [sum(map(Vector, tools.box(obj)), Vector()) / 2 for obj in (head(), stranger)]
    stranger.location += at[0] - at[1] + Vector((0.36, 0.0, 0.0))
    own.location.x += 0.36
    bpy.context.scene.likeness_transfer.source = head()
    select(stranger, own)
    yield from run(tools, ops.make_arkit_keys, 300, "make_keys")
    rows = [f"10:00:0{n // 30}:{n % 30:02},61,{n / FRAMES},{n / FRAMES},0.5,0.9\n" for n in range(FRAMES)]
    take = tools.HERE / "take.csv"
    take.write_text("Timecode,BlendShapeCount,EyeBlinkLeft,EyeBlinkRight,JawOpen,CheekPuff\n" + "".join(rows))
    bpy.context.scene.render.fps = 30
    select(head())
    yield from run(tools, ops.load_expression_file, 100, "take", chosen=True, filepath=str(take), set_range=True)
    bpy.data.objects["stranger"].data.shape_keys.key_blocks["jawOpen"].lock_shape = True
    head().data.shape_keys.key_blocks["cheekPuff"].mute = True
    select(*(bpy.data.objects[name] for name in NAMES))
    show(tools, head(), bpy.data.objects["stranger"])
    tools.addon("redraw").push_undo("A lock and a mute", bpy.context.scene)
    yield from run(tools, ops.transfer_to_selected, 60, "transfer")
    shown = tools.figures["shown"] = state()
    yield 1.0
    tools.screenshot("1_take")
    assert [sorted(one) for one in shown] == [
        ["eyeBlinkLeft", "eyeBlinkRight"],
        ["eyeBlinkLeft", "eyeBlinkRight", "jawOpen"],
    ]
    assert shown[0]["eyeBlinkLeft"] == shown[1]["eyeBlinkLeft"] == values(head())["eyeBlinkLeft"] > 0.7
    tools.call(bpy.ops.ed.undo)
    yield 1.0
    assert state() == [{}, {}], "one undo takes it all back"
    tools.call(bpy.ops.ed.redo)
    yield 1.0
    assert state() == shown
