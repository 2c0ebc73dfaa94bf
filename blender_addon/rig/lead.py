"""Who leads: keys the bones, or bones the keys. There is one way at a time, so that nothing is moved twice.

While **keys** lead (as a head arrives), sliders, actions and expressions set the head's keys, and drivers turn the
bones along. While **bones** lead, posing and animating ``jaw`` or the eyes drives the keys. Deformation is the keys' in
both cases. All drivers are sums or simple expressions: they work where scripts of files are not allowed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import bpy
import numpy as np

from ..scene import tags
from .bones import switch_aim
from .names import BONES_OF, EYE_AIM, EYE_TARGET, EYES, EYES_LED, JAW_LED
from .places import Channel, RigPlaces

MOTIONS = "likeness_motions"
"""On the armature object: key -> bone and channels, as they were measured, to change who leads; JSON."""
_SAME_WEIGHT = 1e-4
"""Of a key, 0-1: drivers have amounts rounded to it, and a bone that is not to move is not posed anew."""


def remember(rig: bpy.types.Object, places: RigPlaces) -> None:
    """Keep the motions in the file."""
    kept = {
        key: [bone, [[channel.path, channel.axis, channel.amount] for channel in channels]]
        for key, (bone, channels) in places.motions.items()
    }
    rig[MOTIONS] = json.dumps(kept)


def motions_of(rig: bpy.types.Object) -> dict[str, tuple[str, tuple[Channel, ...]]]:
    """Key -> (bone, channels), as in ``RigPlaces``."""
    kept = json.loads(rig.get(MOTIONS, "{}"))
    return {key: (bone, tuple(Channel(*channel) for channel in channels)) for key, (bone, channels) in kept.items()}


def rig_of(head: bpy.types.Object) -> bpy.types.Object | None:
    """The armature object that moves a head's mesh, None for a head without one."""
    objects = (modifier.object for modifier in head.modifiers if modifier.type == "ARMATURE")
    return next((obj for obj in objects if obj is not None and tags.RIG in obj), None)


def keys_of(rig: bpy.types.Object, what: str) -> list[str]:
    """Keys that belong to the jaw (``JAW_LED``) or the eyes (``EYES_LED``)."""
    return [key for key, (bone, _) in motions_of(rig).items() if bone in BONES_OF[what]]


def bones_lead(head: bpy.types.Object, rig: bpy.types.Object, what: str) -> bool:
    """Whether the bones drive the keys of ``what``."""
    return bool(led_keys(head, rig) & set(keys_of(rig, what)))


def led_keys(head: bpy.types.Object, rig: bpy.types.Object | None = None) -> frozenset[str]:
    """The head's keys that its bones drive."""
    rig = rig or rig_of(head)
    keys = head.data.shape_keys
    if rig is None or keys is None or keys.animation_data is None:
        return frozenset()
    return frozenset(
        curve.data_path.split('"')[1]
        for curve in keys.animation_data.drivers
        if any(v.type == "TRANSFORMS" and v.targets[0].id == rig for v in curve.driver.variables)
    )


def set_lead(head: bpy.types.Object, rig: bpy.types.Object, what: str, by_bones: bool) -> None:
    """Let the bones lead ``what``, or the keys; the face stays as it is. Drivers of the artist's own are replaced."""
    keys = head.data.shape_keys
    motions = {key: motion for key, motion in motions_of(rig).items() if motion[0] in BONES_OF[what]}
    values = {key: keys.key_blocks[key].value for key in motions if key in keys.key_blocks}
    _unlink(head, rig, what, motions)
    if what == EYES_LED:
        rig[EYE_AIM] = 0.0
        switch_aim(rig, by_bones)
    if by_bones:
        for key in values:
            _drive_key(keys, key, rig, *motions[key])
        pose(head, rig, values)
    else:
        for key, value in values.items():
            keys.key_blocks[key].value = value
        _drive_bones(rig, keys, {key: motion for key, motion in motions.items() if key in values})
    rig.update_tag()
    head.data.update_tag()


def unlink(head: bpy.types.Object, rig: bpy.types.Object) -> None:
    """Take all drivers between keys and bones away; keys keep their values."""
    keys, motions = head.data.shape_keys, motions_of(rig)
    values = {key: keys.key_blocks[key].value for key in motions if keys and key in keys.key_blocks}
    for what in (JAW_LED, EYES_LED):
        _unlink(head, rig, what, {k: m for k, m in motions.items() if m[0] in BONES_OF[what]})
    for key, value in values.items():
        keys.key_blocks[key].value = value


def set_keys(head: bpy.types.Object, weights: Mapping[str, float]) -> None:
    """Give keys of the head these weights, by themselves or by the pose of the bones that lead them. Others keep
    theirs, and a bone of which no key changes stays as it is posed, be it by a constraint."""
    keys, rig = head.data.shape_keys, rig_of(head)
    led = led_keys(head, rig)
    for name in weights.keys() - led:
        if name in keys.key_blocks:
            keys.key_blocks[name].value = weights[name]
    changed = {key for key in led & weights.keys() if abs(keys.key_blocks[key].value - weights[key]) > _SAME_WEIGHT}
    if not changed:
        return
    motions = motions_of(rig)
    bones = {motions[key][0] for key in changed}
    moved = {key: keys.key_blocks[key].value for key in led if motions[key][0] in bones}
    pose(head, rig, {**moved, **{key: weights[key] for key in moved.keys() & weights.keys()}})


