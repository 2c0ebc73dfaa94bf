"""Access to F-curves of shape keys and poses, in layered actions (Blender 4.4 on) and in earlier plain ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import bpy
import numpy as np

_KEY_PATH = ('key_blocks["', '"].value')


@dataclass(frozen=True)
class Curve:
    """Keyframes of one animated value.

    points : (N, 2) frame and value.
    left, right : (N, 2) Bézier handles.
    interpolation : (N,) Blender's enum numbers.
    """

    points: np.ndarray
    left: np.ndarray
    right: np.ndarray
    interpolation: np.ndarray


def key_path(name: str) -> str:
    """Data path of the value of the shape key ``name``, relative to the ``Key`` data-block."""
    return f"{_KEY_PATH[0]}{bpy.utils.escape_identifier(name)}{_KEY_PATH[1]}"


def key_of_path(path: str) -> str | None:
    """The shape key whose value ``path`` is; None if it is something else."""
    if path.startswith(_KEY_PATH[0]) and path.endswith(_KEY_PATH[1]):
        return bpy.utils.unescape_identifier(path[len(_KEY_PATH[0]) : -len(_KEY_PATH[1])])
    return None


def fcurves_of(item: bpy.types.ID) -> bpy.types.bpy_prop_collection | list:
    """The F-curves of the action assigned to ``item`` (an ID), empty without one."""
    data = item.animation_data
    if data is None or data.action is None:
        return []
    if not hasattr(data, "action_slot"):
        return data.action.fcurves
    if data.action_slot is None:
        return []
    bag = _channelbag(data.action, data.action_slot, ensure=False)
    return [] if bag is None else bag.fcurves


def fcurves_to_write(item: bpy.types.ID, action_name: str) -> bpy.types.bpy_prop_collection:
    """As ``fcurves_of``, but create a missing action, slot and channel bag. A shared action is copied first."""
    data = item.animation_data or item.animation_data_create()
    if data.action is not None and (
        data.action.library is not None or data.action.users > 1 + data.action.use_fake_user
    ):
        slot = data.action_slot.identifier if getattr(data, "action_slot", None) is not None else None
        data.action = data.action.copy()
        if slot is not None:
            data.action_slot = data.action.slots[slot]
    if data.action is None:
        data.action = bpy.data.actions.new(action_name)
    if not hasattr(data, "action_slot"):
        return data.action.fcurves
    if data.action_slot is None:
        suitable = data.action_suitable_slots
        data.action_slot = suitable[0] if len(suitable) else data.action.slots.new(item.id_type, item.name)
    return _channelbag(data.action, data.action_slot, ensure=True).fcurves


def new_key_action(name: str) -> tuple[bpy.types.Action, bpy.types.bpy_prop_collection]:
    """A new unused action for shape keys, and its F-curves."""
    action = bpy.data.actions.new(name)
    if not hasattr(action, "slots"):
        action.id_root = "KEY"
        return action, action.fcurves
    return action, _channelbag(action, action.slots.new("KEY", name), ensure=True).fcurves


def curves_of_keys(action: bpy.types.Action) -> list[bpy.types.FCurve]:
    """F-curves of an action that animate shape-key values, from the first slot that has some."""
    if not hasattr(action, "slots"):
        return [curve for curve in action.fcurves if key_of_path(curve.data_path) is not None]
    for slot in action.slots:
        bag = _channelbag(action, slot, ensure=False)
        curves = [curve for curve in (bag.fcurves if bag else ()) if key_of_path(curve.data_path) is not None]
        if curves:
            return curves
    return []


def _channelbag(
    action: bpy.types.Action, slot: bpy.types.ActionSlot, ensure: bool
) -> bpy.types.ActionChannelbag | None:
    if ensure:
        layer = action.layers[0] if action.layers else action.layers.new("Layer")
        strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
        return strip.channelbag(slot, ensure=True)
    for layer in action.layers:
        for strip in layer.strips:
            if (bag := strip.channelbag(slot)) is not None:
                return bag
    return None


def read_curve(fcurve: bpy.types.FCurve) -> Curve:
    """The keyframes of an F-curve; for one baked to samples, the samples."""
    points = fcurve.keyframe_points
    if not len(points) and len(fcurve.sampled_points):
        samples = np.array([point.co[:] for point in fcurve.sampled_points], np.float32)
        return linear_curve(samples[:, 0], samples[:, 1])
    out = []
    for field in ("co", "handle_left", "handle_right"):
        flat = np.empty(2 * len(points), np.float32)
        points.foreach_get(field, flat)
        out.append(flat.reshape(-1, 2))
    interpolation = np.empty(len(points), np.int32)
    points.foreach_get("interpolation", interpolation)
    return Curve(*out, interpolation)


def linear_curve(frames: np.ndarray, values: np.ndarray) -> Curve:
    """A curve (N,) with linear interpolation."""
    points = np.stack([frames, values], -1).astype(np.float32)
    third = np.diff(points, axis=0) / 3.0
    left, right = points.copy(), points.copy()
    left[1:] -= third
    right[:-1] += third
    linear = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items["LINEAR"].value
    return Curve(points, left, right, np.full(len(points), linear, np.int32))


def write_curve(fcurves: bpy.types.bpy_prop_collection, path: str, curve: Curve, index: int = 0) -> None:
    """Write ``curve`` into the F-curve of ``path``, created if missing; existing keyframes within its frame range are
    replaced, those before and after stay."""
    fcurve = fcurves.find(path, index=index) or fcurves.new(path, index=index)
    if len(fcurve.keyframe_points):
        curve = _merged(read_curve(fcurve), curve)
        fcurve.keyframe_points.clear()
    fcurve.keyframe_points.add(len(curve.points))
    fcurve.keyframe_points.foreach_set("co", curve.points.ravel())
    fcurve.keyframe_points.foreach_set("interpolation", curve.interpolation)
    free = bpy.types.Keyframe.bl_rna.properties["handle_left_type"].enum_items["FREE"].value
    for side in ("handle_left_type", "handle_right_type"):
        fcurve.keyframe_points.foreach_set(side, np.full(len(curve.points), free, np.int32))
    fcurve.keyframe_points.foreach_set("handle_left", curve.left.ravel())
    fcurve.keyframe_points.foreach_set("handle_right", curve.right.ravel())
    fcurve.update()


def _merged(old: Curve, new: Curve) -> Curve:
    before = old.points[:, 0] < new.points[0, 0] - 1e-3
    after = old.points[:, 0] > new.points[-1, 0] + 1e-3
    fields = ("points", "left", "right", "interpolation")
    return Curve(
        *(
            np.concatenate([getattr(old, field)[before], getattr(new, field), getattr(old, field)[after]])
            for field in fields
        )
    )


def animated_keys(keys: bpy.types.Key) -> Iterator[tuple[str, bpy.types.FCurve]]:
    """Name and F-curve of every key animated by the assigned action."""
    for fcurve in fcurves_of(keys):
        name = key_of_path(fcurve.data_path)
        if name is not None and name in keys.key_blocks and (len(fcurve.keyframe_points) or len(fcurve.sampled_points)):
            yield name, fcurve


def driven_keys(keys: bpy.types.Key) -> frozenset[str]:
    """Names of the keys whose value has a driver."""
    drivers = keys.animation_data.drivers if keys.animation_data else ()
    return frozenset(name for curve in drivers if (name := key_of_path(curve.data_path)) is not None)


def driven_paths(item: bpy.types.ID) -> frozenset[str]:
    """Data paths of ``item`` that have drivers."""
    return frozenset(curve.data_path for curve in item.animation_data.drivers) if item.animation_data else frozenset()
