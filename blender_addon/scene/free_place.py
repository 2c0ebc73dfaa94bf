"""Where a new head finds room: beside what a scene shows already, not inside of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import bpy
import numpy as np
from mathutils import Matrix

GAP = 0.5
"""Of the head's own width, between it and what stands beside it: neither touches the other in the view."""
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
    """How far along x a box has to move so that it meets none of the others: 0 where it is free, else to the right.

    Parameters
    ----------
    low, high : (3,) corners of the box. others : corners (3,) of boxes.
    """
    gap = GAP * float(high[0] - low[0])
    level = [(other_low, other_high) for other_low, other_high in others if _overlap(low, high, other_low, other_high)]
    shift = 0.0
    for other_low, other_high in sorted(level, key=lambda box: float(box[0][0])):
        if low[0] + shift < other_high[0] and high[0] + shift > other_low[0] - (gap if shift else 0.0):
            shift = float(other_high[0] - low[0]) + gap
    return shift


def _overlap(low: np.ndarray, high: np.ndarray, other_low: np.ndarray, other_high: np.ndarray) -> bool:
    """Whether two boxes share heights and depths, wherever they are along x."""
    return bool((low[1:] < other_high[1:]).all() and (high[1:] > other_low[1:]).all())


def bounds(objects: Sequence[bpy.types.Object]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner (3,) of objects in the world; of one that has not been evaluated, too."""
    corners = np.concatenate([_corners(obj) for obj in objects])
    return corners.min(axis=0), corners.max(axis=0)


def _corners(obj: bpy.types.Object) -> np.ndarray:
    world = np.array(_world(obj))
    return np.array(obj.bound_box) @ world[:3, :3].T + world[:3, 3]


def _world(obj: bpy.types.Object) -> Matrix:
    """An object's place in the world out of its own values: ``matrix_world`` is the last evaluation's."""
    own = obj.matrix_basis
    return own if obj.parent is None else _world(obj.parent) @ obj.matrix_parent_inverse @ own


def stand_beside(head: bpy.types.Object, parts: Sequence[bpy.types.Object], layer: bpy.types.ViewLayer) -> None:
    """Move a new ``head``, and what hangs on it, beside what the layer shows. parts : its objects, with itself."""
    there = [obj for obj in layer.objects if obj is not None]  # None stands for what was just removed
    others = [obj for obj in there if obj not in parts and obj.parent != head and obj.type in _WITH_SURFACE]
    shown = [bounds([obj]) for obj in others if obj.visible_get(view_layer=layer)]
    head.location.x += shift_beside(*bounds(parts), shown)
