"""What the tests of the scene look at."""

from __future__ import annotations

from typing import Any

import numpy as np

from blender_addon.protocol.result import ResultPart


def coordinates(points: Any) -> np.ndarray:
    """(N, 3) ``co`` of vertices or of a key's points."""
    flat = np.empty(3 * len(points), np.float32)
    points.foreach_get("co", flat)
    return flat.reshape(-1, 3)


def local(part: ResultPart, obj: Any) -> np.ndarray:
    """(V, 3) a part's neutral vertices about the origin of its object, Blender's axes."""
    from blender_addon.scene.coordinates import origin_of
    from blender_addon.scene.frames import to_blender

    return to_blender(part.vertices) - origin_of(obj.data)


def evaluated(bpy, obj) -> np.ndarray:
    """(V, 3) an object's vertices in world space with keys, drivers and modifiers."""
    bpy.context.view_layer.update()
    posed = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = posed.to_mesh()
    points = coordinates(mesh.vertices)
    posed.to_mesh_clear()
    matrix = np.array(obj.matrix_world)
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def counts(bpy) -> dict[str, int]:
    """How many datablocks of each kind the file has."""
    kinds = ("objects", "meshes", "materials", "images", "cameras", "collections", "shape_keys")
    return {kind: len(getattr(bpy.data, kind)) for kind in kinds}


def subdivision(obj) -> Any:
    """An object's subdivision modifier, wherever it stands."""
    (found,) = [modifier for modifier in obj.modifiers if modifier.type == "SUBSURF"]
    return found
