"""The head's armature: names of bones, joints measured from meshes and keys by rigid motions, and the object itself,
created or moved without changing the artist's mode or selection.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix, Quaternion

from ..objects.meshes import array_of, coordinates, neutral_coordinates, origin_of
from ..shared.similarity import fit_similarity

ROOT, NECK, HEAD, JAW, EYE_TARGET = "root", "neck", "head", "jaw", "eye_target"
EYES: tuple[str, str] = ("eye.L", "eye.R")
TONGUE: tuple[str, str] = ("tongue.01", "tongue.02")
PARENTS: dict[str, str | None] = {
    ROOT: None,
    NECK: ROOT,
    HEAD: NECK,
    JAW: HEAD,
    EYES[0]: HEAD,
    EYES[1]: HEAD,
    TONGUE[0]: JAW,
    TONGUE[1]: TONGUE[0],
    EYE_TARGET: ROOT,
}
"""Bone -> parent, parents first."""
DEFORMING: frozenset[str] = frozenset([ROOT, NECK, HEAD, JAW, *TONGUE])
"""Bones with vertex weights. The jaw bone carries only the tongue; skin and teeth open by keys. Eyes turn by keys."""
BONE_NAMES: Mapping[str, Mapping[str, str]] = {
    "LIKENESS": {},
    "MAKEHUMAN": {ROOT: "spine01", NECK: "neck01", TONGUE[0]: "tongue00", TONGUE[1]: "tongue01"},
    "RIGIFY": {ROOT: "spine.003", NECK: "spine.004", HEAD: "spine.006", TONGUE[0]: "tongue.001", TONGUE[1]: "tongue"},
}
"""Names in MakeHuman's default skeleton and in Rigify's metarig of a human, where they are not ours."""
EYE_AIM = "eye_aim"
"""Custom property of the armature object, 0-1: influence of the eyes' aim at the target while bones lead them."""
JAW_LED, EYES_LED = "JAW", "EYES"
"""The two groups that keys or bones lead."""
BONES_BY_PART: dict[str, tuple[str, ...]] = {JAW_LED: (JAW,), EYES_LED: EYES}
JAW_KEYS: tuple[str, ...] = ("jawOpen", "jawForward", "jawLeft", "jawRight")
EYE_LOOK_KEYS: tuple[str, ...] = ("eyeLookUp", "eyeLookDown", "eyeLookIn", "eyeLookOut")
LEADABLE_KEYS: frozenset[str] = frozenset(
    [*JAW_KEYS, *(look + side for look in EYE_LOOK_KEYS for side in ("Left", "Right"))]
)
"""Keys that bones may drive."""


LEAST_TURN = np.radians(1.0)
"""Radians: below it a key's rotation does not define a hinge, because rounding of its offsets shifts it by
centimetres."""


