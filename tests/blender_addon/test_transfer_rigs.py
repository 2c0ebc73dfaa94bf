"""Expressions, actions, head poses and files onto rigs, by the extension's operators in background mode."""

from __future__ import annotations

import json
import os
import sys
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import addon_utils
import bpy
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from blender_addon.shared.names import ARKIT_NAMES
from test_transfer_names import live_link_csv, take
from transfer_rigs import animate, rig, select, values_at

from blender_addon.objects.actions import animated_keys, fcurves_of, read_curve

ARKIT = sorted(ARKIT_NAMES)


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert addon_utils.enable("blender_addon", default_set=True) is not None
    yield
    addon_utils.disable("blender_addon", default_set=True)


def settings():
    return bpy.context.scene.likeness_transfer


def value(obj, key: str) -> float:
    return obj.data.shape_keys.key_blocks[key].value


def test_an_expression_onto_several_rigs_at_once() -> None:
    source = rig(bpy, "source", ["eyeBlinkLeft", "jawOpen", "mouthSmileLeft"])
    spelled = rig(bpy, "spelled", ["EyeBlink_L", "Jaw_Open", "other"])
    vrm = rig(bpy, "vrm", ["Fcl_MTH_A", "Fcl_EYE_Close"])
    for key, amount in (("eyeBlinkLeft", 0.8), ("jawOpen", 0.4), ("mouthSmileLeft", 1.0)):
        source.data.shape_keys.key_blocks[key].value = amount
    spelled.data.shape_keys.key_blocks["other"].value = 0.3
    select(bpy, source, spelled, vrm)
    assert bpy.ops.likeness.transfer_to_selected() == {"FINISHED"}
    assert value(spelled, "EyeBlink_L") == pytest.approx(0.8) and value(spelled, "Jaw_Open") == pytest.approx(0.4)
    assert value(spelled, "other") == pytest.approx(0.3)
    assert value(vrm, "Fcl_MTH_A") == pytest.approx(0.4) and value(vrm, "Fcl_EYE_Close") == pytest.approx(0.4)
    settings().gain = 2.0
    bpy.ops.likeness.transfer_to_selected()
    assert value(spelled, "EyeBlink_L") == 1.0 and value(spelled, "Jaw_Open") == pytest.approx(0.8)  # held at 1
    bpy.ops.likeness.reset_selected()
    assert value(spelled, "EyeBlink_L") == value(source, "jawOpen") == 0.0


@pytest.mark.parametrize("build", ["Likeness", "$md-$as-$fe-$yn"])
def test_neutral_leaves_the_build_of_a_body(build: str) -> None:
    """*Apply to MPFB Body* and MPFB itself put it into shape keys, too; of other rigs all keys are an expression."""
    body, other = rig(bpy, "body", [build, "jawOpen", "mine", "nose-wide"]), rig(bpy, "other", ["jawOpen", "Grumpy"])
    for obj in (body, other):
        for block in obj.data.shape_keys.key_blocks[1:]:
            block.value = 0.75
    row = settings().links.add()
    row.source, row.target = "jawOpen", "mine"
    select(bpy, body, other)
    bpy.ops.likeness.reset_selected()
    assert value(body, build) == value(body, "nose-wide") == 0.75
    assert value(body, "jawOpen") == value(body, "mine") == value(other, "jawOpen") == value(other, "Grumpy") == 0.0


def test_a_source_may_be_chosen_and_need_not_be_selected() -> None:
    source, target = rig(bpy, "source", ["jawOpen"]), rig(bpy, "target", ["jawOpen"])
    source.data.shape_keys.key_blocks["jawOpen"].value = 0.6
    settings().source = source
    select(bpy, target)
    bpy.ops.likeness.transfer_to_selected()
    assert value(target, "jawOpen") == pytest.approx(0.6)
    select(bpy, source)
    with pytest.raises(RuntimeError, match="No other mesh is selected"):
        bpy.ops.likeness.transfer_to_selected()


