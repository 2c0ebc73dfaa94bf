"""Coordinates of a mesh, a shape key or a curve as arrays."""

from __future__ import annotations

import bpy
import numpy as np

from . import tags


def coordinates(points: bpy.types.bpy_prop_collection) -> np.ndarray:
    """(N, 3) float32 coordinates of vertices, shape-key points or curve points."""
    flat = np.empty(3 * len(points), np.float32)
    points.foreach_get("co", flat)
    return flat.reshape(-1, 3)


def neutral_coordinates(mesh: bpy.types.Mesh) -> np.ndarray:
    """(V, 3) float32 coordinates of the Basis, or of the mesh if it has no keys."""
    return coordinates(mesh.shape_keys.reference_key.points if mesh.shape_keys else mesh.vertices)


def origin_of(mesh: bpy.types.Mesh) -> np.ndarray:
    """(3,) float32 origin of a part in the head frame, Blender's axes, metres; 0 in files of earlier versions."""
    found = mesh.get(tags.ORIGIN)
    return np.zeros(3, np.float32) if found is None else np.array(found, np.float32)
