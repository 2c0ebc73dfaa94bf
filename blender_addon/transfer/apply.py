"""What a source's shape keys show, and values and animation of keys from one rig to another; keys that are driven or
locked are left alone.

Apply head rotations to a bone or an object: as a pose at one frame, or as keyframes.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import bpy
import numpy as np
from mathutils import Matrix, Quaternion

from ..errors import AddonError
from ..objects import actions
from ..objects.meshes import BLENDER_FROM_HEAD
from ..rig.lead import bone_channels, led_keys, rig_of, set_keys
from ..scene.expressions import locked_keys
from .names import KeyLink, apply_links

CUT = 1e-3
"""A value beyond a slider's range by less is rounding."""


@dataclass(frozen=True)
class Outcome:
    """Result for one target: how many keys were set, and what is to be said, sentence -> names of keys."""

    target: str
    written: int
    notes: Mapping[str, frozenset[str]]

    @property
    def warning(self) -> str:
        """A sentence a line for each thing to report, else ""."""
        said = [(what, sorted(names)) for what, names in self.notes.items() if names]
        if not self.written and not said:
            return f"No key of {self.target} fits a key of the source."
        return "\n".join(f"{what}: {', '.join(n[:3])}{', …' if len(n) > 3 else ''}." for what, n in said)


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
        said = f"The shape keys of {obj.name} are linked from another file."
        raise AddonError(said, "Make its mesh local, or override that, too.", "linked")
    return keys


def _writable(target: bpy.types.Object, names: Iterable[str]) -> tuple[set[str], set[str], dict[str, frozenset[str]]]:
    """Those of the keys ``names`` that may be set, those that bones lead, and what is to be said about the others."""
    keys, names, to = _editable(target), frozenset(names), target.name
    led, locked = led_keys(target) & names, names & locked_keys(keys)
    driven = names & actions.driven_keys(keys) - led
    free = names.intersection(keys.key_blocks.keys()) - driven - locked
    hidden = target.show_only_shape_key or not keys.use_relative
    muted = {block.name for block in keys.key_blocks if block.mute or hidden}
    muted |= {name for name, curve in actions.animated_keys(keys) if actions.silent(curve)}
    said = {f"Left alone on {to}, since drivers set them": driven}
    said[f"Left alone on {to}, since they are locked"] = locked
    said[f"Written, but not shown by {to} (muted, pinned or absolute keys)"] = free & muted
    return free - led, free & led, said


def set_values(target: bpy.types.Object, values: Mapping[str, float], frame: float) -> Outcome:
    """Set keys of ``target``, clamped to their slider ranges; animated keys get a keyframe at ``frame``, and bones that
    lead keys are posed."""
    free, led, said = _writable(target, values)
    keys = target.data.shape_keys
    animated, cut = dict(actions.animated_keys(keys)), set()
    for name in free | led:
        block = keys.key_blocks[name]
        value = float(np.clip(values[name], block.slider_min, block.slider_max))
        if abs(value - values[name]) > CUT:
            cut.add(name)
        if name in free:
            block.value = value
            if name in animated:
                animated[name].keyframe_points.insert(frame, value)
    set_keys(target, {name: float(np.clip(values[name], 0.0, 1.0)) for name in led})
    target.data.update_tag()
    said[_cut_on(target)] = frozenset(cut)
    return Outcome(target.name, len(free | led), said)


def _cut_on(target: bpy.types.Object) -> str:
    return f"Cut on {target.name} to the ranges of the sliders"


def shown(source: bpy.types.Object) -> dict[str, float]:
    """What each key of ``source`` shows now, as Blender evaluates it, whatever moves it: a muted key nothing, a pinned
    one alone itself, absolute keys their shares in the shape at the evaluation time."""
    keys = shape_keys(source)
    blocks = keys.key_blocks
    values = {block.name: block.value for block in blocks}
    if source.show_only_shape_key:
        values = {block.name: float(block == source.active_shape_key) for block in blocks}
    elif not keys.use_relative:
        return _absolute(keys)
    return {name: 0.0 if blocks[name].mute else values[name] for name in key_names(source)}


