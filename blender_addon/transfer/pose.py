"""Apply head rotations to a bone or an object: as a pose at one frame, or as keyframes."""

from __future__ import annotations

import itertools

import bpy
import numpy as np
from mathutils import Matrix, Quaternion

from ..errors import AddonError
from ..scene.frames import BLENDER_FROM_HEAD
from .actions import driven_paths, fcurves_to_write, linear_curve, write_curve


def in_blender(rotation: np.ndarray) -> np.ndarray:
    """Convert rotations (F, 3, 3) from the head frame to Blender's world, in which the face looks along -y."""
    axes = BLENDER_FROM_HEAD[:3, :3]
    return axes @ rotation @ axes.T


def sampled_turns(owner: bpy.types.Object, bone: str, frames: np.ndarray) -> np.ndarray:
    """(F, 3, 3) world rotations of an object or bone, relative to its rest pose (for objects: no rotation).

    Steps the scene through ``frames`` and restores the current frame.
    """
    scene = bpy.context.scene
    before, before_part = scene.frame_current, scene.frame_subframe
    turns = []
    try:
        for frame in frames:
            scene.frame_set(int(np.floor(frame)), subframe=float(frame - np.floor(frame)))
            turns.append(np.array(_turn_now(owner, bone)))
    finally:
        scene.frame_set(before, subframe=before_part)
    return np.array(turns)


def _turn_now(owner: bpy.types.Object, bone: str) -> Matrix:
    if not bone:
        return owner.matrix_world.to_quaternion().to_matrix()
    rest = (owner.matrix_world @ _bone(owner, bone).bone.matrix_local).to_quaternion().to_matrix()
    return (owner.matrix_world @ _bone(owner, bone).matrix).to_quaternion().to_matrix() @ rest.transposed()


def _bone(owner: bpy.types.Object, bone: str) -> bpy.types.PoseBone:
    found = owner.pose.bones.get(bone) if owner.pose is not None else None
    if found is None:
        raise AddonError(f"{owner.name} has no bone {bone}.", "Choose the bone of the head again.", "no_bone")
    return found


def apply_turns(owner: bpy.types.Object, bone: str, frames: np.ndarray, turns: np.ndarray, animate: bool) -> str:
    """Rotate a bone or an object by world rotations (F, 3, 3) relative to its rest pose.

    ``animate`` writes keyframes at ``frames`` (F,), else the first rotation is set. Returns a warning, or "". A
    rotation with drivers is left alone.
    """
    item = _bone(owner, bone) if bone else owner
    prefix = f'pose.bones["{bpy.utils.escape_identifier(bone)}"].' if bone else ""
    mode = item.rotation_mode
    path = (
        "rotation_quaternion"
        if mode == "QUATERNION"
        else "rotation_axis_angle"
        if mode == "AXIS_ANGLE"
        else "rotation_euler"
    )
    if prefix + path in driven_paths(owner):
        return f"The rotation of {bone or owner.name} was left alone, since drivers set it."
    values = _channels(_local(owner, bone, turns), mode)
    if animate:
        fcurves = fcurves_to_write(owner, f"{owner.name} head")
        for index, column in enumerate(values.T):
            write_curve(fcurves, prefix + path, linear_curve(frames, column), index)
    setattr(item, path, values[0])
    return ""


def _local(owner: bpy.types.Object, bone: str, turns: np.ndarray) -> list[Quaternion]:
    """Convert world rotations to the space of the bone's or object's own rotation property."""
    if bone:
        rest = (owner.matrix_world @ _bone(owner, bone).bone.matrix_local).to_quaternion()
    else:
        parent = owner.parent.matrix_world.to_quaternion() if owner.parent else Quaternion()
        rest = parent @ owner.matrix_parent_inverse.to_quaternion()
    inverse = rest.inverted()
    local = [inverse @ Matrix(turn.tolist()).to_quaternion() @ rest for turn in turns]
    for before, after in itertools.pairwise(local):
        after.make_compatible(before)
    return local


def _channels(turns: list[Quaternion], mode: str) -> np.ndarray:
    if mode == "QUATERNION":
        return np.array([turn[:] for turn in turns])
    if mode == "AXIS_ANGLE":
        return np.array([(turn.angle, *turn.axis) for turn in turns])
    eulers = [turns[0].to_euler(mode)]
    for turn in turns[1:]:
        eulers.append(turn.to_euler(mode, eulers[-1]))
    return np.array([euler[:] for euler in eulers])
