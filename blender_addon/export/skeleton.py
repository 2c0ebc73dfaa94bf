"""Skeleton of an exported head: bones, skinning, and bone animation.

In the file, keys move the face, and bones move what keys do not: neck, head, and bends of the tongue. The bones of jaw
    and eyes follow their keys and move no vertex, so attachments to them are in the right place and a program that
    supports only keys loses nothing. The tongue's bones are therefore children of the head's bone in the file, not of
    the jaw's.
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

STATIC_BONE_CHANGE = 1e-6
"""Metres, or rotation-matrix units: a bone whose matrix changes by less over all frames counts as not animated."""
NAME = "Armature"
"""Unreal does not import an armature with this name as a bone of its own."""


def places_of(parts: Sequence[bpy.types.Object]) -> RigPlaces:
    """Bone positions of a head. Raises ``AddonError`` if a part or a key needed for them is missing."""
    found = rig_places({obj[tags.PART]: obj for obj in parts})
    if found is None:
        raise AddonError(
            "A part or a key of the head that its skeleton needs was deleted.",
            "Solve it again, or export it without a skeleton.",
            "no_skeleton",
        )
    return found


def new_skeleton(head: bpy.types.Object, places: RigPlaces, units: float) -> bpy.types.Object:
    """An armature object with the head's bones at rest, in the frame of the mesh ``head``, coordinates times ``units``.
    Linked to nothing yet."""
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
    """Parent a mesh to the skeleton with an armature modifier (linear blend skinning by its vertex groups)."""
    matrix = obj.matrix_world.copy()
    obj.parent, obj.matrix_world = rig, matrix
    modifier = obj.modifiers.new(NAME, "ARMATURE")
    modifier.object = rig


def animate(rig: bpy.types.Object, courses: Mapping[str, np.ndarray], first: int, units: float) -> bool:
    """Insert keyframes of the bones at every frame from ``first`` on; return whether there are any. ``courses`` : as
    ``FrameAnimation.bones``, in metres."""
    moves = {name: courses[name].copy() for name in PARENTS if name in courses and name in rig.data.bones}
    if HEAD in moves and JAW in moves:
        back = np.linalg.inv(moves[JAW]) @ moves[HEAD]  # the keys have already moved the tongue with the jaw
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
        if np.ptp(basis, axis=0).max() < STATIC_BONE_CHANGE:
            continue
        moved = True
        pose.rotation_mode = "QUATERNION"
        before = None
        for frame, matrix in enumerate(basis, first):
            place, turn, _ = Matrix(matrix.tolist()).decompose()
            if before is not None and turn.dot(before) < 0:  # same rotation, opposite sign: take the short way
                turn.negate()
            before = turn.copy()
            pose.location, pose.rotation_quaternion = place, turn
            pose.keyframe_insert("location", frame=frame)
            pose.keyframe_insert("rotation_quaternion", frame=frame)
        pose.matrix_basis = Matrix()
    return moved
