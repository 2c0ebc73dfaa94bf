"""Measure a head's joints, and how its keys rotate and shift them, from the meshes and their keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import bpy
import numpy as np

from ..scene.coordinates import coordinates, neutral_coordinates, origin_of
from .names import EYE_LOOK_KEYS, EYE_TARGET, EYES, HEAD, JAW, JAW_KEYS, NECK, ROOT, TONGUE
from .rigid import LEAST_TURN, fixed_point, rigid_motion, rotation_matrix, turning_point

LEAST_CHANNEL = 0.05
"""Share of a key's largest shift or rotation: smaller components are set to 0, to keep drivers readable."""
SKULL_BELOW_HINGE = 0.2
"""The head's joint on the spine lies this far below the jaw's hinge, as a share of the hinge's height over the neck
rim."""
TARGET_METRES = 0.5
"""Distance of the look target from the eyes: near enough to be found in the view, far enough that a neutral gaze at it
turns each eye by less than 4 degrees."""


@dataclass(frozen=True)
class Channel:
    """Effect of a key at 1 on a bone in one direction: ``path`` is ``location`` or ``rotation_euler``, ``axis`` 0-2 in
    the bone's own frame, ``amount`` in metres or radians."""

    path: str
    axis: int
    amount: float


@dataclass(frozen=True)
class RigPlaces:
    """Bones in the head object's frame, metres.

    Attributes
    ----------
    bones : name -> (3,) head and (3,) tail. Every bone's x axis is the frame's (to the person's left), so that a
        positive rotation about x nods, opens the jaw, and lowers the gaze.
    motions : key -> (bone, channels, largest first).
    """

    bones: Mapping[str, tuple[np.ndarray, np.ndarray]]
    motions: Mapping[str, tuple[str, tuple[Channel, ...]]]


def rig_places(parts: Mapping[str, bpy.types.Object]) -> RigPlaces | None:
    """Positions of a head's bones; None if a part or a key needed for them is missing."""
    if not {"head", "eye_left", "eye_right", "tongue"} <= parts.keys():
        return None
    head, tongue_part = parts["head"], parts["tongue"]
    skin = neutral_coordinates(head.data)
    jaw = _key_motion(tongue_part, head, "jawOpen")
    eyes = [_eye_centre(parts[part], head, side) for part, side in (("eye_left", "Left"), ("eye_right", "Right"))]
    if jaw is None or any(eye is None for eye in eyes) or abs(jaw[0][0]) < LEAST_TURN:
        return None
    hinge = fixed_point(*jaw, across=float(np.mean([eye[0] for eye in eyes])))
    rim = skin[neck_rim(head.data)].mean(axis=0)
    rim[0] = hinge[0]
    skull = np.array([hinge[0], 0.5 * (hinge[1] + rim[1]), hinge[2] - SKULL_BELOW_HINGE * (hinge[2] - rim[2])])
    crown = np.array([skull[0], skull[1], skin[:, 2].max()])
    tongue = _along(neutral_coordinates(tongue_part.data), (0.1, 0.5, 1.0))
    forward = _forward(tongue_part, head)
    front = float(skin[np.abs(skin[:, 0] - hinge[0]) < 0.02, 1].min())  # the nose: eye bones end there
    jaw_length = 0.8 * (hinge[1] - front)
    between = np.mean(eyes, axis=0)
    target = between + np.array([0.0, -TARGET_METRES, 0.0])
    bones = {
        ROOT: (rim, rim + np.array([0.0, 0.5 * (skull[2] - rim[2]), 0.0])),
        NECK: (rim, skull),
        HEAD: (skull, crown),
        JAW: (hinge, hinge + jaw_length * forward),
        TONGUE[0]: (tongue[0], tongue[1]),
        TONGUE[1]: (tongue[1], tongue[2]),
        EYE_TARGET: (target, target + np.array([0.0, 0.0, 0.03])),
        **{name: (eye, eye + np.array([0.0, -0.03, 0.0])) for name, eye in zip(EYES, eyes, strict=True)},
    }
    motions = {}
    for key in JAW_KEYS:
        _add_motion(motions, key, JAW, bones[JAW], _key_motion(tongue_part, head, key))
    for name, part, side in zip(EYES, ("eye_left", "eye_right"), ("Left", "Right"), strict=True):
        for look in EYE_LOOK_KEYS:
            _add_motion(motions, look + side, name, bones[name], _key_motion(parts[part], head, look + side))
    return RigPlaces(bones, motions)


