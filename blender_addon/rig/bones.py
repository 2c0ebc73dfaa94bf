"""The armature object: create or move bones without changing the artist's mode or selection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy

from .names import DEFORMING, EYE_AIM, EYE_TARGET, EYES, JAW, PARENTS
from .places import RigPlaces, bone_axes

NAME = "rig"
_AIM, _LIMIT_TURN, _LIMIT_SHIFT = "Eye Aim", "As Far as the Keys (Turn)", "As Far as the Keys (Shift)"


def new_armature() -> bpy.types.Object:
    """An empty armature object, drawn in front and as sticks; linked to nothing yet."""
    rig = bpy.data.objects.new(NAME, bpy.data.armatures.new(NAME))
    rig.show_in_front, rig.data.display_type = True, "STICK"
    rig[EYE_AIM] = 0.0
    rig.id_properties_ui(EYE_AIM).update(
        min=0.0, max=1.0, soft_min=0.0, soft_max=1.0, description="How far the eyes look at the bone eye_target"
    )
    return rig


def place_bones(rig: bpy.types.Object, places: RigPlaces) -> None:
    """Create the bones of ``places`` or move them there; the artist's own bones stay."""
    with edit_mode(rig):
        bones = rig.data.edit_bones
        for name, parent in PARENTS.items():
            bone = bones.get(name)
            if bone is None:
                bone = bones.new(name)
                bone.parent = bones.get(parent) if parent else None
                bone.use_deform = name in DEFORMING
            head, tail = places.bones[name]
            bone.head, bone.tail = head.tolist(), tail.tolist()
            bone.align_roll(bone_axes(head, tail)[:, 2].tolist())


def set_up_pose(rig: bpy.types.Object, places: RigPlaces) -> None:
    """Set Euler rotation, locks, the aim constraint of the eyes, and limits at the range of the keys; updates existing
    ones."""
    for name in PARENTS:
        bone = rig.pose.bones[name]
        bone.rotation_mode = "XYZ"
        bone.lock_scale = (True, True, True)
        if name not in ("root", EYE_TARGET):
            bone.lock_location = (True, True, True)
    for name in (JAW, *EYES):
        bone = rig.pose.bones[name]
        if name in EYES:
            _aim(rig, bone)
        _limit(bone, places)


def _aim(rig: bpy.types.Object, bone: bpy.types.PoseBone) -> None:
    if _AIM in bone.constraints:
        return
    aim = bone.constraints.new("DAMPED_TRACK")
    aim.name, aim.target, aim.subtarget, aim.track_axis = _AIM, rig, EYE_TARGET, "TRACK_Y"
    driver = aim.driver_add("influence").driver
    driver.type = "SUM"
    variable = driver.variables.new()
    variable.name, variable.type = EYE_AIM, "SINGLE_PROP"
    variable.targets[0].id, variable.targets[0].data_path = rig, f'["{EYE_AIM}"]'


def switch_aim(rig: bpy.types.Object, on: bool) -> None:
    """Enable or disable the aim constraint of the eyes; it is disabled while keys lead them."""
    for name in EYES:
        constraint = rig.pose.bones[name].constraints.get(_AIM)
        if constraint is not None:
            constraint.mute = not on


def _limit(bone: bpy.types.PoseBone, places: RigPlaces) -> None:
    """Limit a bone's rotation and location to the range and directions of its keys."""
    sums: dict[tuple[str, int], list[float]] = {}
    for name, channels in places.motions.values():
        for channel in channels if name == bone.name else ():
            ends = sums.setdefault((channel.path, channel.axis), [0.0, 0.0])
            ends[channel.amount > 0] += channel.amount
    turned = [axis for path, axis in sums if path == "rotation_euler"]
    shifted = [axis for path, axis in sums if path == "location"]
    bone.lock_rotation = [axis not in turned for axis in range(3)]
    bone.lock_location = [axis not in shifted for axis in range(3)]
    for kind, name, path, axes in (
        ("LIMIT_ROTATION", _LIMIT_TURN, "rotation_euler", turned),
        ("LIMIT_LOCATION", _LIMIT_SHIFT, "location", shifted),
    ):
        limit = bone.constraints.get(name)
        if not axes:
            continue
        if limit is None:
            limit = bone.constraints.new(kind)
            limit.name, limit.owner_space, limit.use_transform_limit = name, "LOCAL", True
        for axis, letter in enumerate("xyz"):
            low, high = sums.get((path, axis), (0.0, 0.0))
            if kind == "LIMIT_ROTATION":
                setattr(limit, f"use_limit_{letter}", axis in axes)
            else:
                setattr(limit, f"use_min_{letter}", axis in axes)
                setattr(limit, f"use_max_{letter}", axis in axes)
            setattr(limit, f"min_{letter}", low)
            setattr(limit, f"max_{letter}", high)


@contextmanager
def edit_mode(rig: bpy.types.Object) -> Iterator[None]:
    """Enter Edit Mode of ``rig`` in a temporary scene: edit bones exist only in that mode, and the artist's mode,
    selection and active object must not change."""
    scene = bpy.data.scenes.new("likeness rig")
    try:
        scene.collection.objects.link(rig)
        layer = scene.view_layers[0]
        layer.objects.active = rig
        with bpy.context.temp_override(scene=scene, view_layer=layer, object=rig, active_object=rig):
            bpy.ops.object.mode_set(mode="EDIT")
            try:
                yield
            finally:
                bpy.ops.object.mode_set(mode="OBJECT")
    finally:
        bpy.data.scenes.remove(scene)