def copy_expression(
    source: bpy.types.Object, target: bpy.types.Object, links: Iterable[KeyLink], frame: float
) -> Outcome:
    """Copy the current expression of ``source`` to ``target``."""
    now = {name: np.array(value) for name, value in shown(source).items()}
    return set_values(target, {name: float(value) for name, value in apply_links(links, now).items()}, frame)


def _absolute(keys: bpy.types.Key) -> dict[str, float]:
    """Shares of absolute keys in the shape at the evaluation time: of the two around it, or with a curve of four."""
    order = sorted(keys.key_blocks, key=lambda block: block.frame)
    frames = [block.frame for block in order]
    at = int(np.clip(np.searchsorted(frames, keys.eval_time, side="right") - 1, 0, max(len(order) - 2, 0)))
    four = [order[int(np.clip(at + step, 0, len(order) - 1))] for step in (-1, 0, 1, 2)]
    gap = four[2].frame - four[1].frame
    t = float(np.clip((keys.eval_time - four[1].frame) / gap if gap else 0.0, 0.0, 1.0))
    kind = four[1].interpolation
    if kind == "KEY_BSPLINE":
        shares = np.array([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * t**2 * (1 - t) + 3 * t + 1, t**3]) / 6
    else:
        bend = {"KEY_CARDINAL": 0.71, "KEY_CATMULL_ROM": 0.5}.get(kind, 0.0)
        ease = 3 * t**2 - 2 * t**3 if bend else t
        out, into = bend * t * (1 - t) ** 2, bend * t**2 * (1 - t)
        shares = np.array([-out, 1 - ease + into, ease + out, -into])
    values = dict.fromkeys(keys.key_blocks.keys(), 0.0)
    for block, share in zip(four, shares.tolist(), strict=True):
        values[block.name] += share
    return values


def stepped(frames: Iterable[float]) -> Iterator[None]:
    """Step the scene through frames, then restore the current one."""
    scene = bpy.context.scene
    before, before_part = scene.frame_current, scene.frame_subframe
    try:
        for frame in frames:
            scene.frame_set(int(np.floor(frame)), subframe=float(frame - np.floor(frame)))
            yield
    finally:
        scene.frame_set(before, subframe=before_part)


def range_of(*items: bpy.types.ID) -> tuple[float, float] | None:
    """First and last frame at which something moves ``items``: their action, strips, and what leads them by drivers,
    bones, parents and constraints. A driver in Python may read anything, so it counts for the scene's range."""
    scene, ends, todo, seen = bpy.context.scene, [], list(items), set()
    while todo:
        if (item := todo.pop()) is None or item in seen:
            continue
        seen.add(item)
        if isinstance(item, bpy.types.Object):
            todo += [item.parent, item.data]
            owners = [item, *(item.pose.bones if item.pose else ())]
            holds = [hold for owner in owners for hold in owner.constraints if not hold.mute]
            todo += [getattr(hold, field, None) for hold in holds for field in ("target", "pole_target")]
            todo += [goal.target for hold in holds for goal in getattr(hold, "targets", ())]
        if (data := getattr(item, "animation_data", None)) is None:
            continue
        for driver in (curve.driver for curve in data.drivers if not curve.mute):
            read = [target.id for variable in driver.variables for target in variable.targets]
            todo += [getattr(one, "shape_keys", None) or one or scene for one in read]
            timed = not driver.is_simple_expression or re.search(r"\bframe\b", driver.expression)
            if driver.type == "SCRIPTED" and timed:
                ends.append((scene.frame_start, scene.frame_end))
        for curve in actions.fcurves_of(item):
            if len(curve.keyframe_points) or len(curve.sampled_points):
                ends.append(tuple(curve.range()))
            elif len(curve.modifiers):
                ends.append((scene.frame_start, scene.frame_end))
        strips = [strip for track in data.nla_tracks if not track.mute for strip in track.strips if not strip.mute]
        ends += [(strip.frame_start, strip.frame_end) for strip in strips]
    return (min(first for first, _ in ends), max(last for _, last in ends)) if ends else None


@dataclass(frozen=True)
class Take:
    """What a source's keys show at ``frames`` (F,), increasing. ``curves``: the F-curves that give a key all by
    themselves. ``sampled``: (F,) values of the other keys."""

    frames: np.ndarray
    curves: Mapping[str, bpy.types.FCurve]
    sampled: Mapping[str, np.ndarray]
    ranges: Mapping[str, tuple[float, float]]

    def values(self, name: str) -> np.ndarray:
        """(F,) what a key shows."""
        if name not in self.curves:
            return self.sampled[name]
        return np.clip([self.curves[name].evaluate(frame) for frame in self.frames.tolist()], *self.ranges[name])


