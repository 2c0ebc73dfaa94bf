"""The skeleton of an exported head: bones, what of the head moves with them, and their animation.

In the file keys move the face, and bones what keys do not: neck and head, and bends of the tongue. The jaw's and the
eyes' bones go along with their keys and move no vertex: what a program hangs on them is in the right place, and a
program that knows keys alone loses nothing. So the tongue's bones hang on the head's bone there, not on the jaw's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import bpy
import numpy as np
from mathutils import Matrix

from ..errors import AddonError
from ..rig import bones
from ..rig.names import EYE_TARGET, HEAD, JAW, PARENTS, TONGUE
from ..rig.places import RigPlaces, rig_places
from ..scene import tags

STILL = 1e-6
"""Metres, or of a turn: a bone whose matrix changes by less over all frames is not animated."""
NAME = "Armature"
"""Unreal takes an armature of this name for no bone of its own."""


def places_of(parts: Sequence[bpy.types.Object]) -> RigPlaces:
    """Where a head's bones are. Raises ``AddonError`` for one that lacks a part or a key which tells that."""
    found = rig_places({obj[tags.PART]: obj for obj in parts})
    if found is None:
        raise AddonError(
            "A part or a key of the head that its skeleton needs was deleted.",
            "Solve it again, or export it without a skeleton.",
            "no_skeleton",
        )
    return found


def new_skeleton(head: bpy.types.Object, places: RigPlaces, units: float) -> bpy.types.Object:
    """An armature object with the head's bones at rest, in the frame of the mesh ``head``, coordinates times ``units``;
    linked to nothing yet."""
    rig = bpy.data.objects.new(NAME, bpy.data.armatures.new(NAME))
    scaled = RigPlaces({name: (a * units, b * units) for name, (a, b) in places.bones.items()}, places.motions)
    bones.place_bones(rig, scaled)
    with bones.edit_mode(rig):
        edited = rig.data.edit_bones
        edited.remove(edited[EYE_TARGET])
        edited[TONGUE[0]].parent = edited[HEAD]
    matrix = head.matrix_world.copy()
    matrix.translation *= units
    rig.matrix_world = matrix
    return rig


def bind(obj: bpy.types.Object, rig: bpy.types.Object) -> None:
    """Hang a mesh on the skeleton, and let it follow the bones that its groups name, as linear blend skinning."""
    matrix = obj.matrix_world.copy()
    obj.parent, obj.matrix_world = rig, matrix
    modifier = obj.modifiers.new(NAME, "ARMATURE")
    modifier.object = rig


def animate(rig: bpy.types.Object, courses: Mapping[str, np.ndarray], first: int, units: float) -> bool:
    """Keyframes of the bones at every frame from ``first`` on; whether there are any. ``courses`` : as
    ``Courses.bones``, in metres."""
    moves = {name: courses[name].copy() for name in PARENTS if name in courses and name in rig.data.bones}
    if HEAD in moves and JAW in moves:
        back = np.linalg.inv(moves[JAW]) @ moves[HEAD]  # the keys have taken the tongue along with the jaw
        for name in TONGUE:
            if name in moves:
                moves[name] = moves[name] @ back
    for move in moves.values():
        move[:, :3, 3] *= units
    moved = False
    for name, move in moves.items():
        bone, pose = rig.data.bones[name], rig.pose.bones[name]
        rest = np.array(bone.matrix_local)
        parent = moves.get(bone.parent.name) if bone.parent else None
        above = np.broadcast_to(np.eye(4), move.shape) if parent is None else parent
        basis = np.linalg.inv(rest) @ np.linalg.inv(above) @ move @ rest
        if np.ptp(basis, axis=0).max() < STILL:
            continue
        moved = True
        pose.rotation_mode = "QUATERNION"
        before = None
        for frame, matrix in enumerate(basis, first):
            place, turn, _ = Matrix(matrix.tolist()).decompose()
            if before is not None and turn.dot(before) < 0:  # the same turn, the short way round
                turn.negate()
            before = turn.copy()
            pose.location, pose.rotation_quaternion = place, turn
            pose.keyframe_insert("location", frame=frame)
            pose.keyframe_insert("rotation_quaternion", frame=frame)
        pose.matrix_basis = Matrix()
    return moved
