"""Every vertex of every key, and of an animated clip, through a file and back, for every preset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scene_helpers import evaluated, subdivision
from test_scene_export import TOLERANCE, imported, places

from blender_addon.protocol.names import ARKIT_NAMES, EYE_PART_NAMES, PART_NAMES

pytest.importorskip("bpy")
pytestmark = pytest.mark.blender

from blender_addon.export.presets import PRESETS, ExportPreset  # noqa: E402
from blender_addon.export.write import ONE_MESH_PARTS, export_head, export_parts  # noqa: E402
from blender_addon.objects import tags  # noqa: E402
from blender_addon.objects.meshes import search_tree  # noqa: E402

FRAMES = 5
SEEN = 5e-4
"""A key moves a part where a vertex of it goes farther, metres."""
MOVED_BY: Mapping[str, set[str]] = {
    "teeth_lower": {"jawOpen", "jawForward", "jawLeft", "jawRight"},
    "tongue": {"jawOpen", "tongueOut"},
    "lashes": {"eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight"},
    "eye_left": {"eyeLookUpLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft"},
    "eye_right": {"eyeLookUpRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight"},
    "cornea_left": {"eyeLookUpLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft"},
    "cornea_right": {"eyeLookUpRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight"},
}
"""Keys that have to move parts beside the skin."""

Shapes = dict[str, np.ndarray]
"""By part, (V, 3) metres in the world."""


def weights_of_frame(frame: int) -> dict[str, float]:
    """All 52 keys at once, other ones at each frame, from 0 on."""
    turn = np.arange(len(ARKIT_NAMES)) * 0.7 + frame * 1.3
    return dict(zip(ARKIT_NAMES, 0.5 * (1 - np.cos(turn)) * (frame > 1), strict=True))


def as_drawn(bpy, collection, preset: ExportPreset) -> Shapes:
    """What the scene shows of the parts that a preset takes; one mesh in the order of the parts."""
    parts = [obj for obj in export_parts(collection) if not preset.one_mesh or obj[tags.PART] in ONE_MESH_PARTS]
    shapes = {str(obj[tags.PART]): evaluated(bpy, obj) for obj in parts}
    return {"head": np.concatenate(list(shapes.values()))} if preset.one_mesh else shapes


def matched(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(F,) the vertex of ``wanted`` that each of ``found`` is; importers number and split them otherwise."""
    tree = search_tree(wanted)
    nearest = [tree.find(point) for point in found]
    assert max(distance for _, _, distance in nearest) < TOLERANCE
    numbers = np.array([number for _, number, _ in nearest])
    assert len(np.unique(numbers)) == len(wanted), "every vertex is in the file"
    return numbers


def key_names(obj) -> set[str]:
    """All keys of a mesh beside its first one; none where it has no keys."""
    return {block.name for block in obj.data.shape_keys.key_blocks[1:]} if obj.data.shape_keys else set()


def worst(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted, axis=1).max())


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_every_vertex_of_all_keys_and_of_a_clip_comes_back(
    bpy, collection, tmp_path: Path, preset: ExportPreset
) -> None:
    scene, head = bpy.context.scene, tags.part_object(collection, "head")
    for obj in [obj for obj in collection.all_objects if tags.HAIR in obj]:
        bpy.data.objects.remove(obj)  # in none of the files, and most of the time of a drawing
    blocks = head.data.shape_keys.key_blocks
    if preset.subdivision == 0:
        for obj in export_parts(collection):
            subdivision(obj).show_viewport = False
    rest = as_drawn(bpy, collection, preset)
    keyed: dict[str, Shapes] = {}
    for key in ARKIT_NAMES:
        blocks[key].value = 1.0
        keyed[key] = as_drawn(bpy, collection, preset)
        blocks[key].value = 0.0
    scene.frame_start, scene.frame_end = 1, FRAMES
    for frame in range(1, FRAMES + 1):
        for key, value in weights_of_frame(frame).items():
            blocks[key].value = value
            blocks[key].keyframe_insert("value", frame=frame)
    clip = []
    for frame in range(1, FRAMES + 1):
        scene.frame_set(frame)
        clip.append(as_drawn(bpy, collection, preset))
    scene.frame_set(2)
    own_keys = {str(obj[tags.PART]): key_names(obj) for obj in export_parts(collection)}
    path = tmp_path / f"head{preset.suffix}"
    export_head(bpy.context, collection, preset, path)
    assert scene.frame_current == 2
    found = imported(bpy, path)
    assert all(obj.name.startswith("Likeness_") for obj in found.values())
    assert set(found) == set(rest)
    if not preset.one_mesh:
        assert set(found) == set(PART_NAMES + EYE_PART_NAMES)
        assert {part: key_names(obj) for part, obj in found.items()} == own_keys
    for obj in found.values():  # as large along all axes
        assert np.array(obj.matrix_world.to_scale()) == pytest.approx([obj.matrix_world.to_scale()[0]] * 3, rel=1e-4)
    numbers = {part: matched(places(obj, obj.data.vertices), rest[part]) for part, obj in found.items()}
    for part, obj in found.items():
        own = obj.data.shape_keys.key_blocks if obj.data.shape_keys else {}
        for key in ARKIT_NAMES:
            wanted = keyed[key][part][numbers[part]]
            shape = places(obj, own[key].points) if key in own else rest[part][numbers[part]]
            assert worst(shape, wanted) < TOLERANCE, (part, key)
        for key in MOVED_BY.get(part, ()):
            assert worst(keyed[key][part], rest[part]) > SEEN, (part, key)
    assert set(found["head"].data.shape_keys.key_blocks.keys()) - {"Basis"} == set(ARKIT_NAMES)
    start = round(min(action.frame_range[0] for action in bpy.data.actions))  # importers may begin at 0 or 1
    assert round(max(action.frame_range[1] for action in bpy.data.actions)) - start == FRAMES - 1
    for frame, wanted in enumerate(clip):
        bpy.context.scene.frame_set(start + frame)
        for part, obj in found.items():
            assert worst(evaluated(bpy, obj), wanted[part][numbers[part]]) < TOLERANCE, (part, frame)
