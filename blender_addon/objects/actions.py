"""Access to F-curves of shape keys and poses, in layered actions (Blender 4.4 on) and in earlier plain ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import bpy
import numpy as np

_DETAILS = ("easing", "amplitude", "period", "back", "handle_left_type", "handle_right_type", "type")
_KEY_PATH = ('key_blocks["', '"].value')


@dataclass(frozen=True)
class Curve:
    """Keyframes of one animated value.

    points : (N, 2) frame and value.
    left, right : (N, 2) Bézier handles.
    interpolation : (N,) Blender's enum numbers.
    details : (N, 7) what ``_DETAILS`` names; 0 is a plain keyframe with free handles.
    like : the F-curve whose extrapolation and modifiers it has; None for neither.
    """

    points: np.ndarray
    left: np.ndarray
    right: np.ndarray
    interpolation: np.ndarray
    details: np.ndarray
    like: bpy.types.FCurve | None = None

    def scaled(self, weight: float) -> Curve:
        """The curve with values times ``weight``."""
        by, details = np.array([1.0, weight], np.float32), self.details.copy()
        details[:, _DETAILS.index("amplitude")] *= abs(weight)
        return replace(self, points=self.points * by, left=self.left * by, right=self.right * by, details=details)


def key_path(name: str) -> str:
    """Data path of the value of the shape key ``name``, relative to the ``Key`` data-block."""
    return f"{_KEY_PATH[0]}{bpy.utils.escape_identifier(name)}{_KEY_PATH[1]}"


def key_of_path(path: str) -> str | None:
    """The shape key whose value ``path`` is; None if it is something else."""
    if path.startswith(_KEY_PATH[0]) and path.endswith(_KEY_PATH[1]):
        return bpy.utils.unescape_identifier(path[len(_KEY_PATH[0]) : -len(_KEY_PATH[1])])
    return None


def read_key(driver: bpy.types.Driver, name: str, mesh: bpy.types.Mesh, key: str) -> None:
    """Make the driver's variable ``name`` the value of a mesh's shape key.

    The target is the mesh: Blender 5's writer finds fault with keys that it meets before their mesh.
    """
    variable = driver.variables.get(name) or driver.variables.new()
    variable.name, variable.type = name, "SINGLE_PROP"
    target = variable.targets[0]
    target.id_type = "MESH"
    target.id, target.data_path = mesh, f"shape_keys.{key_path(key)}"


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

    def column(field: str, width: int = 1) -> np.ndarray:
        whole = field not in ("co", "handle_left", "handle_right", "amplitude", "period", "back")
        flat = np.empty(width * len(points), np.int32 if whole else np.float32)
        points.foreach_get(field, flat)
        return flat.reshape(-1, width)

    details = np.hstack([column(field) for field in _DETAILS]).astype(np.float32)
    pairs = (column(field, 2) for field in ("co", "handle_left", "handle_right"))
    return Curve(*pairs, column("interpolation")[:, 0], details, fcurve)


def linear_curve(frames: np.ndarray, values: np.ndarray) -> Curve:
    """A curve (N,) with linear interpolation."""
    points = np.stack([frames, values], -1).astype(np.float32)
    third = np.diff(points, axis=0) / 3.0
    left, right = points.copy(), points.copy()
    left[1:] -= third
    right[:-1] += third
    linear = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items["LINEAR"].value
    return Curve(points, left, right, np.full(len(points), linear, np.int32), np.zeros((len(points), len(_DETAILS))))


def write_curve(
    fcurves: bpy.types.bpy_prop_collection,
    path: str,
    curve: Curve,
    index: int = 0,
    span: tuple[float, float] | None = None,
) -> None:
    """Write ``curve`` into the F-curve of ``path``, created if missing. Existing modifiers, and keyframes in ``span``
    (default: the curve's range) are replaced; keyframes before and after stay."""
    fcurve = fcurves.find(path, index=index) or fcurves.new(path, index=index)
    shape = [] if curve.like is None else list(curve.like.modifiers)
    if fcurve.keyframe_points:
        curve = _merged(read_curve(fcurve), curve, span or tuple(curve.points[[0, -1], 0]))
        fcurve.keyframe_points.clear()
    for modifier in list(fcurve.modifiers):
        fcurve.modifiers.remove(modifier)
    fcurve.extrapolation = "CONSTANT" if curve.like is None else curve.like.extrapolation
    for modifier in shape:
        copy = fcurve.modifiers.new(modifier.type)
        for field in modifier.bl_rna.properties:
            if not field.is_readonly:
                setattr(copy, field.identifier, getattr(modifier, field.identifier))
    points = fcurve.keyframe_points
    points.add(len(curve.points))
    points.foreach_set("co", curve.points.ravel())
    points.foreach_set("interpolation", curve.interpolation)
    for field, column in zip(_DETAILS, curve.details.T, strict=True):
        points.foreach_set(field, column.astype(np.float32 if field in ("amplitude", "period", "back") else np.int32))
    points.foreach_set("handle_left", curve.left.ravel())
    points.foreach_set("handle_right", curve.right.ravel())
    fcurve.update()


def outside(curve: Curve, span: tuple[float, float]) -> np.ndarray:
    """(N,) bool, the keyframes before and after ``span``."""
    return (curve.points[:, 0] < span[0] - 1e-3) | (curve.points[:, 0] > span[1] + 1e-3)


def _merged(old: Curve, new: Curve, span: tuple[float, float]) -> Curve:
    stays = outside(old, span)
    fields = ("points", "left", "right", "interpolation", "details")
    both = {field: np.concatenate([getattr(old, field)[stays], getattr(new, field)]) for field in fields}
    order = np.argsort(both["points"][:, 0], kind="stable")
    return Curve(**{field: values[order] for field, values in both.items()}, like=old.like if stays.any() else new.like)


def animated_keys(keys: bpy.types.Key) -> Iterator[tuple[str, bpy.types.FCurve]]:
    """Name and F-curve of every key animated by the assigned action."""
    for fcurve in fcurves_of(keys):
        name = key_of_path(fcurve.data_path)
        if name is not None and name in keys.key_blocks and (len(fcurve.keyframe_points) or len(fcurve.sampled_points)):
            yield name, fcurve


def silent(curve: bpy.types.FCurve) -> bool:
    """Whether the channel, or its group, is muted."""
    return curve.mute or (curve.group is not None and curve.group.mute)


def driven_keys(keys: bpy.types.Key) -> frozenset[str]:
    """Names of the keys whose value has a driver."""
    drivers = keys.animation_data.drivers if keys.animation_data else ()
    return frozenset(n for c in drivers if not c.mute and (n := key_of_path(c.data_path)) is not None)


def driven_paths(item: bpy.types.ID) -> frozenset[str]:
    """Data paths of ``item`` that have drivers."""
    return frozenset(curve.data_path for curve in item.animation_data.drivers) if item.animation_data else frozenset()