def test_drivers_are_left_alone_with_a_warning(capfd: pytest.CaptureFixture) -> None:
    source, target = rig(bpy, "source", ["jawOpen", "cheekPuff"]), rig(bpy, "target", ["jawOpen", "cheekPuff"])
    target.data.shape_keys.key_blocks["jawOpen"].driver_add("value").driver.expression = "0.25"
    for key in ("jawOpen", "cheekPuff"):
        animate(source, key, (1, 10), (0.0, 0.9))
    bpy.context.scene.frame_set(10)
    select(bpy, source, target)
    for what in ("EXPRESSION", "ACTION"):
        assert bpy.ops.likeness.transfer_to_selected(what=what) == {"FINISHED"}
        assert "Left alone on target, since drivers set them: jawOpen" in capfd.readouterr().out
        assert value(target, "jawOpen") == pytest.approx(0.25)
    assert [name for name, _ in animated_keys(target.data.shape_keys)] == ["cheekPuff"]
    assert len(target.data.shape_keys.animation_data.drivers) == 1


def test_an_action_keeps_its_keyframes_handles_and_interpolation() -> None:
    source, target = (
        rig(bpy, "source", ["jawOpen", "eyeBlinkLeft", "cheekPuff"]),
        rig(bpy, "t", ["JawOpen", "eyeBlink"]),
    )
    animate(source, "jawOpen", (1, 7, 20.5), (0.0, 1.0, 0.25))
    animate(source, "eyeBlinkLeft", (3, 5), (0.0, 1.0))
    fcurve = dict(animated_keys(source.data.shape_keys))["jawOpen"]
    fcurve.keyframe_points[0].interpolation = "CONSTANT"
    fcurve.keyframe_points[1].handle_right_type = "FREE"
    fcurve.keyframe_points[1].handle_right = (9.0, 0.5)
    before = read_curve(fcurve)
    select(bpy, source, target)
    settings().gain = 0.5
    bpy.ops.likeness.transfer_to_selected()
    after = read_curve(dict(animated_keys(target.data.shape_keys))["JawOpen"])
    np.testing.assert_allclose(after.points, before.points * [1.0, 0.5], atol=1e-6)
    np.testing.assert_array_equal(after.interpolation, before.interpolation)
    frames = [1, 4, 7, 8, 11.5, 15, 20.5]
    expected = values_at(bpy, source, "jawOpen", frames)
    np.testing.assert_allclose(values_at(bpy, target, "JawOpen", frames), np.multiply(expected, 0.5), atol=1e-3)
    assert value(target, "eyeBlink") == pytest.approx(0.25)  # half of the left one's, times the gain
    assert source.data.shape_keys.animation_data.action != target.data.shape_keys.animation_data.action


def test_several_keys_that_lead_one_are_added_up_at_every_frame(capfd: pytest.CaptureFixture[str]) -> None:
    source, target = rig(bpy, "source", ["eyeBlinkLeft", "eyeBlinkRight"]), rig(bpy, "t", ["Fcl_EYE_Close"])
    animate(source, "eyeBlinkLeft", (1, 11), (0.0, 1.0))
    animate(source, "eyeBlinkRight", (6, 16), (0.0, 0.5))
    select(bpy, source, target)
    bpy.ops.likeness.transfer_to_selected()
    assert "Sampled for t at frames 1 to 16, since no single curve gives them: Fcl_EYE_Close." in capfd.readouterr().out
    left, right = (values_at(bpy, source, key, range(1, 17)) for key in ("eyeBlinkLeft", "eyeBlinkRight"))
    expected = np.add(left, right) / 2
    np.testing.assert_allclose(values_at(bpy, target, "Fcl_EYE_Close", range(1, 17)), expected, atol=1e-5)


def curve_of(obj, key: str):
    return dict(animated_keys(obj.data.shape_keys))[key]


def cycles(obj) -> None:
    curve_of(obj, "jawOpen").modifiers.new("CYCLES")


def bounce(obj) -> None:
    for point in curve_of(obj, "jawOpen").keyframe_points:
        point.interpolation, point.easing = "BOUNCE", "EASE_IN"


def elastic(obj) -> None:
    for point in curve_of(obj, "jawOpen").keyframe_points:
        point.interpolation, point.amplitude, point.period = "ELASTIC", 0.3, 5.0


def rising(obj) -> None:
    curve_of(obj, "jawOpen").extrapolation = "LINEAR"


