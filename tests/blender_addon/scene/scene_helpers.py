"""What the tests of the scene look at."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from blender_addon.protocol.result import HeadResult, ResultPart


def to_the_end(steps: Generator[object, None, str]) -> str:
    """What steps return that run at once."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def import_head(result: HeadResult, context: Any, *given: object, **more: object) -> Any:
    """The collection of a head that ``import_steps`` has put into the scene of ``context``."""
    from blender_addon.objects.tags import Place
    from blender_addon.scene.importing import import_steps

    name = to_the_end(import_steps(result, Place.shown(context), *given, **more))
    return context.blend_data.collections[name]


def coordinates(points: Any) -> np.ndarray:
    """(N, 3) ``co`` of vertices or of a key's points."""
    flat = np.empty(3 * len(points), np.float32)
    points.foreach_get("co", flat)
    return flat.reshape(-1, 3)


def points_of(curves: Any) -> np.ndarray:
    """(N, 3) points of strands."""
    flat = np.empty(3 * len(curves.points), np.float32)
    curves.position_data.foreach_get("vector", flat)
    return flat.reshape(-1, 3)


def local(part: ResultPart, obj: Any) -> np.ndarray:
    """(V, 3) a part's neutral vertices about the origin of its object, Blender's axes."""
    from blender_addon.objects.meshes import origin_of, to_blender

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


def image_pixels(image: Any) -> np.ndarray:
    """(H, W, channels) pixels of an image as its file has them, row 0 at the bottom."""
    flat = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(flat)
    return flat.reshape(image.size[1], image.size[0], image.channels)


def baked_pixels(bpy, head, kind: str, size: int) -> np.ndarray:
    """(S, S, 4) linear pixels, row 0 at the bottom, of what Cycles bakes of a head's skin by its active map."""
    tree = head.material_slots[0].material.node_tree
    target = tree.nodes.new("ShaderNodeTexImage")
    target.image = bpy.data.images.new("baked", size, size, float_buffer=True)
    target.image.colorspace_settings.name = "Non-Color"
    tree.nodes.active = target
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 1, "CPU"
    bpy.ops.object.select_all(action="DESELECT")
    head.select_set(True)
    bpy.context.view_layer.objects.active = head
    for other in bpy.data.objects:  # a bake prepares all that it could meet, and evaluates hair that it does not render
        other.hide_render = other is not head
    head.material_slots[0].material.cycles.emission_sampling = "NONE"  # its triangles are no lamps: a second a bake
    bpy.ops.object.bake(type=kind, margin=0)
    pixels = np.empty(4 * size * size, np.float32)
    target.image.pixels.foreach_get(pixels)
    tree.nodes.remove(target)
    return pixels.reshape(size, size, 4)


def evaluated_value(bpy, material, name: str) -> float:
    """What drivers have made of a value node of a material."""
    bpy.context.view_layer.update()
    tree = material.evaluated_get(bpy.context.evaluated_depsgraph_get()).node_tree
    return tree.nodes[name].outputs[0].default_value


def counts(bpy) -> dict[str, int]:
    """How many datablocks of each kind the file has."""
    kinds = ("objects", "meshes", "materials", "images", "cameras", "collections", "shape_keys")
    return {kind: len(getattr(bpy.data, kind)) for kind in kinds}


def subdivision(obj) -> Any:
    """An object's subdivision modifier, wherever it stands."""
    (found,) = [modifier for modifier in obj.modifiers if modifier.type == "SUBSURF"]
    return found
