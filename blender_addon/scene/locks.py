"""The artist's locks: skin that stays when the head is solved again, and keys that keep shape and value.

Skin is locked by the vertex group ``Lock`` of the head's mesh, which can be painted. Keys are locked by Blender's own
``ShapeKey.lock_shape``, also shown in its shape key list.
"""

from __future__ import annotations

import bpy
import numpy as np
from mathutils.kdtree import KDTree

from . import tags
from .coordinates import neutral_coordinates, origin_of
from .meshes import sculpted

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
    group = obj.vertex_groups.get(LOCK)
    if group is None:
        return None
    weights = np.zeros(len(obj.data.vertices), np.float32)
    for vertex in obj.data.vertices:
        for element in vertex.groups:
            if element.group == group.index:
                weights[vertex.index] = element.weight
    return weights if weights.any() else None


def part_weights(head: bpy.types.Object, part: bpy.types.Object) -> np.ndarray | None:
    """(V,) lock weights of another part, from the head's skin around it: per vertex for parts along the lids, one value
    for stiff parts. None if nothing is locked there."""
    locked = lock_weights(head)
    if locked is None:
        return None
    skin = neutral_coordinates(head.data) + origin_of(head.data)
    points = neutral_coordinates(part.data) + origin_of(part.data)
    if part.get(tags.PART) in LID_ATTACHED_PARTS:
        tree = KDTree(len(skin))
        for number, point in enumerate(skin.tolist()):
            tree.insert(point, number)
        tree.balance()
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
    edges = np.empty(2 * len(mesh.edges), np.int32)
    mesh.edges.foreach_get("vertices", edges)
    a, b = edges.reshape(-1, 2).T
    for ring in range(1, FADE_RINGS):
        near = weights.copy()
        np.maximum.at(near, a, weights[b])
        np.maximum.at(near, b, weights[a])
        weights = np.where((weights == 0) & (near > 0), np.float32(1 - ring / FADE_RINGS), weights)
    return weights


def locked_keys(keys: bpy.types.Key | None) -> set[str]:
    """Names of the shape keys that are locked."""
    return set() if keys is None else {block.name for block in keys.key_blocks[1:] if block.lock_shape}
