"""Copy values and animation of shape keys from one rig to another; driven keys are left alone.

Apply head rotations to a bone or an object: as a pose at one frame, or as keyframes.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import bpy
import numpy as np
from mathutils import Matrix, Quaternion

from ..errors import AddonError
from ..rig.lead import led_keys, set_keys
from ..scene.expressions import locked_keys
from ..scene.meshes import BLENDER_FROM_HEAD
from .actions import (
    Curve,
    animated_keys,
    driven_keys,
    driven_paths,
    fcurves_of,
    fcurves_to_write,
    key_path,
    linear_curve,
    read_curve,
    write_curve,
)
from .names import KeyLink, apply_links

CUT = 1e-3
"""A value beyond a slider's range by less is rounding."""


@dataclass(frozen=True)
class Outcome:
    """Result for one target: how many keys were set, which were left alone because drivers set them, and which got
    values that were cut to the ranges of their sliders."""

    target: str
    written: int
    driven: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()

    @property
    def warning(self) -> str:
        """A sentence a line for each thing to report, else ""."""
        if not self.written and not self.driven:
            return f"No key of {self.target} fits a key of the source."
        said = (
            (f"Left alone on {self.target}, since drivers set them", self.driven),
            (f"Cut on {self.target} to the ranges of the sliders", self.cut),
        )
        return "\n".join(f"{what}: {', '.join(n[:3])}{', …' if len(n) > 3 else ''}." for what, n in said if n)


def key_names(obj: bpy.types.Object) -> tuple[str, ...]:
    """Names of a mesh's shape keys without the reference key; empty if it has none."""
    keys = getattr(obj.data, "shape_keys", None)
    return () if keys is None else tuple(block.name for block in keys.key_blocks if block != keys.reference_key)


def shape_keys(obj: bpy.types.Object) -> bpy.types.Key:
    """A mesh's shape keys. Raises ``AddonError`` ``no_keys``, or ``linked`` if they are not editable."""
    keys = getattr(obj.data, "shape_keys", None)
    if keys is None or len(keys.key_blocks) < 2:
        raise AddonError(f"{obj.name} has no shape keys.", "Use Make ARKit Keys on it first.", "no_keys")
    return keys


def _editable(obj: bpy.types.Object) -> bpy.types.Key:
    keys = shape_keys(obj)
    if keys.library is not None:
        raise AddonError(
            f"The shape keys of {obj.name} are linked from another file.",
            "Make its mesh local, or override that, too.",
            "linked",
        )
    return keys


def set_values(target: bpy.types.Object, values: Mapping[str, float], frame: float) -> Outcome:
    """Set keys of ``target``, clamped to their slider ranges; animated keys get a keyframe at ``frame``, and bones that
    lead keys are posed. Locked keys stay."""
    keys = _editable(target)
    values = {name: value for name, value in values.items() if name not in locked_keys(keys)}
    led = {name: float(np.clip(values[name], 0.0, 1.0)) for name in led_keys(target) & set(values)}
    cut = {name for name, value in led.items() if abs(values[name] - value) > CUT}
    set_keys(target, led)
    driven = driven_keys(keys) & set(values) - set(led)
    animated = dict(animated_keys(keys))
    written = len(led)
    for name, value in values.items():
        block = keys.key_blocks.get(name)
        if block is None or name in driven or name in led:
            continue
        block.value = float(np.clip(value, block.slider_min, block.slider_max))
        if abs(block.value - value) > CUT:
            cut.add(name)
        written += 1
        if name in animated:
            animated[name].keyframe_points.insert(frame, block.value)
    target.data.update_tag()
    return Outcome(target.name, written, tuple(sorted(driven)), tuple(sorted(cut)))


def copy_expression(
    source: bpy.types.Object, target: bpy.types.Object, links: Iterable[KeyLink], frame: float
) -> Outcome:
    """Copy the current expression of ``source`` to ``target``."""
    blocks = shape_keys(source).key_blocks
    shown = {name: np.array(0.0 if blocks[name].mute else blocks[name].value) for name in key_names(source)}
    return set_values(target, {name: float(v) for name, v in apply_links(links, shown).items()}, frame)


