"""Sample a head's keys and bones over the scene's frames as played, from actions, strips and drivers alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import bpy
import numpy as np

STATIC_KEY_CHANGE = 1e-5
"""A key that changes by less than this over all frames counts as not animated."""


def may_move(parts: Sequence[bpy.types.Object]) -> bool:
    """Whether a key of these objects (head first) may be animated: by an action, a strip, or a driver of the head's
    keys, from a leading bone or the artist's own."""
    for obj in parts:
        data = obj.data.shape_keys.animation_data if obj.data.shape_keys else None
        if data is None:
            continue
        if data.action is not None or any(track.strips for track in data.nla_tracks):
            return True
        if obj == parts[0] and len(data.drivers):
            return True
    return False


@dataclass(frozen=True)
class FrameAnimation:
    """Animation over the F frames of the scene's frame range.

    Attributes
    ----------
    keys : object -> key -> (F,) values, for keys that change.
    bones : bone -> (F, 4, 4) transform of vertices from rest, in the armature's frame, for all bones; empty for a head
        without an armature.
    """

    keys: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    bones: Mapping[str, np.ndarray] = field(default_factory=dict)


def bones_may_move(rig: bpy.types.Object | None) -> bool:
    """Whether a bone may be animated by something other than keys: an action, a strip, or a constraint to another
    object."""
    if rig is None:
        return False
    data = rig.animation_data
    if data is not None and (data.action is not None or any(track.strips for track in data.nla_tracks)):
        return True
    targets = (getattr(c, "target", None) for bone in rig.pose.bones for c in bone.constraints)
    return any(target not in (None, rig) for target in targets)


def sampled(
    scene: bpy.types.Scene, parts: Sequence[bpy.types.Object], rig: bpy.types.Object | None = None
) -> FrameAnimation:
    """Sample keys and bones; the scene's current frame is restored."""
    frames = range(scene.frame_start, scene.frame_end + 1)
    rests = {} if rig is None else {bone.name: np.array(bone.matrix_local.inverted()) for bone in rig.data.bones}
    bones = {name: np.zeros((len(frames), 4, 4)) for name in rests}
    keyed = [obj for obj in parts if obj.data.shape_keys]
    values = {obj.name: np.zeros((len(frames), len(obj.data.shape_keys.key_blocks)), np.float32) for obj in keyed}
    before = scene.frame_current, scene.frame_subframe
    drawn = [(modifier, modifier.show_viewport) for obj in scene.objects for modifier in obj.modifiers]
    try:
        for modifier, _ in drawn:  # keys do not depend on these modifiers, which take most of a frame's time
            modifier.show_viewport = False
        for row, frame in enumerate(frames):
            scene.frame_set(frame)
            graph = bpy.context.evaluated_depsgraph_get()
            for obj in keyed:
                blocks = obj.evaluated_get(graph).data.shape_keys.key_blocks
                blocks.foreach_get("value", values[obj.name][row])
            for name, rest in rests.items():
                bones[name][row] = np.array(rig.evaluated_get(graph).pose.bones[name].matrix) @ rest
    finally:
        for modifier, shown in drawn:
            modifier.show_viewport = shown
        scene.frame_set(before[0], subframe=before[1])
    keys = {
        obj.name: {
            block.name: values[obj.name][:, column]
            for column, block in enumerate(obj.data.shape_keys.key_blocks)
            if column and np.ptp(values[obj.name][:, column]) > STATIC_KEY_CHANGE
        }
        for obj in keyed
    }
    return FrameAnimation(keys, bones)


def key_in(obj: bpy.types.Object, curves: Mapping[str, np.ndarray], first: int) -> None:
    """Insert keyframes for an object's keys at every frame from ``first`` on."""
    blocks = obj.data.shape_keys.key_blocks if obj.data.shape_keys else {}
    for name, values in curves.items():
        if name not in blocks:
            continue
        for frame, value in enumerate(values, first):
            blocks[name].value = float(value)
            blocks[name].keyframe_insert("value", frame=frame)
        blocks[name].value = 0.0