def read_take(source: bpy.types.Object) -> Generator[float, None, Take]:
    """The animation of ``source``'s keys; yields the fraction done, because what F-curves alone do not give is sampled
    frame by frame. Raises ``AddonError`` ``no_action`` if nothing moves them."""
    keys = shape_keys(source)
    if (ends := range_of(keys)) is None:
        raise AddonError(
            f"No shape key of {source.name} has keyframes, strips or drivers of what is animated.",
            "Transfer the expression instead.",
            "no_action",
        )
    data = keys.animation_data
    alone = keys.use_relative and not source.show_only_shape_key and not data.use_tweak_mode
    alone &= data.action_influence == 1.0 and data.action_blend_type in ("REPLACE", "COMBINE")
    alone &= all(track.mute or not track.strips for track in data.nla_tracks)
    driven = actions.driven_keys(keys) if alone else frozenset(key_names(source))
    muted = {block.name for block in keys.key_blocks if block.mute} | driven
    curves = {
        name: curve for name, curve in actions.animated_keys(keys) if name not in muted and not actions.silent(curve)
    }
    times = [actions.read_curve(curve).points[:, 0] for curve in curves.values()]
    whole = np.arange(np.ceil(ends[0]), np.floor(ends[1]) + 1)
    frames = np.unique(np.concatenate([np.array(ends), whole, *times]).astype(np.float32)).astype(float)
    rows = []
    for _ in stepped(frames if driven else ()):
        rows.append(shown(source))
        yield len(rows) / len(frames)
    now = shown(source)
    sampled = {name: np.array([row[name] for row in rows] or [now[name]]) for name in now}
    sampled |= {name: np.full(len(frames), now[name]) for name in now if name not in driven}
    return Take(frames, curves, sampled, {b.name: (b.slider_min, b.slider_max) for b in keys.key_blocks})


def copy_action(take: Take, target: bpy.types.Object, links: Sequence[KeyLink]) -> Generator[float, None, Outcome]:
    """Give ``target`` the animation of a source; yields the fraction done.

    A key linked to one F-curve gets its keyframes, handles, extrapolation and modifiers, any other moving one keyframes
    at all frames. Over the take's range nothing of an earlier animation stays on a linked key.
    """
    keys = _editable(target)
    by_target: dict[str, list[KeyLink]] = defaultdict(list)
    for link in links:
        if link.source in take.ranges and link.target in keys.key_blocks:
            by_target[link.target].append(link)
    animated, led, span = dict(actions.animated_keys(keys)), led_keys(target), (take.frames[0], take.frames[-1])
    curves, still, sampled = {}, {}, set()
    for name, leading in by_target.items():
        if name not in led and (copied := _copied(take, leading, animated.get(name), span)) is not None:
            curves[name] = copied
            continue
        values = apply_links(leading, {link.source: take.values(link.source) for link in leading})[name]
        if name in led or np.ptp(values) > CUT:
            curves[name] = actions.linear_curve(take.frames, values)
            sampled.add(name)
        elif name in animated:
            curves[name] = actions.linear_curve(take.frames[[0, -1]], values[[0, -1]])
        else:
            still[name] = float(values[0])
    outcome = yield from write_curves(target, curves, span)
    others = set_values(target, still, span[0])
    said = {what: names | others.notes[what] for what, names in outcome.notes.items()}
    left = frozenset().union(*(names for what, names in said.items() if what.startswith("Left")))
    said[f"Sampled for {target.name} at frames {span[0]:g} to {span[1]:g}, since no single curve gives them"] = (
        frozenset(sampled) - left
    )
    return Outcome(target.name, outcome.written + others.written, said)


