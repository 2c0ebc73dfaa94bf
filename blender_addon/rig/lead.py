"""Choose who leads, keys or bones: drivers go in one direction at a time, so that nothing moves twice.

While **keys** lead (the default), sliders, actions and expressions set the head's keys, and drivers rotate the bones.
While **bones** lead, posing and animating ``jaw`` or the eyes drives the keys. In both cases the keys deform the mesh.
All drivers are sums or simple expressions, so they work even if a file's scripts are blocked.
"""

import json
from collections.abc import Mapping

import bpy
import numpy as np

from ..objects import tags
from ..objects.actions import read_key
from .bones import BONES_BY_PART, EYE_AIM, EYE_TARGET, EYES, EYES_LED, JAW_LED, Channel, RigPlaces, switch_aim

MOTIONS = "likeness_motions"
"""On the armature object, JSON: key -> bone and channels (a motion), as measured by ``rig_places``; see ``Channel``."""
_SAME_WEIGHT = 1e-4
"""Weight of a key, 0-1: driver amounts are rounded to this, and a bone is posed anew only for larger changes."""


def remember(rig: bpy.types.Object, places: RigPlaces) -> None:
    """Store the motions in the file."""
    motions = {
        key: [bone, [[channel.path, channel.axis, channel.amount] for channel in channels]]
        for key, (bone, channels) in places.motions.items()
    }
    rig[MOTIONS] = json.dumps(motions)


def motions_of(rig: bpy.types.Object, what: str = "") -> dict[str, tuple[str, tuple[Channel, ...]]]:
    """Key -> (bone, channels), as in ``RigPlaces``; of the jaw (``JAW_LED``) or the eyes (``EYES_LED``) alone."""
    motions = json.loads(rig.get(MOTIONS, "{}"))
    wanted = {key: motion for key, motion in motions.items() if not what or motion[0] in BONES_BY_PART[what]}
    return {key: (bone, tuple(Channel(*channel) for channel in channels)) for key, (bone, channels) in wanted.items()}


def rig_of(head: bpy.types.Object) -> bpy.types.Object | None:
    """The armature object of a head's mesh, None for a head without one."""
    objects = (modifier.object for modifier in head.modifiers if modifier.type == "ARMATURE")
    return next((obj for obj in objects if obj is not None and tags.RIG in obj), None)


def bones_drive_keys(head: bpy.types.Object, rig: bpy.types.Object, what: str) -> bool:
    """Whether the bones drive the keys of ``what``."""
    return bool(led_keys(head, rig) & motions_of(rig, what).keys())


def led_keys(head: bpy.types.Object, rig: bpy.types.Object | None = None) -> frozenset[str]:
    """The head's keys that bones drive."""
    rig = rig or rig_of(head)
    keys = head.data.shape_keys
    if rig is None or keys is None or keys.animation_data is None:
        return frozenset()
    driven = (
        curve.data_path.split('"')[1]
        for curve in keys.animation_data.drivers
        if any(v.type == "TRANSFORMS" and v.targets[0].id == rig for v in curve.driver.variables)
    )
    return frozenset(motions_of(rig).keys() & driven)  # not those with an artist's own driver


def set_lead(head: bpy.types.Object, rig: bpy.types.Object, what: str, by_bones: bool) -> None:
    """Make bones or keys lead ``what`` (``JAW_LED`` or ``EYES_LED``); the face stays as it is. Artists' drivers go."""
    keys = head.data.shape_keys
    motions = motions_of(rig, what)
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
        _drive_bones(rig, head.data, {key: motion for key, motion in motions.items() if key in values})
    rig.update_tag()
    head.data.update_tag()


def unlink(head: bpy.types.Object, rig: bpy.types.Object) -> None:
    """Remove all drivers between keys and bones; keys keep their values."""
    keys, motions = head.data.shape_keys, motions_of(rig)
    values = {key: keys.key_blocks[key].value for key in motions if keys and key in keys.key_blocks}
    for what in (JAW_LED, EYES_LED):
        _unlink(head, rig, what, motions_of(rig, what))
    for key, value in values.items():
        keys.key_blocks[key].value = value


