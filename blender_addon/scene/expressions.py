"""The head's expression: values of its keys, poses as assets (an action with one keyframe of each of the 52), visemes
and files of mouth cues, and locks. Keys are locked by Blender's ``ShapeKey.lock_shape``, skin by the vertex group
``Lock``, which can be painted.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import bpy
import numpy as np

from ..errors import AddonError
from ..objects import tags
from ..objects.actions import curves_of_keys, key_of_path, key_path, linear_curve, new_key_action, write_curve
from ..objects.meshes import array_of, group_weights, neutral_coordinates, origin_of, sculpted, search_tree
from ..protocol.clips import ExpressionClip
from ..rig.lead import led_keys, set_keys
from ..shared.names import ARKIT_NAMES

LOCK = "Lock"
"""Name of the vertex group: weight 1 keeps a vertex, 0 solves it anew, values between blend."""
FADE_RINGS = 4
"""Edge rings over which the lock of a sculpt fades out, to avoid a step at its border."""
LID_ATTACHED_PARTS = ("lashes", "tear_lines", "caruncles")
"""Parts that deform with the adjacent skin."""
AROUND_METRES = 0.01
"""Added to the minimum distance between skin and part to give the width of the Gaussian that weights the skin around an
eye, the teeth or the tongue."""


def lock_weights(obj: bpy.types.Object) -> np.ndarray | None:
    """(V,) float32 weights of the group ``Lock`` in [0, 1]; None if it is missing or empty."""
    weights = group_weights(obj, LOCK)
    return weights if weights is not None and weights.any() else None


def part_weights(head: bpy.types.Object, part: bpy.types.Object) -> np.ndarray | None:
    """(V,) lock weights of another part, from the head's skin around it: per vertex for parts along the lids, one value
    for stiff parts. None if nothing is locked there."""
    locked = lock_weights(head)
    if locked is None:
        return None
    skin = neutral_coordinates(head.data) + origin_of(head.data)
    points = neutral_coordinates(part.data) + origin_of(part.data)
    if part.get(tags.PART) in LID_ATTACHED_PARTS:
        tree = search_tree(skin)
        weights = locked[[tree.find(point)[1] for point in points.tolist()]]
    else:
        distance = np.linalg.norm(skin - points.mean(axis=0), axis=1)
        share = np.exp(-0.5 * (distance / (distance.min() + AROUND_METRES)) ** 2)
        weights = np.full(len(points), (share * locked).sum() / share.sum(), np.float32)
    return weights if weights.any() else None


class PartLocks:
    """Lock weights of a head's parts, to be queried in their order: a cornea gets the weight of its eye."""

    def __init__(self) -> None:
        self._eyes: dict[str, float] = {}

    def of(self, head: bpy.types.Object, obj: bpy.types.Object) -> np.ndarray | None:
        """(V,) weights of ``obj``, the head or another part; None if nothing of it is locked."""
        if obj == head:
            return lock_weights(head)
        name = str(obj[tags.PART])
        if name.startswith("cornea"):
            stays = self._eyes.get(name.replace("cornea", "eye"), 0.0)
            return np.full(len(obj.data.vertices), stays, np.float32) if stays else None
        weights = part_weights(head, obj)
        self._eyes[name] = 0.0 if weights is None else float(weights.mean())
        return weights


def lock(obj: bpy.types.Object, weights: np.ndarray) -> None:
    """Lock vertices with weights (V,) in [0, 1]; higher existing weights stay."""
    group = obj.vertex_groups.get(LOCK) or obj.vertex_groups.new(name=LOCK)
    before = lock_weights(obj)
    wanted = weights if before is None else np.maximum(weights, before)
    for weight in np.unique(wanted[wanted > 0]):
        group.add(np.flatnonzero(wanted == weight).tolist(), float(weight), "REPLACE")


def unlock(obj: bpy.types.Object) -> None:
    """Remove the vertex group."""
    group = obj.vertex_groups.get(LOCK)
    if group is not None:
        obj.vertex_groups.remove(group)


def sculpted_weights(mesh: bpy.types.Mesh) -> np.ndarray | None:
    """(V,) 1 at vertices whose basis was sculpted, fading out around them; None if there are none."""
    moved = sculpted(mesh)
    if moved is None:
        return None
    weights = moved.any(axis=1).astype(np.float32)
    a, b = array_of(mesh.edges, "vertices", 2).T
    for ring in range(1, FADE_RINGS):
        near = weights.copy()
        np.maximum.at(near, a, weights[b])
        np.maximum.at(near, b, weights[a])
        weights = np.where((weights == 0) & (near > 0), np.float32(1 - ring / FADE_RINGS), weights)
    return weights


def locked_keys(keys: bpy.types.Key | None) -> set[str]:
    """Names of the shape keys that are locked."""
    return set() if keys is None else {block.name for block in keys.key_blocks[1:] if block.lock_shape}


_TOLERANCE, _LED_TOLERANCE = 1e-5, 0.03
"""Tolerances for a key set directly, and for a key led by a bone: the eyes' two rotations affect each other."""


def set_expression(head: bpy.types.Object, weights: Mapping[str, float]) -> None:
    """Set the head's 52 keys; missing ones become 0; locked and other keys stay. The parts follow. If bones lead keys,
    the bones are posed instead."""
    keys = head.data.shape_keys
    if keys is None:
        return
    names = {block.name for block in keys.key_blocks[1:]} & set(ARKIT_NAMES) - locked_keys(keys)
    set_keys(head, {name: weights.get(name, 0.0) for name in names})
    head.data.update_tag()


