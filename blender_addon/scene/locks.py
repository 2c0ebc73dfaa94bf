"""What an artist has locked: skin that solving again leaves as it is, and keys that keep shape and value.

Skin is locked by the vertex group ``Lock`` of the head's mesh, which anybody can paint; a key by Blender's own lock of
shape keys (``ShapeKey.lock_shape``), which is in its list of them, too.
"""

from __future__ import annotations

import bpy
import numpy as np
from mathutils.kdtree import KDTree

from . import tags
from .coordinates import neutral_coordinates, origin_of
from .meshes import sculpted

LOCK = "Lock"
"""Name of the vertex group: 1 stays, 0 is solved anew, between them it is mixed."""
FADE_RINGS = 4
"""Rings of edges over which the lock of a sculpt fades out, so that no step is left at its border."""
ALONG_LIDS = ("lashes", "tear_lines", "caruncles")
"""Parts that bend with the skin next to them."""
AROUND_METRES = 0.01
"""Added to the skin's distance from the middle of an eye, the teeth or the tongue, in units of which skin around it
counts less."""


def lock_weights(obj: bpy.types.Object) -> np.ndarray | None:
    """(V,) float32 of the group ``Lock`` in [0, 1]; None without it, and where it holds no vertex."""
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
    """(V,) how far another part stays, as the head's skin around it does: what lies along the lids vertex by vertex,
    all else, which is stiff, as a whole. None where nothing is locked there."""
    locked = lock_weights(head)
    if locked is None:
        return None
    skin = neutral_coordinates(head.data) + origin_of(head.data)
    points = neutral_coordinates(part.data) + origin_of(part.data)
    if part.get(tags.PART) in ALONG_LIDS:
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
    """How far the parts of one head stay, asked for in their order: a cornea as its eye does, which it lies on."""

    def __init__(self) -> None:
        self._eyes: dict[str, float] = {}

    def of(self, head: bpy.types.Object, obj: bpy.types.Object) -> np.ndarray | None:
        """(V,) of ``obj``, the head or another part; None where nothing of it is locked."""
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
    """Lock vertices by weights (V,) in [0, 1], those that are locked more already staying so."""
    group = obj.vertex_groups.get(LOCK) or obj.vertex_groups.new(name=LOCK)
    before = lock_weights(obj)
    wanted = weights if before is None else np.maximum(weights, before)
    for weight in np.unique(wanted[wanted > 0]):
        group.add(np.flatnonzero(wanted == weight).tolist(), float(weight), "REPLACE")


def unlock(obj: bpy.types.Object) -> None:
    """Take the group away."""
    group = obj.vertex_groups.get(LOCK)
    if group is not None:
        obj.vertex_groups.remove(group)


def sculpted_weights(mesh: bpy.types.Mesh) -> np.ndarray | None:
    """(V,) 1 where somebody has moved the basis, fading out around it; None where nobody has."""
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
