"""Whatever moves a head's keys brings out its wrinkles: animation of another head, bones, files; and the sliders."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from scene_helpers import evaluated_value

bpy_module = pytest.importorskip("bpy")
pytestmark = pytest.mark.blender

sys.path.insert(0, str(Path(__file__).parents[1]))
from instant_backend import Backend  # noqa: E402
from transfer_rigs import select  # noqa: E402

from blender_addon.objects import tags  # noqa: E402
from blender_addon.protocol.result import HeadResult  # noqa: E402
from blender_addon.rig import build, lead  # noqa: E402
from blender_addon.rig.bones import JAW_LED  # noqa: E402
from blender_addon.scene import importing, materials  # noqa: E402


def out(bpy, head, name: str) -> float:
    """How far a group's wrinkles are out."""
    return evaluated_value(bpy, materials.skin_material(head), name)


def two_heads(bpy, result: HeadResult) -> list:
    return [tags.part_object(importing.import_head(result, bpy.context), "head") for _ in range(2)]


def test_animation_of_another_head_brings_out_this_heads_wrinkles(backend: Backend, result: HeadResult) -> None:
    bpy = bpy_module
    source, target = two_heads(bpy, result)
    keys = source.data.shape_keys
    for frame, value in ((1, 0.0), (5, 1.0)):
        keys.key_blocks["jawOpen"].value = keys.key_blocks["noseSneerLeft"].value = value
        for name in ("jawOpen", "noseSneerLeft"):
            keys.keyframe_insert(f'key_blocks["{name}"].value', frame=frame)
    bpy.context.scene.likeness_transfer.source = source
    select(bpy, target)
    assert bpy.ops.likeness.transfer_to_selected() == {"FINISHED"}
    source.data.shape_keys.animation_data_clear()
    source.data.shape_keys.key_blocks["jawOpen"].value = 0.0
    for frame, expected in ((1, 0.0), (3, 0.5), (5, 1.0)):
        bpy.context.scene.frame_set(frame)
        assert out(bpy, target, "jaw_open") == pytest.approx(expected, abs=0.05)
        assert out(bpy, target, "sneer Left") == pytest.approx(expected, abs=0.05)
        assert out(bpy, target, "sneer Right") == out(bpy, source, "jaw_open") == 0.0


def test_a_jaw_that_its_bone_opens_brings_out_its_wrinkles(bpy, collection) -> None:
    head, rig = tags.part_object(collection, "head"), build.put_rig(collection)
    lead.set_lead(head, rig, JAW_LED, by_bones=True)
    bone, channels = lead.motions_of(rig)["jawOpen"]
    rig.pose.bones[bone].rotation_euler[channels[0].axis] = 0.5 * channels[0].amount
    assert out(bpy, head, "jaw_open") == pytest.approx(0.5, abs=0.02)


def test_a_file_that_is_opened_again_has_its_relief(bpy, collection, tmp_path: Path) -> None:
    materials.strength_socket(
        materials.skin_material(tags.part_object(collection, "head")), "Relief"
    ).default_value = 0.5
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "head.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "head.blend"))
    head = tags.part_object(tags.head_collections()[0], "head")
    material = materials.skin_material(head)
    assert materials.strength_socket(material, "Relief").default_value == 0.5
    assert all(node.image.packed_file for node in materials.relief_nodes(material))
    head.data.shape_keys.key_blocks["mouthPucker"].value = 0.75
    assert out(bpy, head, "pucker") == pytest.approx(0.75)
