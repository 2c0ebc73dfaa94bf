"""Copies of a head for an exporter: no modifiers, no drivers, all keys, subdivided or joined as the file requires."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np

from ..protocol.names import ALL_PART_NAMES, BUST, PART_NAMES
from ..rig import weights
from ..rig.names import HEAD, JAW, PARENTS, ROOT
from ..rig.places import RigPlaces
from ..scene import tags
from ..scene.coordinates import coordinates

ONE_MESH_PARTS: tuple[str, ...] = tuple(name for name in PART_NAMES if name != "lashes")
"""Without lashes and the parts over the eyes: they need opacity, which the shared material does not have."""


def export_parts(collection: bpy.types.Collection) -> list[bpy.types.Object]:
    """The objects of a head that are exported, head first."""
    found = [tags.part_object(collection, name) for name in ALL_PART_NAMES]
    return [obj for obj in found if obj is not None]


def weighted_copy(obj: bpy.types.Object, places: RigPlaces) -> bpy.types.Object:
    """A copy of ``obj`` with its own mesh and weights for the skeleton's bones: existing weights, else computed ones.
    Linked to nothing. The tongue follows the head's bone instead of the jaw's, because its keys already move it with
    the jaw."""
    copy = bpy.data.objects.new(obj.name, obj.data.copy())
    copy.matrix_world = obj.matrix_world
    part = obj[tags.PART]
    if part == "head":
        weights.set_skin_weights(copy, places)
    elif part == "tongue":
        weights.set_tongue_weights(copy)
        copy.vertex_groups.remove(copy.vertex_groups[weights.KEYS_OFF])
        jaw = copy.vertex_groups.get(JAW)
        if jaw is not None:
            jaw.name = HEAD
    elif part == BUST:
        weights.set_rigid_weights(copy, ROOT)
    else:
        weights.set_rigid_weights(copy)
    for group in [group for group in copy.vertex_groups if group.name not in PARENTS]:
        copy.vertex_groups.remove(group)
    return copy


def neutral_copy(obj: bpy.types.Object, name: str, subdivision: int, units: float) -> bpy.types.Object:
    """A copy of ``obj`` called ``name`` with its own mesh: every key, at 0 and without drivers, after ``subdivision``
    Catmull-Clark steps; coordinates in the object's own frame times ``units``."""
    mesh = _subdivided(obj, subdivision) if subdivision else obj.data.copy()
    keys = mesh.shape_keys
    if keys is not None:
        keys.animation_data_clear()
        for block in keys.key_blocks:
            block.value, block.mute, block.vertex_group = 0.0, False, ""
    mesh.name = name
    copy = bpy.data.objects.new(name, mesh)
    if units != 1.0:
        _scale(mesh, units)
    matrix = obj.matrix_world.copy()
    matrix.translation *= units
    copy.matrix_world = matrix
    return copy


def joined(parts: Sequence[bpy.types.Object], name: str) -> bpy.types.Object:
    """Join copies into one object, in the frame of the first: vertices, vertex groups, UV map ``Head``, the head's
    material, and all keys of the first part. The parts and their meshes are removed."""
    meshes = [part.data for part in parts]
    groups = [weights.weights_of(part) for part in parts]
    counts = [len(mesh.vertices) for mesh in meshes]
    starts = np.cumsum([0, *counts])
    mesh = bpy.data.meshes.new(name)
    into = parts[0].matrix_world.inverted()
    frames = [np.array(into @ part.matrix_world) for part in parts]
    vertices = np.concatenate([_moved(coordinates(m.vertices), f) for m, f in zip(meshes, frames, strict=True)])
    loops = np.concatenate([_ints(m.loops, "vertex_index") + start for m, start in zip(meshes, starts, strict=False)])
    totals = np.concatenate([_ints(m.polygons, "loop_total") for m in meshes])
    mesh.vertices.add(len(vertices))
    mesh.loops.add(len(loops))
    mesh.polygons.add(len(totals))
    mesh.vertices.foreach_set("co", vertices.ravel())
    mesh.loops.foreach_set("vertex_index", loops)
    mesh.polygons.foreach_set("loop_start", np.concatenate([[0], np.cumsum(totals)[:-1]]).astype(np.int32))
    uv = mesh.uv_layers.new(name=meshes[0].uv_layers[0].name, do_init=False)
    uv.uv.foreach_set("vector", np.concatenate([_floats(m.uv_layers[0].uv, "vector", 2) for m in meshes]).ravel())
    mesh.update(calc_edges=True)
    mesh.shade_smooth()
    mesh.materials.append(meshes[0].materials[0] if meshes[0].materials else None)
    obj = bpy.data.objects.new(name, mesh)
    obj.matrix_world = parts[0].matrix_world.copy()
    for block in meshes[0].shape_keys.key_blocks if meshes[0].shape_keys else ():
        key = obj.shape_key_add(name=block.name, from_mix=False)
        key.value = 0.0
        moved = vertices.copy()
        for part, frame, start, count in zip(meshes, frames, starts, counts, strict=False):
            own = part.shape_keys.key_blocks.get(block.name) if part.shape_keys else None
            if own is not None:
                moved[start : start + count] = _moved(coordinates(own.points), frame)
        key.points.foreach_set("co", moved.ravel())
    for group in dict.fromkeys(group for own in groups for group in own):
        whole = np.concatenate([own.get(group, np.zeros(n)) for own, n in zip(groups, counts, strict=True)])
        made = obj.vertex_groups.new(name=group)
        for weight in np.unique(whole[whole > 0]):
            made.add(np.flatnonzero(whole == weight).tolist(), float(weight), "REPLACE")
    for part, own in zip(parts, meshes, strict=True):
        bpy.data.objects.remove(part)
        bpy.data.meshes.remove(own)
    obj.name = mesh.name = name  # one of the parts had this name
    return obj


