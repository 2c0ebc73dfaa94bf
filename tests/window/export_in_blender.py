"""Every export preset in a window, from Blender's default scene: the panel's operator with its file browser, and each
file read again by the same Blender. Told by ``in_blender.py``; needs ``message.npz`` as the armature does.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import bpy
import numpy as np
from expressions_in_blender import select
from saved_head_in_blender import begun, head

Story = Generator[float, None, None]
FRAME_LAST = 6
TOLERANCE_METRES = 1e-5
MOVED_METRES = 3e-3


def evaluated_vertices(obj: bpy.types.Object) -> np.ndarray:
    """(V, 3) world coordinates as the viewport draws them."""
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    flat = np.empty(3 * len(evaluated.data.vertices), np.float32)
    evaluated.data.vertices.foreach_get("co", flat)
    matrix = np.array(evaluated.matrix_world)
    return flat.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def farthest(wanted: np.ndarray, found: np.ndarray) -> float:
    """Largest distance from a wanted place to the nearest found one, metres."""
    from mathutils.kdtree import KDTree

    tree = KDTree(len(found))
    for number, point in enumerate(found):
        tree.insert(point, number)
    tree.balance()
    return max(tree.find(point)[2] for point in wanted[:: max(1, len(wanted) // 500)])


def written(tools: Any, preset: str) -> Story:
    """From the panel's entry through the file browser; the path is left in ``tools.figures``."""
    path = tools.HERE / f"export_{preset.lower()}{tools.addon('export.presets').BY_NAME[preset].suffix}"
    tools.call(bpy.ops.likeness.export, "INVOKE_DEFAULT", preset=preset)
    yield from tools.choose_file(path, f"1_file_browser_{preset.lower()}")
    yield from tools.until(path.exists, 20, f"{preset}'s file")
    yield 1.0
    tools.figures.setdefault("files", {})[preset] = path.name


def read_again(tools: Any, preset: str, posed: np.ndarray) -> Story:
    """All keys, the animation, and the head where Blender drew it at the last frame; then it is undone."""
    path = tools.HERE / tools.figures["files"][preset]
    before = set(bpy.data.objects)
    importer = bpy.ops.import_scene.fbx if path.suffix == ".fbx" else bpy.ops.import_scene.gltf
    tools.call(importer, "EXEC_DEFAULT", True, filepath=str(path))
    yield 1.0
    new = [obj for obj in bpy.data.objects if obj not in before and obj.type == "MESH"]
    (found,) = [obj for obj in new if "_head" in obj.name]
    names = {block.name for block in found.data.shape_keys.key_blocks} - {"Basis"}
    wanted = set(tools.addon("objects.tags").ARKIT_NAMES)
    assert names == wanted, (preset, names ^ wanted)
    bones = [obj for obj in bpy.data.objects if obj not in before and obj.type == "ARMATURE"]
    assert bool(bones) == tools.addon("export.presets").BY_NAME[preset].skeleton, "as the preset has it"
    action = found.data.shape_keys.animation_data.action
    first, last = action.frame_range
    assert round(last - first) == FRAME_LAST - 1, (preset, first, last)
    bpy.context.scene.frame_set(round(first))
    rest = evaluated_vertices(found)
    bpy.context.scene.frame_set(round(last))
    yield 1.0
    moved = float(np.linalg.norm(evaluated_vertices(found) - rest, axis=1).max())
    off = farthest(posed, evaluated_vertices(found)) if preset != "GAME" else 0.0
    tools.figures.setdefault("read_again", {})[preset] = {
        "meshes": len(new),
        "moved_mm": round(1000 * moved, 2),
        "off_mm": round(1000 * off, 4),
    }
    assert moved > MOVED_METRES and off < TOLERANCE_METRES, tools.figures["read_again"]
    yield from tools.picture_of_new(before, f"2_read_again_{preset.lower()}")
    bpy.context.scene.frame_set(1)
    select(head())


def story(tools: Any) -> Story:
    yield from begun(tools)
    select(head())
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, FRAME_LAST
    keys = head().data.shape_keys.key_blocks
    for frame, value in ((1, 0.0), (FRAME_LAST, 1.0)):
        for name in ("jawOpen", "eyeBlinkLeft", "tongueOut"):
            keys[name].value = value
            keys[name].keyframe_insert("value", frame=frame)
    scene.frame_set(FRAME_LAST)
    posed = evaluated_vertices(head())
    scene.frame_set(1)
    tools.addon("redraw").push_undo("Head", scene)
    yield 2.0
    for preset in tools.addon("export.presets").PRESETS:
        yield from written(tools, preset.name)
        yield from read_again(tools, preset.name, posed)
    yield from renamed_bones(tools)


def renamed_bones(tools: Any) -> Story:
    """MakeHuman's and Rigify's names of bones are in the file by choice, Likeness's in the scene."""
    theirs = tools.addon("rig.bones").BONE_NAMES
    for names in ("RIGIFY", "MAKEHUMAN"):
        before, path = set(bpy.data.objects), tools.HERE / f"bones_{names.lower()}.glb"
        tools.call(bpy.ops.likeness.export, "EXEC_DEFAULT", preset="GLTF", bone_names=names, filepath=str(path))
        tools.call(bpy.ops.import_scene.gltf, "EXEC_DEFAULT", True, filepath=str(path))
        yield 1.0
        (rig,) = [obj for obj in bpy.data.objects if obj not in before and obj.type == "ARMATURE"]
        found = {bone.name for bone in rig.data.bones}
        assert set(theirs[names].values()) <= found and not set(theirs[names]) & found, (names, found)
        tools.call(bpy.ops.ed.undo)
        yield 1.0
