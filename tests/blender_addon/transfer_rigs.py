"""Small meshes with shape keys, for tests of transfers in Blender."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np


def rig(bpy, name: str, keys: Iterable[str], points: int = 4):
    """A mesh object of a row of quads with shape keys at 0, linked into the scene."""
    mesh = bpy.data.meshes.new(name)
    row = np.arange(points, dtype=float)
    vertices = [(x, 0.0, z) for z in (0.0, 1.0) for x in row]
    faces = [(i, i + 1, points + i + 1, points + i) for i in range(points - 1)]
    mesh.from_pydata(vertices, [], faces)
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(obj)
    obj.shape_key_add(name="Basis", from_mix=False)
    for number, key in enumerate(keys):
        block = obj.shape_key_add(name=key, from_mix=False)
        block.value = 0.0
        block.points[number % len(mesh.vertices)].co.z += 0.5
    return obj


def animate(obj, key: str, frames: Sequence[float], values: Sequence[float]) -> None:
    """Keyframes on a shape key, as an artist sets them."""
    block = obj.data.shape_keys.key_blocks[key]
    for frame, value in zip(frames, values, strict=True):
        block.value = value
        block.keyframe_insert("value", frame=frame)


def select(bpy, active, *others) -> None:
    """Select objects; the first one is active."""
    for obj in bpy.context.scene.objects:
        obj.select_set(obj in (active, *others))
    bpy.context.view_layer.objects.active = active


def values_at(bpy, obj, key: str, frames: Iterable[float]) -> list[float]:
    """What a key shows at frames."""
    out = []
    for frame in frames:
        bpy.context.scene.frame_set(int(frame), subframe=frame - int(frame))
        out.append(obj.data.shape_keys.key_blocks[key].value)
    return out


def undone_in_one_step(bpy, operator, state: Callable[[], object], **options: object) -> None:
    """Assert that one undo takes back all that an operator does, as one called by a click, and one redo brings it
    back. ``state`` looks things up by name: undoing gives everything a new address."""
    bpy.ops.ed.undo_push(message="before")
    before = state()
    assert operator("EXEC_DEFAULT", True, **options) == {"FINISHED"}
    after = state()
    assert after != before
    bpy.ops.ed.undo()
    assert state() == before
    bpy.ops.ed.redo()
    assert state() == after
