"""*Apply to MPFB Body* in a window, from Blender's default scene: the window goes on drawing while the skin is baked,
ESC gives it up, once more to the end, and undo. Told by ``in_blender.py``; needs ``message.npz`` as the armature does.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import bpy
import numpy as np
from saved_head_in_blender import begun, head

SKIN_VERTICES = 13_380


def add_body() -> bpy.types.Object:
    """MakeHuman's vertices as far as the head has them, the others below it, with the head's faces and its map."""
    mesh = head().data
    numbers = np.array([one.value for one in mesh.attributes["hm08_vertex"].data])
    points = np.tile([0.0, 0.0, min(v.co.z for v in mesh.vertices) - 0.2], (SKIN_VERTICES, 1))
    points[numbers] = [tuple(vertex.co) for vertex in mesh.vertices]
    body = bpy.data.meshes.new("Human")
    body.from_pydata(points.tolist(), [], [numbers[list(face.vertices)].tolist() for face in mesh.polygons])
    source, target = mesh.uv_layers["MakeHuman"], body.uv_layers.new(name="UVMap")
    for old, new in zip(mesh.polygons, body.polygons, strict=True):
        for one, other in zip(old.loop_indices, new.loop_indices, strict=True):
            target.uv[other].vector = source.uv[one].vector
    found = bpy.data.objects.new("Human", body)
    found.location = (0.5, 0.0, 0.0)
    bpy.context.scene.collection.objects.link(found)
    return found


def apply_until(tools: Any, enough: Any) -> Generator[float, None, None]:
    """Starts the work from the panel's button, and notes the longest time between two looks until ``enough()``."""
    assert tools.call(bpy.ops.likeness.apply_to_mpfb, "INVOKE_DEFAULT") == {"RUNNING_MODAL"}
    longest, before = 0.0, time.monotonic()
    looks = 0
    while not enough():
        assert looks < 5_000, "it neither goes on nor ends"
        yield 0.02
        longest, before = max(longest, time.monotonic() - before), time.monotonic()
        looks += 1
    tools.figures.setdefault("longest_wait", []).append(round(longest, 3))
    tools.figures.setdefault("looks", []).append(looks)


def story(tools: Any) -> Generator[float, None, None]:
    yield from begun(tools)
    body = add_body()
    for obj in bpy.context.view_layer.objects:
        obj.select_set(obj == body)
    bpy.context.view_layer.objects.active = body
    tools.addon("ui.redraw").push_undo("Body", bpy.context.scene)
    yield 2.0
    work = tools.addon("transfer.sliced").current_work

    yield from apply_until(tools, lambda: work() is None or work().fraction > 0.2)
    tools.screenshot("1_baking")
    _, _, region = tools.view3d()
    tools.press("ESC", region.x + region.width // 2, region.y + region.height // 2)
    yield from tools.until(lambda: work() is None, 5, "ESC")
    assert body.data.shape_keys is None and not body.material_slots, "the body is as it was"

    yield from apply_until(tools, lambda: work() is None)
    yield 1.0
    body = bpy.data.objects["Human"]
    assert "Likeness" in body.data.shape_keys.key_blocks and body.material_slots[0].material is not None
    tools.screenshot("2_applied")
    tools.call(bpy.ops.ed.undo)
    yield 1.0
    body = bpy.data.objects["Human"]
    assert body.data.shape_keys is None and not body.material_slots, "one undo takes all of it away"
