"""How much each vertex follows which bone: the neck falls off smoothly to its rim, which stays."""

from __future__ import annotations

from collections.abc import Mapping

import bpy
import numpy as np

from ..scene.coordinates import neutral_coordinates
from .names import HEAD, JAW, JAW_KEYS, NECK, ROOT, TONGUE
from .places import RigPlaces, along_tongue, neck_rim

KEYS_OFF = "jaw_by_bone"
"""Vertex group of the tongue without any vertex: the jaw's keys are confined to it, because there the jaw's bone moves
the tongue, and both would move it twice."""
NECK_LENGTH = 1.2
"""Of the height from the neck's rim to the skull's joint: so far along the skin the head's bone has all."""
STEPS = 64
"""Weights are rounded to this fraction: 1.5 % of a turn of 30 degrees is less than half a degree."""


def weigh_skin(obj: bpy.types.Object, places: RigPlaces) -> None:
    """Root, neck and head for the skin, unless it has weights of these bones."""
    if _weighed(obj, (ROOT, NECK, HEAD)):
        return
    pivot, rim = places.bones[HEAD][0], places.bones[NECK][0]
    share = distance_from_rim(obj.data) / (NECK_LENGTH * (pivot[2] - rim[2]))
    root = 1.0 - _smooth(share / 0.5)
    head = _smooth((share - 0.3) / 0.7)
    _give(obj, {ROOT: root, NECK: np.clip(1.0 - root - head, 0.0, 1.0), HEAD: head})


def weigh_tongue(obj: bpy.types.Object) -> None:
    """The tongue's root rides on the jaw, its middle and tip on their bones; and its jaw keys are confined."""
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
    """Give the tongue's jaw keys back to it, for a head without armature."""
    for block in obj.data.shape_keys.key_blocks if obj.data.shape_keys else ():
        if block.vertex_group == KEYS_OFF:
            block.vertex_group = ""


def weigh_whole(obj: bpy.types.Object, bone: str = HEAD) -> None:
    """An object that goes with one bone as a whole."""
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
    """Take the groups of our bones away again."""
    for name in (ROOT, NECK, HEAD, JAW, *TONGUE, KEYS_OFF):
        group = obj.vertex_groups.get(name)
        if group is not None:
            obj.vertex_groups.remove(group)


def distance_from_rim(mesh: bpy.types.Mesh) -> np.ndarray:
    """(V,) metres along the edges to the neck's rim, smoothed once over neighbours; where no edge leads from
    there, as to a loose piece, as far as the farthest vertex."""
    points = neutral_coordinates(mesh).astype(np.float64)
    edges = np.empty(2 * len(mesh.edges), np.int32)
    mesh.edges.foreach_get("vertices", edges)
    ends = edges.reshape(-1, 2)
    lengths = np.linalg.norm(points[ends[:, 0]] - points[ends[:, 1]], axis=1)
    there, back = ends.ravel(), ends[:, ::-1].ravel()  # each edge both ways
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
    """0 below 0, 1 above 1, without a corner in between."""
    inside = np.clip(share, 0.0, 1.0)
    return inside * inside * (3.0 - 2.0 * inside)


def _weighed(obj: bpy.types.Object, names: tuple[str, ...]) -> bool:
    """Whether a vertex has a weight of one of these groups already."""
    ours = {obj.vertex_groups[name].index for name in names if name in obj.vertex_groups}
    return bool(ours) and any(group.group in ours for vertex in obj.data.vertices for group in vertex.groups)


def _give(obj: bpy.types.Object, weights: Mapping[str, np.ndarray]) -> None:
    """Groups with these (V,) weights that sum to 1, rounded together so that they still do."""
    names = list(weights)
    levels = np.round(np.cumsum([weights[name] for name in names], axis=0) * STEPS).astype(int)
    levels[-1] = STEPS
    steps = np.diff(levels, axis=0, prepend=0)
    for name, row in zip(names, steps, strict=True):
        group = obj.vertex_groups.get(name) or obj.vertex_groups.new(name=name)
        for level in np.unique(row[row > 0]).tolist():
            group.add(np.flatnonzero(row == level).tolist(), level / STEPS, "REPLACE")