def expression_unchanged(head: bpy.types.Object, weights: Mapping[str, float]) -> bool:
    """Whether the head's 52 keys still have the values of ``set_expression``."""
    keys, led = head.data.shape_keys, led_keys(head)
    blocks = () if keys is None else keys.key_blocks[1:]
    return all(
        abs(b.value - weights.get(b.name, 0.0)) < (_LED_TOLERANCE if b.name in led else _TOLERANCE)
        for b in blocks
        if b.name in ARKIT_NAMES and not b.lock_shape
    )


_POSES = json.loads(Path(__file__).with_name("starter_poses.json").read_text("utf-8"))
EMOTIONS: Mapping[str, Mapping[str, float]] = _POSES["emotions"]
"""Ekman's six, after the action units of EMFACS: name -> weights of ARKit's keys; what is missing is 0."""
OCULUS = {f"viseme_{name.removeprefix('Viseme ')}": shape for name, shape in _POSES["visemes"].items()}
"""The fifteen keys of Oculus' lip sync: name -> weights of ARKit's keys."""
VRM = {name: OCULUS[f"viseme_{'E' if name == 'ee' else name}"] for name in ("aa", "ih", "ou", "ee", "oh")}
"""VRM's five."""
CUES = dict(zip("ABCDEFGHX", ("PP", "SS", "E", "aa", "oh", "ou", "FF", "nn", "sil"), strict=True))
"""Rhubarb's shapes -> visemes: lips shut, teeth shut, open, wide open, rounded, puckered, F, L, idle."""
BLEND_SECONDS = 0.08
"""From one mouth shape to the next; speech has ten or more a second."""
VISEMES = {**_POSES["visemes"], **{f"VRM {name}": shape for name, shape in VRM.items()}}
"""Poses of the fifteen of lip sync, and of VRM's five."""
STARTER_POSES: Mapping[str, Mapping[str, float]] = {**EMOTIONS, **VISEMES}
TAG = "Likeness"
"""Tag of our pose assets in an Asset Browser."""
_FRAME = 1.0


def new_pose(name: str, weights: Mapping[str, float]) -> bpy.types.Action:
    """A pose asset: an action with these weights of ARKit keys at frame 1; it stays in the file without users."""
    action, curves = new_key_action(name)
    for key in sorted(weights):
        write_curve(curves, key_path(key), linear_curve(np.array([_FRAME]), np.array([weights[key]])))
    action.asset_mark()
    action.asset_data.description = "Expression of a face, ARKit's 52 keys"
    action.asset_data.tags.new(TAG, skip_if_exists=True)
    return action


def pose_weights(action: bpy.types.Action) -> dict[str, float]:
    """The weights of ARKit keys at an action's first frame; empty if it has none."""
    curves = {key_of_path(curve.data_path): curve for curve in curves_of_keys(action)}
    first = action.frame_range[0]
    return {key: float(curve.evaluate(first)) for key, curve in curves.items() if key in ARKIT_NAMES}


def poses() -> list[bpy.types.Action]:
    """The pose assets of the file, own and linked ones, sorted by name."""
    found = [action for action in bpy.data.actions if action.asset_data is not None and pose_weights(action)]
    return sorted(found, key=lambda action: action.name.lower())


def pose_of_file(path: Path, name: str) -> dict[str, float]:
    """The weights of the pose ``name`` in another .blend; nothing is left behind in this file.

    Raises ``AddonError`` ``no_file`` if the file cannot be read, ``no_pose`` if it has no such pose.
    """
    try:
        with bpy.data.libraries.load(str(path), link=False) as (there, here):
            here.actions = [name] if name in there.actions else []
    except OSError as error:
        raise AddonError(f"{path.name} could not be read.", "Check the asset library.", "no_file") from error
    if not here.actions:
        raise AddonError(f"{path.name} has no pose {name} any more.", "Refresh the Asset Browser.", "no_pose")
    (action,) = here.actions
    weights = pose_weights(action)
    bpy.data.actions.remove(action)
    return weights


def read_cues(path: Path) -> ExpressionClip | None:
    """The clip in a file of mouth cues, TSV or JSON, shapes blended; None for another file."""
    try:
        text = path.read_text("utf-8-sig")
        if text.lstrip().startswith("{"):
            found = [(float(cue["start"]), str(cue["value"])) for cue in json.loads(text)["mouthCues"]]
            last = float(json.loads(text)["mouthCues"][-1]["end"])
        else:
            rows = [
                re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s+([A-HX])\s*", line) for line in text.splitlines() if line.strip()
            ]
            found = [(float(row[1]), row[2]) for row in rows]
            last = found[-1][0]
        shapes = [OCULUS[f"viseme_{CUES[shape]}"] for _, shape in found]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return _blended(np.array([start for start, _ in found]), shapes, last)


def _blended(starts: np.ndarray, shapes: list[Mapping[str, float]], last: float) -> ExpressionClip | None:
    """The clip of mouth shapes from ``starts`` (N,), the last one until ``last`` seconds."""
    if (np.diff(starts, append=last) < 0).any() or starts[0] < 0:
        return None
    names = tuple(sorted(frozenset().union(*shapes))) or ("jawOpen",)
    weights = np.array([[shape.get(name, 0.0) for name in names] for shape in shapes])
    half = np.minimum(BLEND_SECONDS, np.minimum(np.diff(starts), np.diff(starts, append=last)[1:])) / 2
    seconds = np.concatenate([[0.0], np.stack([starts[1:] - half, starts[1:] + half], -1).ravel(), [last]])
    values = np.repeat(weights, 2, axis=0)
    order = np.maximum.accumulate(seconds)
    found = np.ones(len(order), bool)
    return ExpressionClip(names, values, order, found, ~found)
