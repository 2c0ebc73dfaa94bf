"""Find free space for a new head beside the objects of a scene."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import bpy
import numpy as np
from mathutils import Matrix

GAP = 0.5
"""Gap between the head and its neighbour, as a share of the head's width, so that they do not touch in the view."""
_WITH_SURFACE = {
    "MESH",
    "CURVE",
    "CURVES",
    "SURFACE",
    "META",
    "FONT",
    "VOLUME",
    "POINTCLOUD",
    "GPENCIL",
    "GREASEPENCIL",
}


def shift_beside(low: np.ndarray, high: np.ndarray, others: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Distance that a box must move along x to overlap no other box: 0 if free, else to the right.

    Parameters
    ----------
    low, high : (3,) corners of the box.
    others : corners (3,) of boxes.
    """
    gap = GAP * float(high[0] - low[0])
    level = [(other_low, other_high) for other_low, other_high in others if _overlap(low, high, other_low, other_high)]
    shift = 0.0
    for other_low, other_high in sorted(level, key=lambda box: float(box[0][0])):
        if low[0] + shift < other_high[0] and high[0] + shift > other_low[0] - (gap if shift else 0.0):
            shift = float(other_high[0] - low[0]) + gap
    return shift


def _overlap(low: np.ndarray, high: np.ndarray, other_low: np.ndarray, other_high: np.ndarray) -> bool:
    """Whether two boxes overlap in y and z, regardless of x."""
    return bool((low[1:] < other_high[1:]).all() and (high[1:] > other_low[1:]).all())


def bounds(objects: Sequence[bpy.types.Object]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner (3,) of objects in the world, also of objects not evaluated yet."""
    corners = np.concatenate([_corners(obj) for obj in objects])
    return corners.min(axis=0), corners.max(axis=0)


def _corners(obj: bpy.types.Object) -> np.ndarray:
    world = np.array(_world(obj))
    return np.array(obj.bound_box) @ world[:3, :3].T + world[:3, 3]


def _world(obj: bpy.types.Object) -> Matrix:
    """An object's world matrix from its own values, because ``matrix_world`` is from the last evaluation."""
    own = obj.matrix_basis
    return own if obj.parent is None else _world(obj.parent) @ obj.matrix_parent_inverse @ own


def place_beside(head: bpy.types.Object, parts: Sequence[bpy.types.Object], layer: bpy.types.ViewLayer) -> None:
    """Move a new ``head`` and its children beside the visible objects of the layer. parts : its objects, with
    itself."""
    there = [obj for obj in layer.objects if obj is not None]  # None stands for an object just removed
    others = [obj for obj in there if obj not in parts and obj.parent != head and obj.type in _WITH_SURFACE]
    shown = [bounds([obj]) for obj in others if obj.visible_get(view_layer=layer)]
    head.location.x += shift_beside(*bounds(parts), shown)