def set_keys(head: bpy.types.Object, weights: Mapping[str, float]) -> None:
    """Set keys of the head to these weights, directly or by posing the bones that lead them. Other keys stay, and a
    bone whose keys do not change keeps its pose, even one from a constraint."""
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
    """Pose the leading bones so that their keys get these weights (0 if missing); keys without a leading bone are
    ignored. The eyes' aim at the target is switched off."""
    for (bone, path), values in bone_channels(head, rig, weights).items():
        setattr(rig.pose.bones[bone], path, values)
    rig.update_tag()


def bone_channels(
    head: bpy.types.Object, rig: bpy.types.Object, weights: Mapping[str, float | np.ndarray]
) -> dict[tuple[str, str], np.ndarray]:
    """(3,), or (3, F) for weights (F,), for each (bone, path) that ``pose`` sets; also switches the eyes' aim off."""
    motions, led = motions_of(rig), led_keys(head, rig)
    wanted = {key: np.asarray(weight, float) for key, weight in weights.items() if key in led}
    if any(motions[key][0] in EYES for key in wanted):
        rig[EYE_AIM] = 0.0
    sums: dict[tuple[str, str], np.ndarray] = {}
    for key, weight in wanted.items():
        bone, (channel, *_) = motions[key]
        sums.setdefault((bone, channel.path), np.zeros((3, *weight.shape)))[channel.axis] += weight * channel.amount
    return sums


def keyframe(head: bpy.types.Object) -> int:
    """Insert a keyframe at the current frame for every bone that leads a key, and for the eyes' aim and target if they
    follow it; return the number of bones."""
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
    """Reset every bone to rest and the aim to 0; keys that lead keep their values."""
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
        (rig, {f'pose.bones["{b}"].{path}' for b in BONES_BY_PART[what] for path in ("rotation_euler", "location")}),
    ):
        data = item.animation_data if item is not None else None
        for curve in list(data.drivers) if data is not None else ():
            if curve.data_path in paths:
                data.drivers.remove(curve)


def _drive_key(keys: bpy.types.Key, key: str, rig: bpy.types.Object, bone: str, channels: tuple[Channel, ...]) -> None:
    """Drive ``key`` by its bone, along the channel in which the key moves the bone most."""
    driver = keys.key_blocks[key].driver_add("value").driver
    turns = channels[0].path == "rotation_euler"
    variable = driver.variables.new()
    variable.name, variable.type = "turn" if turns else "shift", "TRANSFORMS"
    target = variable.targets[0]
    target.id, target.bone_target, target.transform_space = rig, bone, "LOCAL_SPACE"
    target.transform_type = ("ROT_" if turns else "LOC_") + "XYZ"[channels[0].axis]
    if turns and bone in EYES:  # use the final look direction, whichever constraint produced it
        target.rotation_mode = "SWING_TWIST_Y"
    driver.expression = f"clamp({variable.name} / {_amount(channels[0])})"


def _drive_bones(
    rig: bpy.types.Object, mesh: bpy.types.Mesh, motions: Mapping[str, tuple[str, tuple[Channel, ...]]]
) -> None:
    """Drive bones by their keys along all channels."""
    drivers: dict[tuple[str, str, int], list[tuple[str, Channel]]] = {}
    for key, (bone, channels) in motions.items():
        for channel in channels:
            drivers.setdefault((bone, channel.path, channel.axis), []).append((key, channel))
    for (bone, path, axis), moves in drivers.items():
        driver = rig.pose.bones[bone].driver_add(path, axis).driver
        for key, _ in moves:
            read_key(driver, key, mesh, key)
        driver.expression = " + ".join(f"{key} * {_amount(channel)}" for key, channel in moves)


def _amount(channel: Channel) -> str:
    """Format an amount for the driver editor: metres, or radians from degrees."""
    if channel.path == "location":
        return f"{channel.amount:.5f}"
    return f"radians({np.degrees(channel.amount):.3f})"