def noise(obj) -> None:
    curve_of(obj, "jawOpen").modifiers.new("NOISE").strength = 0.4


@pytest.mark.parametrize("gain", [1.0, 0.5])
@pytest.mark.parametrize("change", [cycles, bounce, elastic, rising, noise])
def test_a_curve_arrives_as_it_is(change, gain: float) -> None:
    source, target = rig(bpy, "source", ["jawOpen"]), rig(bpy, "target", ["jawOpen"])
    animate(source, "jawOpen", (1, 5, 10), (0.0, 0.7, 0.2))
    change(source)
    settings().gain = gain
    select(bpy, source, target)
    bpy.ops.likeness.transfer_to_selected()
    frames = range(1, 11) if change is noise and gain != 1.0 else range(-5, 31)
    expected = np.multiply(values_at(bpy, source, "jawOpen", frames), gain)
    np.testing.assert_allclose(values_at(bpy, target, "jawOpen", frames), expected, atol=2e-3)


def test_nothing_of_an_old_take_plays_on() -> None:
    source, target = (rig(bpy, name, ["jawOpen", "mouthSmileLeft", "cheekPuff"]) for name in ("source", "target"))
    animate(target, "jawOpen", (-10, 1, 10, 20, 40), (0.5, 0, 1, 0, 0.5))
    animate(target, "cheekPuff", (0, 9, 30), (1, 0, 1))
    animate(target, "mouthSmileLeft", (5, 9), (1, 1))
    curve_of(target, "mouthSmileLeft").modifiers.new("NOISE")
    animate(source, "mouthSmileLeft", (1, 20), (0, 1))
    animate(source, "cheekPuff", (7, 12), (0.2, 0.8))
    select(bpy, source, target)
    bpy.ops.likeness.transfer_to_selected()
    for key in ("jawOpen", "mouthSmileLeft", "cheekPuff"):
        frames = range(1, 21)
        expected = values_at(bpy, source, key, frames)
        np.testing.assert_allclose(values_at(bpy, target, key, frames), expected, atol=1e-5)
    assert values_at(bpy, target, "jawOpen", [-10, 40]) == [0.5, 0.5]


def driven(source, name: str = "control"):
    """Drive the source's jaw by a property of an animated object."""
    control = bpy.data.objects.new(name, None)
    bpy.context.scene.collection.objects.link(control)
    control["jaw"] = 0.0
    driver = source.data.shape_keys.key_blocks["jawOpen"].driver_add("value").driver
    variable = driver.variables.new()
    variable.name, driver.expression = "v", "v"
    variable.targets[0].id, variable.targets[0].data_path = control, '["jaw"]'
    for frame, value in ((1, 0.0), (10, 1.0)):
        control["jaw"] = value
        control.keyframe_insert('["jaw"]', frame=frame)


def by_bone(source) -> None:
    skeleton = armature(0.2)
    driver = source.data.shape_keys.key_blocks["jawOpen"].driver_add("value").driver
    variable = driver.variables.new()
    variable.name, variable.type, driver.expression = "v", "TRANSFORMS", "v * 2"
    target = variable.targets[0]
    target.id, target.bone_target, target.transform_type = skeleton, "head", "ROT_X"
    bone = skeleton.pose.bones["head"]
    bone.rotation_mode = "XYZ"
    leader = bpy.data.objects.new("leader", None)
    bpy.context.scene.collection.objects.link(leader)
    hold = bone.constraints.new("COPY_ROTATION")
    hold.target = leader
    for frame, angle in ((1, 0.0), (12, 0.4)):
        leader.rotation_euler.x = angle
        leader.keyframe_insert("rotation_euler", frame=frame)


def by_strip(source) -> None:
    animate(source, "jawOpen", (1, 6), (0.0, 0.8))
    data = source.data.shape_keys.animation_data
    strip = data.nla_tracks.new().strips.new("take", 3, data.action)
    strip.scale = 2.0
    data.action = None


def by_frame(source) -> None:
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 1, 9
    driver = source.data.shape_keys.key_blocks["jawOpen"].driver_add("value").driver
    driver.expression = "0.5 + 0.5 * sin(frame)"


