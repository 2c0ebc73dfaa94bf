"""Origins of a head's objects: the head's at its neck rim, the eyes' at the centres of the eyeballs."""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np
from mathutils import Vector

from ..protocol.result import HeadResult, ResultPart
from ..rig.names import EYE_LOOK_KEYS
from ..rig.rigid import rigid_motion, turning_point
from . import tags
from .coordinates import origin_of
from .frames import to_blender, to_head

EYES = ("eye_left", "eye_right")


def neck_pivot(head: ResultPart) -> np.ndarray:
    """(3,) centre of the skin's open rim at the neck, where the bone ``neck`` begins, head frame, rounded to a tenth of
    a millimetre; without a rim, of the lowest centimetre."""
    edges = np.sort(np.concatenate([head.quads[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 3), (3, 0))]), axis=1)
    edges = edges[edges[:, 0] != edges[:, 1]]  # remove the repeated vertex of triangles
    pairs, uses = np.unique(edges, axis=0, return_counts=True)
    height = head.vertices[:, 1]
    rim = np.unique(pairs[uses == 1])
    rim = rim[height[rim] < 0.5 * (height.min() + height.max())]
    if not len(rim):
        rim = np.flatnonzero(height < height.min() + 0.01)
    return np.round(head.vertices[rim].mean(axis=0), 4)


def eye_centre(eye: ResultPart) -> np.ndarray:
    """(3,) centre about which the look keys rotate an eyeball, head frame; without such keys the centre of its box."""
    motions = [
        rigid_motion(eye.vertices, eye.vertices + moves)
        for name, moves in zip(eye.key_names, eye.keys, strict=True)
        if name.startswith(EYE_LOOK_KEYS)
    ]
    found = turning_point(motions)
    return 0.5 * (eye.vertices.min(axis=0) + eye.vertices.max(axis=0)) if found is None else found.astype(np.float32)


def seen_from(result: HeadResult, origin: np.ndarray) -> HeadResult:
    """The result in a frame with its origin at ``origin`` (3,), head frame: parts, hair and cameras."""
    hair, cards = result.hair, result.hair_cards
    photos = []
    for photo in result.photos:
        pose = photo.camera_from_head.copy()
        pose[:3, 3] += pose[:3, :3] @ origin
        photos.append(replace(photo, camera_from_head=pose))
    return replace(
        result,
        parts=tuple(part_seen_from(part, origin) for part in result.parts),
        photos=tuple(photos),
        hair=None if hair is None else replace(hair, points=_less(hair.points, origin)),
        hair_cards=None if cards is None else replace(cards, vertices=_less(cards.vertices, origin)),
    )


def part_seen_from(part: ResultPart, origin: np.ndarray) -> ResultPart:
    """One part in such a frame."""
    return replace(part, vertices=_less(part.vertices, origin))


def head_origin(collection: bpy.types.Collection) -> np.ndarray:
    """(3,) origin of an existing head, head frame; 0 in files of earlier versions."""
    found = collection.get(tags.ORIGIN)
    return np.zeros(3, np.float32) if found is None else to_head(np.array(found, np.float32))


def remember_origin(item: bpy.types.ID, origin: np.ndarray) -> None:
    """Store ``origin`` (3,), head frame, on a mesh or a collection."""
    item[tags.ORIGIN] = to_blender(origin).tolist()


def move_origin(obj: bpy.types.Object, origin: np.ndarray) -> None:
    """After ``obj``'s mesh was rewritten relative to ``origin`` (3,), head frame: store it, and move the object so that
    its points stay in place."""
    moved = Vector((to_blender(origin) - origin_of(obj.data)).tolist())
    obj.location += obj.matrix_basis.to_3x3() @ moved
    remember_origin(obj.data, origin)


def _less(points: np.ndarray, origin: np.ndarray) -> np.ndarray:
    return (points - origin).astype(np.float32)