def _copied(
    take: Take, leading: Sequence[KeyLink], old: bpy.types.FCurve | None, span: tuple[float, float]
) -> actions.Curve | None:
    """The source's own curve where it gives the target's key exactly, else None."""
    link = leading[0]
    if len(leading) > 1 or link.source not in take.curves:
        return None
    fcurve = take.curves[link.source]
    stays = old is not None and actions.outside(actions.read_curve(old), span).any()
    kinds = {modifier.type for modifier in fcurve.modifiers}
    if kinds - {"CYCLES", "STEPPED"} and (link.weight != 1.0 or "ENVELOPE" in kinds):
        return None
    if stays and (kinds or fcurve.extrapolation != "CONSTANT"):
        return None
    if np.isfinite([link.lowest, link.highest]).any():
        values = take.values(link.source) * link.weight
        if values.min() < link.lowest - CUT or values.max() > link.highest + CUT:
            return None
    curve = actions.read_curve(fcurve).scaled(link.weight)
    if not stays:
        return curve
    ends = actions.linear_curve(np.array(span), curve.points[[0, -1], 1])
    first, last = span[0] < curve.points[0, 0] - CUT, span[1] > curve.points[-1, 0] + CUT
    fields = {}
    for field in ("points", "left", "right", "interpolation", "details"):
        own, added = getattr(curve, field).copy(), getattr(ends, field)
        if field == "details":
            own[:, 4:6] = 0  # free handles stay where they are
        if field == "interpolation" and last:
            own[-1] = added[0]
        fields[field] = np.concatenate([added[: int(first)], own, added[2 - int(last) : 2]])
    return replace(curve, **fields)


def write_curves(
    target: bpy.types.Object, curves: Mapping[str, actions.Curve], span: tuple[float, float]
) -> Generator[float, None, Outcome]:
    """Write curves into the action of the target's keys (created if missing), and those of keys that bones lead into
    that of the bones; values of sampled ones are clamped to the ranges of the sliders. Yields the fraction done."""
    free, led, said = _writable(target, curves)
    keys = target.data.shape_keys
    cut = set()
    for number, name in enumerate(sorted(free | led)):
        block = keys.key_blocks[name]
        curve, limits = curves[name], (block.slider_min, block.slider_max)
        if (np.abs(np.clip(curve.points[:, 1], *limits) - curve.points[:, 1]) > CUT).any():
            cut.add(name)
        if name in free:
            if curve.like is None:
                pairs = {field: getattr(curve, field).copy() for field in ("points", "left", "right")}
                for pair in pairs.values():
                    pair[:, 1] = np.clip(pair[:, 1], *limits)
                curve = replace(curve, **pairs)
            actions.write_curve(
                actions.fcurves_to_write(keys, f"{target.name} expression"), actions.key_path(name), curve, span=span
            )
        yield number / len(curves)
    if led:
        rig, frames = rig_of(target), curves[min(led)].points[:, 0]
        weights = {name: np.clip(curves[name].points[:, 1], 0.0, 1.0) for name in led}
        fcurves = actions.fcurves_to_write(rig, f"{rig.name} pose")
        for (bone, path), columns in bone_channels(target, rig, weights).items():
            where = f'pose.bones["{bpy.utils.escape_identifier(bone)}"].{path}'
            for axis, column in enumerate(np.atleast_2d(columns)):
                actions.write_curve(fcurves, where, actions.linear_curve(frames, column), axis, span)
    said[_cut_on(target)] = frozenset(cut)
    return Outcome(target.name, len(free | led), said)


def in_blender(rotation: np.ndarray) -> np.ndarray:
    """Convert rotations (F, 3, 3) from the head frame to Blender's world, in which the face looks along -y."""
    axes = BLENDER_FROM_HEAD[:3, :3]
    return axes @ rotation @ axes.T


def sampled_turns(owner: bpy.types.Object, bone: str, frames: np.ndarray) -> np.ndarray:
    """(F, 3, 3) world rotations of an object or bone, relative to its rest pose (for objects: no rotation)."""
    return np.array([np.array(_turn_now(owner, bone)) for _ in stepped(frames)])


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
    paths = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}
    path = paths.get(mode, "rotation_euler")
    if prefix + path in actions.driven_paths(owner):
        return f"The rotation of {bone or owner.name} was left alone, since drivers set it."
    values = _channels(_local(owner, bone, turns), mode)
    if animate:
        fcurves = actions.fcurves_to_write(owner, f"{owner.name} head")
        for index, column in enumerate(values.T):
            actions.write_curve(fcurves, prefix + path, actions.linear_curve(frames, column), index)
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
