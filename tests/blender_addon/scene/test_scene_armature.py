"""Bones and keys are one control: whoever leads, the face is the same and nothing moves twice."""

from __future__ import annotations

from dataclasses import replace
from math import radians

import numpy as np
import pytest
from scene_helpers import import_head

from blender_addon.objects import tags
from blender_addon.protocol.result import HeadResult
from blender_addon.rig import build, lead
from blender_addon.rig.bones import BONES_BY_PART, EYE_AIM, EYES_LED, JAW, JAW_LED, PARENTS, TONGUE
from blender_addon.scene.expressions import expression_unchanged, set_expression


@pytest.fixture
def parts(collection) -> dict:
    """The head's objects by part, with an armature."""
    assert build.put_rig(collection) is not None
    names = ("head", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue")
    return {name: tags.part_object(collection, name) for name in names}


def seen(bpy, obj) -> np.ndarray:
    """(V, 3) world places of the evaluated cage, without subdivision."""
    shown = [(m, m.show_viewport) for m in obj.modifiers if m.type == "SUBSURF"]
    for modifier, _ in shown:
        modifier.show_viewport = False
    bpy.context.view_layer.update()
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.data
    found = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", found)
    for modifier, was in shown:
        modifier.show_viewport = was
    matrix = np.array(evaluated.matrix_world)
    return found.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def every(bpy, parts) -> dict[str, np.ndarray]:
    return {name: seen(bpy, obj) for name, obj in parts.items()}


def test_an_armature_at_rest_moves_nothing(bpy, collection) -> None:
    names = ("head", "eye_left", "teeth_lower", "tongue")
    objects = {name: tags.part_object(collection, name) for name in names}
    before = every(bpy, objects)
    rig = build.put_rig(collection)
    assert set(rig.data.bones.keys()) == set(PARENTS)
    for name, places in every(bpy, objects).items():
        assert np.abs(places - before[name]).max() < 1e-5, name
    assert [m.type for m in objects["head"].modifiers][:2] == ["ARMATURE", "SUBSURF"]
    eye = np.array(rig.matrix_world @ rig.data.bones["eye.L"].head_local)
    left = seen(bpy, objects["eye_left"])
    assert np.linalg.norm(eye - (left.min(0) + left.max(0)) / 2) < 0.004
    assert rig.data.bones["eye.L"].head_local.x > 0 > rig.data.bones["eye.R"].head_local.x  # the person's left is at +x


def test_keys_lead_at_first_and_the_jaws_bone_follows(bpy, collection, parts) -> None:
    rig, head = tags.rig_object(collection), parts["head"]
    build.remove_rig(collection)
    set_expression(head, {"jawOpen": 0.7})
    alone = every(bpy, parts)
    set_expression(head, {})
    rig = build.put_rig(collection)
    set_expression(head, {"jawOpen": 0.7})
    bpy.context.view_layer.update()
    assert rig.pose.bones[JAW].matrix_basis.to_euler().x != 0.0
    for name, places in every(bpy, parts).items():
        near = 0.003 if name == "tongue" else 2e-5  # the tongue rides on the bone, which turns where the key shifts
        assert np.abs(places - alone[name]).max() < near, name


@pytest.mark.parametrize(("what", "key"), [(JAW_LED, "jawOpen"), (EYES_LED, "eyeLookOutLeft")])
def test_when_bones_lead_a_turn_of_the_bone_is_the_key(bpy, collection, parts, what: str, key: str) -> None:
    rig, head = tags.rig_object(collection), parts["head"]
    keys = head.data.shape_keys.key_blocks
    set_expression(head, {key: 0.5})
    before = every(bpy, parts)
    lead.set_lead(head, rig, what, by_bones=True)
    bpy.context.view_layer.update()
    assert keys[key].value == pytest.approx(0.5, abs=0.01)  # the face stays as it is
    for name, places in every(bpy, parts).items():
        assert np.abs(places - before[name]).max() < 4e-4, name
    bone, channels = lead.motions_of(rig)[key]
    assert bone in BONES_BY_PART[what]
    rig.pose.bones[bone].rotation_euler[channels[0].axis] = channels[0].amount
    bpy.context.view_layer.update()
    assert keys[key].value == pytest.approx(1.0, abs=0.01)
    lead.reset_pose(head, rig)
    bpy.context.view_layer.update()
    assert keys[key].value == pytest.approx(0.0, abs=0.01)
    lead.set_lead(head, rig, what, by_bones=False)
    set_expression(head, {key: 0.3})
    bpy.context.view_layer.update()
    assert keys[key].value == pytest.approx(0.3)


def test_eyes_look_at_the_target(bpy, collection, parts) -> None:
    rig, head = tags.rig_object(collection), parts["head"]
    lead.set_lead(head, rig, EYES_LED, by_bones=True)
    keys = head.data.shape_keys.key_blocks
    target = rig.pose.bones["eye_target"]
    rest = np.array(target.bone.head_local)
    to_left = rest + np.array([0.15, 0.0, 0.0])
    target.matrix = target.matrix.Translation(to_left.tolist()) @ target.matrix.to_3x3().to_4x4()
    rig[EYE_AIM] = 1.0
    rig.update_tag()
    bpy.context.view_layer.update()
    assert keys["eyeLookOutLeft"].value > 0.1 < keys["eyeLookInRight"].value
    assert keys["eyeLookInLeft"].value < 0.02 > keys["eyeLookOutRight"].value
    rig[EYE_AIM] = 0.0
    rig.update_tag()
    bpy.context.view_layer.update()
    assert keys["eyeLookOutLeft"].value < 0.02


def test_the_head_turns_with_all_its_parts_and_the_necks_rim_stays(bpy, collection, parts) -> None:
    rig = tags.rig_object(collection)
    before = every(bpy, parts)
    rig.pose.bones["head"].rotation_euler = (0.0, radians(30.0), 0.0)
    bpy.context.view_layer.update()
    after = every(bpy, parts)
    skin = np.linalg.norm(after["head"] - before["head"], axis=1)
    top, low = before["head"][:, 2] > before["head"][:, 2].max() - 0.02, before["head"][:, 2].argsort()[:20]
    assert skin[low].max() < 1e-5 < skin[top].max()
    moved = {name: np.linalg.norm(after[name] - before[name], axis=1).max() for name in parts}
    assert min(moved.values()) > 0.005
    eye = after["eye_left"]  # an eyeball is turned whole
    spread = np.linalg.norm(eye - eye.mean(0), axis=1)
    assert np.allclose(spread, np.linalg.norm(before["eye_left"] - before["eye_left"].mean(0), axis=1), atol=1e-5)


def test_the_tongue_bends(bpy, collection, parts) -> None:
    rig = tags.rig_object(collection)
    before = seen(bpy, parts["tongue"])
    rig.pose.bones[TONGUE[1]].rotation_euler = (radians(40.0), 0.0, 0.0)
    moved = np.linalg.norm(seen(bpy, parts["tongue"]) - before, axis=1)
    front = before[:, 1] < np.quantile(before[:, 1], 0.15)
    back = before[:, 1] > np.quantile(before[:, 1], 0.85)
    assert moved[front].max() > 0.003 > 1e-5 > moved[back].max()


def test_solving_again_moves_the_bones_and_keeps_who_leads(bpy, collection, parts, result: HeadResult) -> None:
    rig, head = tags.rig_object(collection), parts["head"]
    lead.set_lead(head, rig, JAW_LED, by_bones=True)
    length = (rig.data.bones["head"].head_local - rig.data.bones["neck"].head_local).length
    bigger = tuple(replace(p, vertices=(p.vertices * 1.1).astype(np.float32)) for p in result.parts)
    import_head(replace(result, parts=bigger), bpy.context, (), collection[tags.HEAD_ID])
    rig = tags.rig_object(collection)
    again = (rig.data.bones["head"].head_local - rig.data.bones["neck"].head_local).length
    assert again == pytest.approx(1.1 * length, rel=0.02)
    head = tags.part_object(collection, "head")
    assert lead.bones_drive_keys(head, rig, JAW_LED) and not lead.bones_drive_keys(head, rig, EYES_LED)
    assert sum(m.type == "ARMATURE" for m in head.modifiers) == 1


def test_it_goes_without_a_trace_and_the_keys_keep_their_values(bpy, collection, parts) -> None:
    head = parts["head"]
    lead.set_lead(head, tags.rig_object(collection), JAW_LED, by_bones=True)
    set_expression(head, {"jawOpen": 0.4, "mouthSmileLeft": 0.6})
    bpy.context.view_layer.update()
    build.remove_rig(collection)
    bpy.context.view_layer.update()
    keys = head.data.shape_keys.key_blocks
    assert keys["jawOpen"].value == pytest.approx(0.4, abs=0.01) and keys["mouthSmileLeft"].value == pytest.approx(0.6)
    assert not bpy.data.armatures and tags.rig_object(collection) is None
    assert all(m.type != "ARMATURE" for obj in parts.values() for m in obj.modifiers)
    assert not set(PARENTS) & {group.name for obj in parts.values() for group in obj.vertex_groups}


def test_keys_that_bones_lead_are_set_one_by_one_and_eyes_go_on_looking_at_their_target(bpy, collection, parts) -> None:
    rig, head = tags.rig_object(collection), parts["head"]
    keys = head.data.shape_keys.key_blocks
    for what in BONES_BY_PART:
        lead.set_lead(head, rig, what, by_bones=True)
    artists = keys["mouthSmileLeft"].driver_add("value").driver
    artists.type, variable = "AVERAGE", artists.variables.new()
    variable.type, variable.targets[0].id = "TRANSFORMS", rig  # stopped every expression
    rig[EYE_AIM] = 0.7
    lead.set_keys(head, {"jawOpen": 0.5})
    bpy.context.view_layer.update()
    lead.set_keys(head, {"jawLeft": 0.4, "browInnerUp": 0.3})
    bpy.context.view_layer.update()
    found = [keys[name].value for name in ("jawOpen", "jawLeft", "browInnerUp")]
    assert found == pytest.approx([0.5, 0.4, 0.3], abs=0.01)
    assert rig[EYE_AIM] == pytest.approx(0.7)
    set_expression(head, {"eyeLookUpLeft": 0.5})
    bpy.context.view_layer.update()
    assert rig[EYE_AIM] == 0.0 and keys["eyeLookUpLeft"].value == pytest.approx(0.5, abs=0.02)
    assert keys["jawOpen"].value < 0.02 > keys["jawLeft"].value
    assert expression_unchanged(head, {"eyeLookUpLeft": 0.5}) and not expression_unchanged(head, {"eyeLookUpLeft": 0.8})