@pytest.mark.parametrize("lead", [driven, by_bone, by_strip, by_frame])
@pytest.mark.parametrize("what", ["AUTO", "ACTION"])
def test_what_moves_without_keyframes_of_its_own_is_sampled(lead, what: str, capfd: pytest.CaptureFixture) -> None:
    source, target = rig(bpy, "source", ["jawOpen"]), rig(bpy, "target", ["JawOpen"])
    lead(source)
    select(bpy, source, target)
    bpy.context.scene.frame_set(4)
    bpy.ops.likeness.transfer_to_selected(what=what)
    assert "Sampled for target at frames" in capfd.readouterr().out and bpy.context.scene.frame_current == 4
    expected = values_at(bpy, source, "jawOpen", range(1, 10))
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(values_at(bpy, target, "JawOpen", range(1, 10)), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["KEY_LINEAR", "KEY_CARDINAL", "KEY_CATMULL_ROM", "KEY_BSPLINE"])
def test_absolute_keys_arrive_as_their_shares(kind: str) -> None:
    from blender_addon.transfer.apply import shown

    source = rig(bpy, "source", ["jawOpen", "cheekPuff", "mouthLeft"])
    keys = source.data.shape_keys
    keys.use_relative = False
    for block in keys.key_blocks:
        block.interpolation = kind
    heights = [np.array([point.co.z for point in block.points]) for block in keys.key_blocks]
    rest = heights[0]
    for time_now in (0.0, 3.0, 10.0, 14.0, 25.0, 29.0, 30.0):
        keys.eval_time = time_now
        values = shown(source)
        evaluated = source.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.vertices
        mixed = rest + sum(values.get(b.name, 0.0) * (h - rest) for b, h in zip(keys.key_blocks, heights, strict=True))
        np.testing.assert_allclose([vertex.co.z for vertex in evaluated], mixed, atol=1e-5)


def test_what_is_muted_or_pinned_shows_nothing() -> None:
    names = ["jawOpen", "mouthSmileLeft", "eyeBlinkLeft"]
    source, target = rig(bpy, "source", names), rig(bpy, "target", names)
    for key in names[:2]:
        animate(source, key, (1, 10), (0, 1))
    blocks = source.data.shape_keys.key_blocks
    blocks["jawOpen"].mute = blocks["eyeBlinkLeft"].mute = True
    blocks["eyeBlinkLeft"].value = 1.0
    select(bpy, source, target)
    for what in ("ACTION", "EXPRESSION"):
        bpy.context.scene.frame_set(10)
        bpy.ops.likeness.transfer_to_selected(what=what)
        bpy.context.scene.frame_set(10)
        assert [value(target, key) for key in names] == [0.0, 1.0, 0.0]
    source.show_only_shape_key, source.active_shape_key_index = True, 1
    blocks["jawOpen"].mute = False
    bpy.ops.likeness.transfer_to_selected(what="EXPRESSION")
    assert [value(target, key) for key in names] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("frames", [1, 30])
