"""Bone weights of the vertices: along the neck they fall off smoothly to its rim, which stays fixed."""

from __future__ import annotations

from collections.abc import Mapping

import bpy
import numpy as np

from ..scene.coordinates import neutral_coordinates
from .names import HEAD, JAW, JAW_KEYS, NECK, ROOT, TONGUE
from .places import RigPlaces, along_tongue, neck_rim

KEYS_OFF = "jaw_by_bone"
"""Empty vertex group of the tongue that disables its jaw keys: the jaw bone moves the tongue, and both would move it
twice."""
NECK_LENGTH = 1.2
"""Distance along the skin at which the head's bone has full weight, relative to the height from neck rim to skull
joint."""
STEPS = 64
"""Weights are rounded to 1/64: 1.5 % of a rotation of 30 degrees is less than half a degree."""


def set_skin_weights(obj: bpy.types.Object, places: RigPlaces) -> None:
    """Weight the skin to root, neck and head, unless it has weights of these bones."""
    if _weighed(obj, (ROOT, NECK, HEAD)):
        return
    pivot, rim = places.bones[HEAD][0], places.bones[NECK][0]
    share = distance_from_rim(obj.data) / (NECK_LENGTH * (pivot[2] - rim[2]))
    root = 1.0 - _smooth(share / 0.5)
    head = _smooth((share - 0.3) / 0.7)
    _give(obj, {ROOT: root, NECK: np.clip(1.0 - root - head, 0.0, 1.0), HEAD: head})


def set_tongue_weights(obj: bpy.types.Object) -> None:
    """Weight the tongue: root to the jaw, middle and tip to its own bones; disable its jaw keys."""
    if not _weighed(obj, (JAW, *TONGUE)):
        along = along_tongue(neutral_coordinates(obj.data))
        tip = _smooth((along - 0.4) / 0.3)
        middle = (1.0 - tip) * _smooth(along / 0.3)
        _give(obj, {JAW: 1.0 - tip - middle, TONGUE[0]: middle, TONGUE[1]: tip})
    if KEYS_OFF not in obj.vertex_groups:
        obj.vertex_groups.new(name=KEYS_OFF)
    for block in obj.data.shape_keys.key_blocks if obj.data.shape_keys else ():
        if block.name in JAW_KEYS:
            block.vertex_group = KEYS_OFF


def free_tongue(obj: bpy.types.Object) -> None:
    """Re-enable the tongue's jaw keys, for a head without armature."""
    for block in obj.data.shape_keys.key_blocks if obj.data.shape_keys else ():
        if block.vertex_group == KEYS_OFF:
            block.vertex_group = ""


def set_rigid_weights(obj: bpy.types.Object, bone: str = HEAD) -> None:
    """Weight a whole object to one bone."""
    if not _weighed(obj, (bone,)):
        _give(obj, {bone: np.ones(len(obj.data.vertices))})


def weights_of(obj: bpy.types.Object) -> dict[str, np.ndarray]:
    """Vertex group -> (V,) weights."""
    names = {group.index: group.name for group in obj.vertex_groups}
    found = {name: np.zeros(len(obj.data.vertices)) for name in names.values()}
    for vertex in obj.data.vertices:
        for element in vertex.groups:
            found[names[element.group]][vertex.index] = element.weight
    return found


def remove_groups(obj: bpy.types.Object) -> None:
    """Remove the vertex groups of our bones."""
    for name in (ROOT, NECK, HEAD, JAW, *TONGUE, KEYS_OFF):
        group = obj.vertex_groups.get(name)
        if group is not None:
            obj.vertex_groups.remove(group)


def distance_from_rim(mesh: bpy.types.Mesh) -> np.ndarray:
    """(V,) metres along the edges to the neck's rim, smoothed once over neighbours. Unconnected pieces get the distance
    of the farthest vertex."""
    points = neutral_coordinates(mesh).astype(np.float64)
    edges = np.empty(2 * len(mesh.edges), np.int32)
    mesh.edges.foreach_get("vertices", edges)
    ends = edges.reshape(-1, 2)
    lengths = np.linalg.norm(points[ends[:, 0]] - points[ends[:, 1]], axis=1)
    there, back = ends.ravel(), ends[:, ::-1].ravel()  # each edge in both directions
    by_end = np.argsort(there, kind="stable")
    ended, firsts = np.unique(there[by_end], return_index=True)
    begun, along = back[by_end], np.repeat(lengths, 2)[by_end]
    rim, found = neck_rim(mesh), np.full(len(points), np.inf)
    found[rim] = 0.0
    nearer = True
    while nearer:
        shortest = np.minimum.reduceat(found[begun] + along, firsts)
        nearer = bool((shortest < found[ended]).any())
        found[ended] = np.minimum(found[ended], shortest)
    found[~np.isfinite(found)] = found[np.isfinite(found)].max()
    edges_of = np.bincount(there, minlength=len(points))
    of_others = np.bincount(there, found[back], len(points))
    result = 0.5 * (found + np.where(edges_of > 0, of_others / np.maximum(edges_of, 1), found))
    result[rim] = 0.0
    return result


def _smooth(share: np.ndarray) -> np.ndarray:
    """Smoothstep: 0 below 0, 1 above 1."""
    inside = np.clip(share, 0.0, 1.0)
    return inside * inside * (3.0 - 2.0 * inside)


def _weighed(obj: bpy.types.Object, names: tuple[str, ...]) -> bool:
    """Whether a vertex already has a weight in one of these groups."""
    ours = {obj.vertex_groups[name].index for name in names if name in obj.vertex_groups}
    return bool(ours) and any(group.group in ours for vertex in obj.data.vertices for group in vertex.groups)


def _give(obj: bpy.types.Object, weights: Mapping[str, np.ndarray]) -> None:
    """Write these (V,) weights, which sum to 1; they are rounded together so that they still do."""
    names = list(weights)
    levels = np.round(np.cumsum([weights[name] for name in names], axis=0) * STEPS).astype(int)
    levels[-1] = STEPS
    steps = np.diff(levels, axis=0, prepend=0)
    for name, row in zip(names, steps, strict=True):
        group = obj.vertex_groups.get(name) or obj.vertex_groups.new(name=name)
        for level in np.unique(row[row > 0]).tolist():
            group.add(np.flatnonzero(row == level).tolist(), level / STEPS, "REPLACE")