def pose(head: bpy.types.Object, rig: bpy.types.Object, weights: Mapping[str, float]) -> None:
    """Pose the bones that lead so that their keys get these weights, those left out 0; keys that no bones lead are left
    out. Eyes that looked at the target do not any more."""
    motions, led = motions_of(rig), led_keys(head, rig)
    wanted = {key: weight for key, weight in weights.items() if key in led}
    if any(motions[key][0] in EYES for key in wanted):
        rig[EYE_AIM] = 0.0
    sums: dict[tuple[str, str], list[float]] = {}
    for key, weight in wanted.items():
        bone, (channel, *_) = motions[key]
        sums.setdefault((bone, channel.path), [0.0] * 3)[channel.axis] += weight * channel.amount
    for (bone, path), values in sums.items():
        setattr(rig.pose.bones[bone], path, values)
    rig.update_tag()


def keyframe(head: bpy.types.Object) -> int:
    """A keyframe at the current frame for every bone that leads a key, with the eyes' aim and their target where they
    look at it; returns how many bones got one."""
    rig = rig_of(head)
    led = led_keys(head, rig)
    paths: dict[str, set[str]] = {}
    for key in led:
        bone, channels = motions_of(rig)[key]
        paths.setdefault(bone, set()).add(channels[0].path)
    if paths.keys() & set(EYES):
        rig.keyframe_insert(f'["{EYE_AIM}"]')
        if rig[EYE_AIM] > 0.0:
            paths[EYE_TARGET] = {"location"}
    for bone, of_bone in paths.items():
        for path in sorted(of_bone):
            rig.pose.bones[bone].keyframe_insert(path)
    return len(paths)


def reset_pose(head: bpy.types.Object, rig: bpy.types.Object) -> None:
    """Put every bone to rest and the aim to 0; keys that lead keep their values."""
    for bone in rig.pose.bones:
        bone.location, bone.scale = (0.0,) * 3, (1.0,) * 3
        bone.rotation_euler, bone.rotation_quaternion = (0.0,) * 3, (1.0, 0.0, 0.0, 0.0)
    rig[EYE_AIM] = 0.0
    rig.update_tag()
    head.data.update_tag()


def _unlink(head: bpy.types.Object, rig: bpy.types.Object, what: str, motions: Mapping[str, object]) -> None:
    keys = head.data.shape_keys
    for item, paths in (
        (keys, {f'key_blocks["{key}"].value' for key in motions}),
        (rig, {f'pose.bones["{b}"].{path}' for b in BONES_OF[what] for path in ("rotation_euler", "location")}),
    ):
        data = item.animation_data if item is not None else None
        for curve in list(data.drivers) if data is not None else ():
            if curve.data_path in paths:
                data.drivers.remove(curve)


def _drive_key(keys: bpy.types.Key, key: str, rig: bpy.types.Object, bone: str, channels: tuple[Channel, ...]) -> None:
    """``key`` follows its bone in the direction in which the key moves it most."""
    driver = keys.key_blocks[key].driver_add("value").driver
    turns = channels[0].path == "rotation_euler"
    variable = driver.variables.new()
    variable.name, variable.type = "turn" if turns else "shift", "TRANSFORMS"
    target = variable.targets[0]
    target.id, target.bone_target, target.transform_space = rig, bone, "LOCAL_SPACE"
    target.transform_type = ("ROT_" if turns else "LOC_") + "XYZ"[channels[0].axis]
    if turns and bone in EYES:  # where the eye looks, up and across, whatever way a constraint got it there
        target.rotation_mode = "SWING_TWIST_Y"
    driver.expression = f"clamp({variable.name} / {_amount(channels[0])})"


def _drive_bones(
    rig: bpy.types.Object, keys: bpy.types.Key, motions: Mapping[str, tuple[str, tuple[Channel, ...]]]
) -> None:
    """Bones follow their keys in all directions."""
    found: dict[tuple[str, str, int], list[tuple[str, Channel]]] = {}
    for key, (bone, channels) in motions.items():
        for channel in channels:
            found.setdefault((bone, channel.path, channel.axis), []).append((key, channel))
    for (bone, path, axis), moves in found.items():
        driver = rig.pose.bones[bone].driver_add(path, axis).driver
        for key, _ in moves:
            variable = driver.variables.new()
            variable.name, variable.type = key, "SINGLE_PROP"
            variable.targets[0].id_type = "KEY"
            variable.targets[0].id, variable.targets[0].data_path = keys, f'key_blocks["{key}"].value'
        driver.expression = " + ".join(f"{key} * {_amount(channel)}" for key, channel in moves)


def _amount(channel: Channel) -> str:
    """Metres, or degrees as radians, as one reads them in the driver editor."""
    if channel.path == "location":
        return f"{channel.amount:.5f}"
    return f"radians({np.degrees(channel.amount):.3f})"