def test_what_stays_on_the_target_is_said(frames: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    names = ["jawOpen", "cheekPuff", "jawLeft", "mouthLeft"]
    target = rig(bpy, "target", names)
    blocks = target.data.shape_keys.key_blocks
    blocks["jawOpen"].lock_shape = blocks["cheekPuff"].mute = True
    blocks["jawLeft"].driver_add("value")
    animate(target, "mouthLeft", (1, 10), (0, 0))
    curve_of(target, "mouthLeft").mute = True
    head = "Timecode,BlendShapeCount,JawOpen,CheekPuff,JawLeft,MouthLeft\n"
    rows = "".join(f"10:00:00:{i:02}.000,61,{(i + 1) / 30:.3f},0.5,0.5,0.5\n" for i in range(frames))
    (tmp_path / "take.csv").write_text(head + rows)
    source = rig(bpy, "source", names)
    for key in names:
        animate(source, key, (1, 10), (0, 1))
    select(bpy, source, target)
    for action in (False, True):
        select(bpy, *((source, target) if action else (target,)))
        if action:
            bpy.ops.likeness.transfer_to_selected()
        else:
            bpy.ops.likeness.load_expression_file(filepath=str(tmp_path / "take.csv"))
        said = capfd.readouterr().out
        assert "Left alone on target, since drivers set them: jawLeft." in said
        assert "Left alone on target, since they are locked: jawOpen." in said
        assert "not shown by target (muted, pinned or absolute keys): cheekPuff, mouthLeft." in said
        assert "jawOpen" not in dict(animated_keys(target.data.shape_keys)) and value(target, "jawOpen") == 0.0


def test_keyframes_outside_and_other_channels_stay() -> None:
    source, target = rig(bpy, "source", ["jawOpen"]), rig(bpy, "target", ["jawOpen", "mine"])
    animate(source, "jawOpen", (10, 20), (0.0, 1.0))
    animate(target, "jawOpen", (1, 15, 30), (0.1, 0.2, 0.3))
    animate(target, "mine", (1, 30), (0.0, 1.0))
    select(bpy, source, target)
    bpy.ops.likeness.transfer_to_selected()
    curves = dict(animated_keys(target.data.shape_keys))
    np.testing.assert_allclose(read_curve(curves["jawOpen"]).points[:, 0], [1, 10, 20, 30])
    np.testing.assert_allclose(read_curve(curves["mine"]).points[:, 0], [1, 30])


def test_an_action_that_others_use_is_copied_first() -> None:
    source, one, two = (rig(bpy, name, ["jawOpen"]) for name in ("source", "one", "two"))
    animate(source, "jawOpen", (1, 5), (0.0, 1.0))
    animate(one, "jawOpen", (1, 5), (0.5, 0.5))
    data = two.data.shape_keys.animation_data_create()
    data.action = one.data.shape_keys.animation_data.action
    if hasattr(data, "action_slot"):
        data.action_slot = one.data.shape_keys.animation_data.action_slot
    select(bpy, source, one)
    bpy.ops.likeness.transfer_to_selected()
    assert values_at(bpy, one, "jawOpen", [5]) == [1.0] and values_at(bpy, two, "jawOpen", [5]) == [0.5]


def test_the_mapping_is_suggested_edited_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLENDER_USER_SCRIPTS", str(tmp_path))
    source, target = rig(bpy, "source", ["jawOpen", "eyeBlinkLeft"]), rig(bpy, "target", ["Jaw_Open", "odd"])
    for key in ("jawOpen", "eyeBlinkLeft"):
        source.data.shape_keys.key_blocks[key].value = 1.0
    select(bpy, source, target)
    bpy.ops.likeness.suggest_mapping()
    assert [(row.source, row.target) for row in settings().links] == [("jawOpen", "Jaw_Open")] and settings().use_links
    bpy.ops.likeness.add_link()
    row = settings().links[1]
    row.source, row.target, row.weight, row.highest = "eyeBlinkLeft", "odd", 0.75, 0.6
    bpy.ops.likeness.keep_mapping(name="Odd Rig")
    bpy.ops.likeness.remove_link()
    assert len(settings().links) == 1
    (path,) = tmp_path.glob("presets/likeness/mappings/*.py")
    bpy.ops.script.execute_preset(filepath=str(path), menu_idname="LIKENESS_MT_mappings")
    bpy.ops.likeness.transfer_to_selected()
    assert value(target, "Jaw_Open") == 1.0 and value(target, "odd") == pytest.approx(0.6)
    bpy.ops.likeness.keep_mapping(remove_active=True)
    assert not path.exists()


def test_a_rig_with_other_names_gets_all_it_can_show_without_a_hand_on_it() -> None:
    arkit = rig(bpy, "arkit", ARKIT)
    other = [
        name.replace("Left", "_L").replace("Right", "_R") if name not in ("jawLeft", "jawRight") else name
        for name in ARKIT
    ]
    other = [f"Face.M_F00_{name[0].upper()}{name[1:]}" for name in other]
    target = rig(bpy, "other", other)
    for number, name in enumerate(ARKIT):
        arkit.data.shape_keys.key_blocks[name].value = (number + 1) / 60
    select(bpy, arkit, target)
    bpy.ops.likeness.transfer_to_selected()
    for number, name in enumerate(other):
        assert value(target, name) == pytest.approx((number + 1) / 60, abs=1e-6), name


def test_300_frames_onto_52_keys_take_less_than_two_seconds() -> None:
    source, target = rig(bpy, "source", ARKIT, 2000), rig(bpy, "target", ARKIT, 2000)
    path = Path(bpy.app.tempdir) / "clip.json"
    path.write_text(json.dumps(take(300)))
    bpy.context.scene.render.fps = 30
    select(bpy, source)
    begun = time.process_time()
    bpy.ops.likeness.load_expression_file(filepath=str(path))
    loaded = time.process_time()
    select(bpy, source, target)
    bpy.ops.likeness.transfer_to_selected()
    copied = time.process_time()
    assert loaded - begun < 2.0 and copied - loaded < 2.0
    for obj in (source, target):
        curves = dict(animated_keys(obj.data.shape_keys))
        assert set(curves) == set(ARKIT_NAMES) and all(len(c.keyframe_points) == 300 for c in curves.values())
    assert values_at(bpy, target, "jawOpen", [300]) == [pytest.approx(1.0)]


@pytest.mark.parametrize("rate", [24, 60])
def test_a_file_at_another_frame_rate(rate: int, tmp_path: Path) -> None:
    target = rig(bpy, "target", ["JawOpen"])
    (tmp_path / "clip.json").write_text(json.dumps(take(61)))
    (tmp_path / "live.csv").write_text(live_link_csv(61))
    bpy.context.scene.render.fps = rate
    select(bpy, target)
    bpy.ops.likeness.load_expression_file(filepath=str(tmp_path / "clip.json"), start=5, set_range=True)
    assert values_at(bpy, target, "JawOpen", [5, 5 + rate, 5 + 2 * rate]) == pytest.approx([0.0, 0.5, 1.0], abs=1e-5)
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (5, 5 + 2 * rate)
    bpy.ops.likeness.load_expression_file(filepath=str(tmp_path / "live.csv"), start=5)
    assert values_at(bpy, target, "JawOpen", [5 + 2 * rate]) == pytest.approx([60 / 61], abs=1e-4)
    with pytest.raises(RuntimeError, match="could not be read"):
        bpy.ops.likeness.load_expression_file(filepath=str(tmp_path / "none.json"))


def test_a_single_expression_is_set_without_keyframes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chosen in a file browser, whose own call cannot become modal: a timer calls again."""
    from blender_addon.transfer import sliced

    later = []
    app = SimpleNamespace(background=False, timers=SimpleNamespace(register=lambda again, **_: later.append(again)))
    target = rig(bpy, "target", ["jawOpen"])
    single = take(1, None)
    single["weights"][0][single["names"].index("jawOpen")] = 0.7
    (tmp_path / "clip.json").write_text(json.dumps(single))
    select(bpy, target)
    with monkeypatch.context() as window:
        window.setattr(sliced.SlicedFileOperator, "_asked", True)
        window.setattr(sliced, "bpy", SimpleNamespace(app=app, ops=bpy.ops, context=bpy.context))
        bpy.ops.likeness.load_expression_file(filepath=str(tmp_path / "clip.json"), gain=0.5)
    later[0]()
    assert value(target, "jawOpen") == pytest.approx(0.35) and not fcurves_of(target.data.shape_keys)


def armature(rolled: float):
    """An armature, turned, with a bone ``head`` that points up and is rolled."""
    data = bpy.data.armatures.new("skeleton")
    obj = bpy.data.objects.new("skeleton", data)
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    bpy.ops.object.mode_set(mode="EDIT")
    bone = data.edit_bones.new("head")
    bone.head, bone.tail, bone.roll = (0, 0, 1), (0, 0.05, 1.2), rolled
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.context.view_layer.update()
    return obj


def world_turn(owner, bone: str) -> np.ndarray:
    bpy.context.view_layer.update()
    rest = owner.matrix_world @ owner.pose.bones[bone].bone.matrix_local
    now = owner.matrix_world @ owner.pose.bones[bone].matrix
    return np.array(now.to_3x3() @ rest.to_3x3().inverted())


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
def test_the_head_pose_of_a_file_turns_a_bone(mode: str, tmp_path: Path) -> None:
    target, skeleton = rig(bpy, "target", ["jawOpen"]), armature(0.4)
    skeleton.pose.bones["head"].rotation_mode = mode
    settings().pose_to, settings().pose_to_bone = skeleton, "head"
    (tmp_path / "clip.json").write_text(json.dumps(take(61)))
    bpy.context.scene.render.fps = 30
    select(bpy, target)
    bpy.ops.likeness.load_expression_file(filepath=str(tmp_path / "clip.json"))
    for frame in (1, 31, 61):
        bpy.context.scene.frame_set(frame)
        angle = 0.6 * (frame - 1) / 60  # about the head's y, which is Blender's z: to the person's left
        expected = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
        np.testing.assert_allclose(world_turn(skeleton, "head"), expected, atol=1e-4)


def test_the_head_pose_goes_from_an_object_to_a_bone_with_the_action() -> None:
    source, target, skeleton = rig(bpy, "source", ["jawOpen"]), rig(bpy, "target", ["jawOpen"]), armature(-0.3)
    animate(source, "jawOpen", (1, 11), (0.0, 1.0))
    for frame, angle in ((1, 0.0), (11, 0.5)):
        source.rotation_euler = (angle, 0.0, 0.2 * angle)
        source.keyframe_insert("rotation_euler", frame=frame)
    settings().pose_from, settings().pose_to, settings().pose_to_bone = source, skeleton, "head"
    select(bpy, source, target)
    bpy.ops.likeness.transfer_to_selected()
    for frame in (1, 6, 11):
        bpy.context.scene.frame_set(frame)
        turn = np.array(source.matrix_world.to_3x3())
        np.testing.assert_allclose(world_turn(skeleton, "head"), turn, atol=1e-4)
    settings().pose_to_bone = "nothing"
    with pytest.raises(RuntimeError, match="no bone nothing"):
        bpy.ops.likeness.transfer_to_selected()


def test_keys_that_fit_nothing_are_said(capfd: pytest.CaptureFixture) -> None:
    source, target = rig(bpy, "source", ["jawOpen"]), rig(bpy, "target", ["odd"])
    select(bpy, source, target)
    bpy.ops.likeness.transfer_to_selected()
    assert "No key of target fits" in capfd.readouterr().out
    plain = bpy.data.objects.new("plain", bpy.data.meshes.new("plain"))
    bpy.context.scene.collection.objects.link(plain)
    select(bpy, source, plain)
    with pytest.raises(RuntimeError, match=r"no shape keys\. Use Make ARKit Keys"):
        bpy.ops.likeness.transfer_to_selected()


class CheckedLayout:
    """Stands in for a ``UILayout``: every operator, property and icon that is drawn has to exist."""

    icons = bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items

    def __init__(self, drawn: list[str]) -> None:
        object.__setattr__(self, "drawn", drawn)

    def __getattr__(self, name: str):
        def call(*arguments, **options):
            assert options.get("icon", "NONE") in self.icons
            return self

        return call

    def operator(self, name: str, **options):
        assert options.get("icon", "NONE") in self.icons
        properties = getattr(bpy.ops.likeness, name.removeprefix("likeness.")).get_rna_type().properties
        self.drawn.append(name)
        return type("Set", (), {"__setattr__": lambda _, key, value: properties[key]})()

    def prop(self, data, name: str, **options) -> None:
        self.drawn.append(data.bl_rna.properties[name].identifier)

    def prop_search(self, data, name: str, where, collection: str, **options) -> None:
        assert collection in where.bl_rna.properties
        self.prop(data, name)


def test_the_panels_draw_what_exists() -> None:
    from blender_addon.registration import classes_of
    from blender_addon.ui import transfer_panel

    source, target, skeleton = rig(bpy, "source", ["jawOpen"]), rig(bpy, "target", ["Jaw_Open"]), armature(0.0)
    settings().pose_to = skeleton
    select(bpy, source, target)
    bpy.ops.likeness.suggest_mapping()
    drawn: list[str] = []
    for panel in classes_of(transfer_panel)[1:]:
        panel.draw(SimpleNamespace(layout=CheckedLayout(drawn)), bpy.context)
    wanted = {"expression_from_photo", "animate_from_video", "load_expression_file", "transfer_to_selected"}
    wanted |= {"make_arkit_keys", "suggest_mapping", "keep_mapping", "mark_point", "clear_points"}
    assert {f"likeness.{name}" for name in wanted} <= set(drawn)
    assert {"source", "gain", "weight", "lowest", "highest", "pose_to", "pose_to_bone"} <= set(drawn)


def test_no_property_hides_what_runs_an_operator_in_a_window() -> None:
    """A property becomes a value on the operator: one that is called like a method takes the method's place."""
    from blender_addon.operators import transfer, transfer_keys
    from blender_addon.registration import classes_of
    from blender_addon.transfer.sliced import SlicedOperator

    operators = [cls for module in (transfer, transfer_keys) for cls in classes_of(module)]
    sliced = [cls for cls in operators if issubclass(cls, SlicedOperator)]
    methods = {name for name in dir(SlicedOperator) if name != "poll" and not name.startswith("bl_")}
    assert len(sliced) >= 5 and not [cls for cls in sliced if methods & set(cls.bl_rna.properties.keys())]


def test_a_photo_may_have_any_file_name() -> None:
    from blender_addon.operators.transfer import ExpressionFromPhoto

    for name in ("Screenshot at 9.41\u202fAM.png", "a\u3000b.jpg", os.fsdecode(b"caf\xe9.jpg")):
        (photo,) = ExpressionFromPhoto.job(None, Path(name), None).photos
        assert photo.label.isprintable() and photo.path == Path(name)


def test_the_sliders_are_the_limits_and_what_is_cut_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    wide, same, narrow = (rig(bpy, name, ["jawOpen", "mouthLeft"]) for name in ("wide", "same", "narrow"))
    for obj in (wide, same):
        blocks = obj.data.shape_keys.key_blocks
        blocks["jawOpen"].slider_max, blocks["mouthLeft"].slider_min = 2.0, -1.0
    for what in ("EXPRESSION", "ACTION"):
        for key, amount in (("jawOpen", 1.6), ("mouthLeft", -0.7)):
            if what == "ACTION":
                animate(wide, key, (1, 10), (0.0, amount))
            wide.data.shape_keys.key_blocks[key].value = amount
        settings().source = wide
        select(bpy, same)
        bpy.ops.likeness.transfer_to_selected(what=what)
        bpy.context.scene.frame_set(10)
        assert (value(same, "jawOpen"), value(same, "mouthLeft")) == pytest.approx((1.6, -0.7))
        assert "Cut on" not in capfd.readouterr().out
        select(bpy, narrow)
        bpy.ops.likeness.transfer_to_selected(what=what)
        bpy.context.scene.frame_set(10)
        assert (value(narrow, "jawOpen"), value(narrow, "mouthLeft")) == (1.0, 0.0)
        assert "Cut on narrow to the ranges of the sliders: jawOpen, mouthLeft." in capfd.readouterr().out
    select(bpy, same, narrow)
    bpy.ops.likeness.suggest_mapping()
    assert [(row.source, row.lowest, row.highest) for row in settings().links] == [
        ("jawOpen", 0.0, 2.0),
        ("mouthLeft", -1.0, 1.0),
    ]


def test_names_with_accents_of_either_form_are_equal() -> None:
    name = unicodedata.normalize("NFC", "bouche_étirée")
    source, target = rig(bpy, "source", [name]), rig(bpy, "target", [unicodedata.normalize("NFD", name)])
    source.data.shape_keys.key_blocks[name].value = 0.7
    settings().source = source
    select(bpy, target)
    bpy.ops.likeness.transfer_to_selected()
    assert value(target, unicodedata.normalize("NFD", name)) == pytest.approx(0.7)


def test_missing_rows_are_no_lost_faces(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [f"10:00:0{i // 60}:{i % 60:02}.000,61,0.5" for i in range(180) if i < 60 or i % 2 == 0]
    (tmp_path / "take.csv").write_text("\n".join(["Timecode,BlendShapeCount,JawOpen", *rows]))
    bpy.context.scene.render.fps = 60
    select(bpy, rig(bpy, "target", ["jawOpen"]))
    bpy.ops.likeness.load_expression_file(filepath=str(tmp_path / "take.csv"))
    said = capfd.readouterr().out
    assert "59 of 179 frames are missing in the file" in said and "no sure face" not in said