def bone_axes(head: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """(3, 3) columns x, y, z of a bone, with x as close to the frame's x as the bone's direction allows."""
    along = (tail - head) / np.linalg.norm(tail - head)
    third = np.cross([1.0, 0.0, 0.0], along)
    third /= np.linalg.norm(third)
    return np.column_stack([np.cross(along, third), along, third])


def neck_rim(mesh: bpy.types.Mesh) -> np.ndarray:
    """Vertices of the skin's open boundary at the neck; without a boundary, those of the lowest centimetre."""
    points = neutral_coordinates(mesh)
    loops = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("edge_index", loops)
    edges = np.empty(2 * len(mesh.edges), np.int32)
    mesh.edges.foreach_get("vertices", edges)
    open_edges = edges.reshape(-1, 2)[np.bincount(loops, minlength=len(mesh.edges)) == 1]
    found = np.unique(open_edges)
    middle = 0.5 * (points[:, 2].min() + points[:, 2].max())
    found = found[points[found, 2] < middle] if len(found) else found
    return found if len(found) else np.flatnonzero(points[:, 2] < points[:, 2].min() + 0.01)


def along_tongue(points: np.ndarray) -> np.ndarray:
    """(N,) position along the tongue: 0 at the root, 1 at the tip."""
    back = points[:, 1]
    return (back.max() - back) / np.ptp(back)


def _along(points: np.ndarray, shares: tuple[float, ...]) -> list[np.ndarray]:
    """Points of the tongue's centre line at fractions of its length."""
    along = along_tongue(points)
    height = np.polyfit(along, points[:, 2], 3)
    across, back, length = points[:, 0].mean(), points[:, 1].max(), np.ptp(points[:, 1])
    return [np.array([across, back - share * length, np.polyval(height, share)]) for share in shares]


def _key_motion(obj: bpy.types.Object, head: bpy.types.Object, key: str) -> tuple[np.ndarray, np.ndarray] | None:
    """``rigid_motion`` of ``key`` at 1, in the frame of ``head``."""
    block = obj.data.shape_keys.key_blocks.get(key) if obj.data.shape_keys else None
    if block is None:
        return None
    away = origin_of(obj.data) - origin_of(head.data)
    return rigid_motion(neutral_coordinates(obj.data) + away, coordinates(block.points) + away)


def _eye_centre(obj: bpy.types.Object, head: bpy.types.Object, side: str) -> np.ndarray | None:
    """(3,) centre about which the look keys rotate an eyeball, in the frame of ``head``."""
    return turning_point(filter(None, (_key_motion(obj, head, look + side) for look in EYE_LOOK_KEYS)))


def _forward(tongue: bpy.types.Object, head: bpy.types.Object) -> np.ndarray:
    """(3,) unit direction in which ``jawForward`` shifts the jaw; straight ahead without that key."""
    motion = _key_motion(tongue, head, "jawForward")
    ahead = np.array([0.0, -1.0, 0.0]) if motion is None else motion[1] * [0.0, 1.0, 1.0]
    length = np.linalg.norm(ahead)
    return np.array([0.0, -1.0, 0.0]) if length < 1e-4 else ahead / length


def _add_motion(
    motions: dict[str, tuple[str, tuple[Channel, ...]]],
    key: str,
    bone: str,
    place: tuple[np.ndarray, np.ndarray],
    motion: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    """Record a key's rigid motion, if any, as channels of a bone."""
    if motion is None:
        return
    axes, pivot = bone_axes(*place), place[0]
    turn = axes.T @ motion[0]
    shift = axes.T @ (rotation_matrix(motion[0]) @ pivot + motion[1] - pivot)
    found = []
    for path, values, least in (("rotation_euler", turn, LEAST_TURN), ("location", shift, 2e-4)):
        most = max(np.abs(values).max() * LEAST_CHANNEL, least)
        found += [Channel(path, axis, float(value)) for axis, value in enumerate(values) if abs(value) > most]
    if found:
        ordered = sorted(found, key=lambda c: (c.path == "location", -abs(c.amount)))
        motions[key] = (bone, tuple(ordered))