def rigid_motion(rest: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(3,) rotation vector in radians and (3,) shift in metres: the rigid motion closest to that of points (N, 3)."""
    motion = fit_similarity(rest, moved, scale=1.0)
    return np.array(Matrix(motion.rotation).to_quaternion().to_exponential_map()), motion.translation


def rotation_matrix(vector: np.ndarray) -> np.ndarray:
    """(3, 3) of a rotation vector."""
    return np.array(Quaternion(vector).to_matrix())


def fixed_point(vector: np.ndarray, shift: np.ndarray, across: float) -> np.ndarray:
    """The point on a rotation's axis at x = ``across``, for an axis along x."""
    still = np.eye(3) - rotation_matrix(vector)
    return np.array([across, *np.linalg.solve(still[1:, 1:], shift[1:] - still[1:, 0] * across)])


def turning_point(motions: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray | None:
    """(3,) common fixed point of all rigid motions with a rotation (least squares); None if they define none."""
    rows, shifts = [], []
    for vector, shift in motions:
        if np.linalg.norm(vector) > LEAST_TURN:
            rows.append(np.eye(3) - rotation_matrix(vector))
            shifts.append(shift)
    if not rows or np.linalg.matrix_rank(np.concatenate(rows), tol=1e-3) < 3:
        return None
    return np.linalg.lstsq(np.concatenate(rows), np.concatenate(shifts), rcond=None)[0]


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
    looks = {side: [look + side for look in EYE_LOOK_KEYS] for side in ("Left", "Right")}
    eyes = [  # about these the look keys turn them
        turning_point(filter(None, (_key_motion(parts[f"eye_{side.lower()}"], head, key) for key in keys)))
        for side, keys in looks.items()
    ]
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
    for name, (side, keys) in zip(EYES, looks.items(), strict=True):
        for key in keys:
            _add_motion(motions, key, name, bones[name], _key_motion(parts[f"eye_{side.lower()}"], head, key))
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
    rim = np.unique(open_edges(mesh))
    middle = 0.5 * (points[:, 2].min() + points[:, 2].max())
    rim = rim[points[rim, 2] < middle] if len(rim) else rim
    return rim if len(rim) else np.flatnonzero(points[:, 2] < points[:, 2].min() + 0.01)


def open_edges(mesh: bpy.types.Mesh) -> np.ndarray:
    """(E, 2) vertices of the edges with one face."""
    faces = np.bincount(array_of(mesh.loops, "edge_index"), minlength=len(mesh.edges))
    return array_of(mesh.edges, "vertices", 2)[faces == 1]


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
    rest: tuple[np.ndarray, np.ndarray],
    motion: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    """Record a key's rigid motion, if any, as channels of a bone."""
    if motion is None:
        return
    axes, pivot = bone_axes(*rest), rest[0]
    turn = axes.T @ motion[0]
    shift = axes.T @ (rotation_matrix(motion[0]) @ pivot + motion[1] - pivot)
    channels = []
    for path, values, least in (("rotation_euler", turn, LEAST_TURN), ("location", shift, 2e-4)):
        most = max(np.abs(values).max() * LEAST_CHANNEL, least)
        channels += [Channel(path, axis, float(value)) for axis, value in enumerate(values) if abs(value) > most]
    if channels:
        ordered = sorted(channels, key=lambda c: (c.path == "location", -abs(c.amount)))
        motions[key] = (bone, tuple(ordered))


NAME = "rig"
_AIM, _LIMIT_TURN, _LIMIT_SHIFT = "Eye Aim", "As Far as the Keys (Turn)", "As Far as the Keys (Shift)"


def new_armature() -> bpy.types.Object:
    """An empty armature object, drawn in front; bones without a control shape are sticks. Linked to nothing yet."""
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


RING, SQUARE = 32, 4
SHAPES: Mapping[str, tuple[int, float, float]] = {
    ROOT: (SQUARE, 2.0, 0.0),
    NECK: (RING, 1.0, 0.5),
    HEAD: (RING, 0.5, 1.0),
    JAW: (RING, 0.25, 1.0),
    **dict.fromkeys(EYES, (RING, 0.5, 1.0)),
    **dict.fromkeys(TONGUE, (RING, 0.5, 0.5)),
    EYE_TARGET: (SQUARE, 1.0, 0.0),
}
"""Control shape of a bone: a polygon's corners, its radius, and its place along the bone, in the bone's lengths."""


def _shape(bone: bpy.types.PoseBone) -> None:
    """Give a bone its control shape, a polygon across it that no scene shows; one that the artist has chosen stays."""
    if bone.custom_shape is not None:
        return
    corners, radius, along = SHAPES[bone.name]
    name = f"Likeness Control {corners}"
    shape = bpy.data.objects.get(name)
    if shape is None or shape.library is not None:
        angle = 2.0 * np.pi * (np.arange(corners) + 0.5) / corners
        points = np.stack([np.cos(angle), np.zeros(corners), np.sin(angle)], axis=1)
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata(points.tolist(), [(i, (i + 1) % corners) for i in range(corners)], [])
        shape = bpy.data.objects.new(name, mesh)
    bone.custom_shape, bone.custom_shape_scale_xyz = shape, (radius,) * 3
    bone.custom_shape_translation = (0.0, along * bone.length, 0.0)


def set_up_pose(rig: bpy.types.Object, places: RigPlaces) -> None:
    """Set control shapes, Euler rotation, locks, the aim constraint of the eyes, and limits at the range of the keys;
    updates existing ones."""
    for name in PARENTS:
        bone = rig.pose.bones[name]
        _shape(bone)
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
