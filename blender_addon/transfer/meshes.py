"""Convert meshes of the scene to arrays in world space, and motions (vertices' offsets) back to shape keys."""

from collections.abc import Sequence

import bpy
import numpy as np

from ..errors import AddonError
from ..objects import tags
from ..objects.meshes import array_of, coordinates, group_weights, neutral_coordinates, write_key
from ..shared.names import ARKIT_NAMES
from .apply import key_names
from .keys_for_mesh import MarkedPoints, SourcePart, TargetMesh
from .registration import Surface

POINT = "likeness_point"
"""Property of an empty that marks a point on its parent mesh: the point's name, the same on source and target."""


def keys_to_give(source: bpy.types.Object) -> tuple[str, ...]:
    """Names of a source's ARKit keys, or of all its keys if it has none of them; without muted ones."""
    names = [name for name in key_names(source) if not source.data.shape_keys.key_blocks[name].mute]
    arkit = tuple(name for name in names if name in ARKIT_NAMES)
    return arkit or tuple(names)


def parts_of(source: bpy.types.Object) -> list[bpy.types.Object]:
    """The mesh and, for a Likeness head, its eyes, teeth, tongue and lashes."""
    if source.get(tags.PART) != "head":
        return [source]
    head_id = source.get(tags.HEAD_ID)
    others = [o for o in source.children if o.type == "MESH" and tags.PART in o and o.get(tags.HEAD_ID) == head_id]
    return [source, *others]


def source_parts(source: bpy.types.Object, names: Sequence[str]) -> list[SourcePart]:
    """The source's meshes with the motions of the keys ``names``."""
    return [_source_part(obj, names) for obj in parts_of(source)]


def _source_part(obj: bpy.types.Object, names: Sequence[str]) -> SourcePart:
    """A mesh in world space with each key's motion (V, 3) as Blender shows it: relative to the key's reference, times
    the weights of the key's vertex group; 0 for a key that it lacks."""
    world = np.array(obj.matrix_world)
    rest = rest_coordinates(obj)
    motions = np.zeros((len(names), len(rest), 3), np.float32)
    keys = obj.data.shape_keys
    groups: dict[str, np.ndarray | None] = {}
    for number, name in enumerate(names):
        if keys is None or (block := keys.key_blocks.get(name)) is None:
            continue
        against = coordinates(block.relative_key.points) if keys.use_relative else rest
        motions[number] = (coordinates(block.points).astype(np.float64) - against) @ world[:3, :3].T
        group = block.vertex_group if keys.use_relative else ""
        if group not in groups:
            groups[group] = group_weights(obj, group)
        if groups[group] is not None:
            motions[number] *= groups[group][:, None]
    return SourcePart(rest @ world[:3, :3].T + world[:3, 3], triangles_of(obj), motions)


def target_mesh(objects: Sequence[bpy.types.Object]) -> TargetMesh:
    """The objects at rest as one mesh in world space; the first one shows the face and gives the axes."""
    sizes = [len(obj.data.vertices) for obj in objects]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    triangles = [triangles_of(obj) + start for obj, start in zip(objects, starts, strict=True)]
    axes = np.array(objects[0].matrix_world.to_quaternion().to_matrix())
    owner = np.repeat(np.arange(len(objects)), sizes)
    return TargetMesh(np.concatenate([world_rest(obj) for obj in objects]), np.concatenate(triangles), owner, axes)


def rest_coordinates(obj: bpy.types.Object) -> np.ndarray:
    """(V, 3) the mesh at rest in the object's space: its reference key if it has one."""
    return neutral_coordinates(obj.data).astype(np.float64)


def triangles_of(obj: bpy.types.Object) -> np.ndarray:
    """(T, 3) the mesh's faces as triangles."""
    mesh = obj.data
    mesh.calc_loop_triangles()
    return array_of(mesh.loop_triangles, "vertices", 3).astype(np.int64)


def world_rest(obj: bpy.types.Object) -> np.ndarray:
    """(V, 3) the mesh at rest in world space."""
    world = np.array(obj.matrix_world)
    return rest_coordinates(obj) @ world[:3, :3].T + world[:3, 3]


def inwards(obj: bpy.types.Object) -> bool:
    """Whether the mesh's normals point inwards."""
    return Surface(world_rest(obj), triangles_of(obj)).points_inwards


def into_object(obj: bpy.types.Object, motions: np.ndarray) -> np.ndarray:
    """Convert motions (..., 3) from world space to the object's axes. Raises ``AddonError`` ``flat`` for a scale of
    zero."""
    axes = np.array(obj.matrix_world)[:3, :3]
    if abs(np.linalg.det(axes)) < 1e-18:
        raise AddonError(f"{obj.name} has a scale of zero.", "Give it a size.", "flat")
    return motions @ np.linalg.inv(axes).T


def add_key(obj: bpy.types.Object, name: str, motion: np.ndarray) -> None:
    """Add a shape key, value 0, with a motion (V, 3) in the object's axes; an existing key of that name is replaced."""
    block = write_key(obj, name, rest_coordinates(obj) + motion)
    block.relative_key = obj.data.shape_keys.reference_key


def marked_points(source: bpy.types.Object, target: bpy.types.Object) -> MarkedPoints | None:
    """The points that are marked on both meshes, None if there are none."""
    here, there = points_on(source), points_on(target)
    both = sorted(here.keys() & there.keys())
    if not both:
        return None
    return MarkedPoints(
        np.array([here[n].matrix_world.translation for n in both]),
        np.array([there[n].matrix_world.translation for n in both]),
    )


def points_on(obj: bpy.types.Object) -> dict[str, bpy.types.Object]:
    """The empties that mark points of ``obj``, by the point's name."""
    return {str(child[POINT]): child for child in obj.children if child.type == "EMPTY" and POINT in child}