def _moved(points: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Transform points (N, 3) by a matrix (4, 4)."""
    return (points @ frame[:3, :3].T + frame[:3, 3]).astype(np.float32)


def _subdivided(obj: bpy.types.Object, levels: int) -> bpy.types.Mesh:
    """A mesh of ``obj`` after Catmull-Clark steps, with its keys; each key is evaluated separately."""
    plain = bpy.data.objects.new("likeness export", obj.data.copy())
    if plain.data.shape_keys:
        plain.data.shape_keys.animation_data_clear()
    modifier = plain.modifiers.new("Subdivision", "SUBSURF")
    modifier.levels = modifier.render_levels = levels
    modifier.uv_smooth = "NONE"
    scene = bpy.context.scene
    scene.collection.objects.link(plain)
    blocks = list(plain.data.shape_keys.key_blocks) if plain.data.shape_keys else []
    try:
        for block in blocks:
            block.value, block.mute, block.vertex_group = 0.0, False, ""
        mesh = _evaluated(plain)
        rest = coordinates(mesh.vertices)
        offsets = {}
        for block in blocks[1:]:
            block.value = 1.0
            offsets[block.name] = _evaluated_coordinates(plain)
            block.value = 0.0
        first = blocks[0].name if blocks else ""
    finally:
        data = plain.data
        bpy.data.objects.remove(plain)
        bpy.data.meshes.remove(data)
    if offsets:
        holder = bpy.data.objects.new("likeness export", mesh)
        holder.shape_key_add(name=first, from_mix=False)
        for name, moved in offsets.items():
            key = holder.shape_key_add(name=name, from_mix=False)
            key.value = 0.0
            key.points.foreach_set("co", moved.ravel())
        mesh.shape_keys.key_blocks[0].points.foreach_set("co", rest.ravel())
        bpy.data.objects.remove(holder)
    return mesh


def _evaluated(obj: bpy.types.Object) -> bpy.types.Mesh:
    graph = bpy.context.evaluated_depsgraph_get()
    graph.update()
    return bpy.data.meshes.new_from_object(obj.evaluated_get(graph), preserve_all_data_layers=True, depsgraph=graph)


def _evaluated_coordinates(obj: bpy.types.Object) -> np.ndarray:
    graph = bpy.context.evaluated_depsgraph_get()
    graph.update()
    found = obj.evaluated_get(graph).to_mesh()
    try:
        return coordinates(found.vertices)
    finally:
        obj.evaluated_get(graph).to_mesh_clear()


def _scale(mesh: bpy.types.Mesh, factor: float) -> None:
    mesh.vertices.foreach_set("co", (coordinates(mesh.vertices) * factor).ravel())
    for block in mesh.shape_keys.key_blocks if mesh.shape_keys else ():
        block.points.foreach_set("co", (coordinates(block.points) * factor).ravel())
    mesh.update()


def _floats(items: bpy.types.bpy_prop_collection, name: str, width: int) -> np.ndarray:
    values = np.empty(len(items) * width, np.float32)
    items.foreach_get(name, values)
    return values.reshape(-1, width)


def _ints(items: bpy.types.bpy_prop_collection, name: str) -> np.ndarray:
    values = np.empty(len(items), np.int32)
    items.foreach_get(name, values)
    return values