def copy_action(source: bpy.types.Object, target: bpy.types.Object, links: Sequence[KeyLink]) -> Outcome:
    """Copy the animation of ``source``'s keys to ``target``, with keyframes and handles.

    A key linked to one animated key gets the same keyframes; with several, it gets keyframes at all of theirs. Keys
    that are constant on the source are set. Raises ``AddonError`` ``no_action`` if nothing is animated.
    """
    from_keys, keys = shape_keys(source), _editable(target)
    curves = {name: fcurve for name, fcurve in animated_keys(from_keys) if not fcurve.mute}
    if not curves:
        raise AddonError(
            f"No shape key of {source.name} has keyframes.", "Transfer the expression instead.", "no_action"
        )
    by_target: dict[str, list[KeyLink]] = defaultdict(list)
    for link in links:
        if link.source in from_keys.key_blocks and link.target in keys.key_blocks:
            by_target[link.target].append(link)
    driven = driven_keys(keys) & set(by_target)
    still, moving = {}, {}
    for name, leading in by_target.items():
        if name in driven:
            continue
        if any(link.source in curves for link in leading):
            moving[name] = _linked_curve(leading, curves, from_keys)
        else:
            values = {link.source: np.array(from_keys.key_blocks[link.source].value) for link in leading}
            still[name] = float(apply_links(leading, values)[name])
    cut = write_curves(target, moving) if moving else frozenset()
    frame = min(curve.points[0, 0] for curve in moving.values()) if moving else 0.0
    cut |= set(set_values(target, still, float(frame)).cut)
    return Outcome(target.name, len(moving) + len(still), tuple(sorted(driven)), tuple(sorted(cut)))


def write_curves(target: bpy.types.Object, curves: Mapping[str, Curve]) -> frozenset[str]:
    """Write curves into the action of the target's keys (created if missing), clamped to their slider ranges; return
    the keys with keyframes that were cut."""
    keys = _editable(target)
    fcurves = fcurves_to_write(keys, f"{target.name} expression")
    cut = set()
    for name, curve in curves.items():
        block = keys.key_blocks[name]
        held = _clamped(curve, 1.0, block.slider_min, block.slider_max)
        write_curve(fcurves, key_path(name), held)
        if np.abs(held.points - curve.points).max() > CUT:
            cut.add(name)
    return frozenset(cut)


def _linked_curve(leading: Sequence[KeyLink], curves: Mapping[str, bpy.types.FCurve], keys: bpy.types.Key) -> Curve:
    if len(leading) == 1:
        link = leading[0]
        return _clamped(read_curve(curves[link.source]), link.weight, link.lowest, link.highest)
    frames = np.unique(
        np.concatenate([read_curve(curves[link.source]).points[:, 0] for link in leading if link.source in curves])
    )
    values = {}
    for link in leading:
        if link.source in curves:
            evaluate = curves[link.source].evaluate
            values[link.source] = np.array([evaluate(frame) for frame in frames])
        else:
            values[link.source] = np.full(len(frames), keys.key_blocks[link.source].value)
    return linear_curve(frames, apply_links(leading, values)[leading[0].target])


def _clamped(curve: Curve, weight: float, lowest: float, highest: float) -> Curve:
    """The curve's values times ``weight``, clamped to the limits."""
    fields = {}
    for field in ("points", "left", "right"):
        pairs = getattr(curve, field).copy()
        pairs[:, 1] = np.clip(pairs[:, 1] * weight, lowest, highest)
        fields[field] = pairs
    return replace(curve, **fields)


def has_animation(obj: bpy.types.Object) -> bool:
    """Whether an action animates any of the object's shape keys."""
    keys = getattr(obj.data, "shape_keys", None)
    return keys is not None and len(fcurves_of(keys)) > 0 and any(True for _ in animated_keys(keys))


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
    pose_bone = owner.pose.bones.get(bone) if owner.pose is not None else None
    if pose_bone is None:
        raise AddonError(f"{owner.name} has no bone {bone}.", "Choose the bone of the head again.", "no_bone")
    return pose_bone


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
