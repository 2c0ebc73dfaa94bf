"""Meshes of the scene: the head frame (x to the person's left, y up, z out of the face) as Blender's (x, -z, y),
coordinates and attributes as arrays, and a part's mesh. Begin at ``new_mesh`` and ``update_mesh``.
"""

from collections.abc import Callable, Sequence

import bpy
import numpy as np
from mathutils.kdtree import KDTree

from ..protocol.buffers import malformed
from ..protocol.result import HeadResult, ResultPart
from ..shared.names import BUST, LASHES
from . import tags


def array_of(items: bpy.types.bpy_prop_collection, name: str, width: int = 1, kind: type = np.int32) -> np.ndarray:
    """Property ``name`` of N items: (N,), or (N, ``width``), int32 or of another ``kind``."""
    values = np.empty((len(items), width), kind)
    items.foreach_get(name, values.ravel())
    return values if width > 1 else values[:, 0]


def along_edges(points: np.ndarray, edges: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(V,) shortest way along ``edges`` (E, 2) between ``points`` (V, 3) from those of ``start``; infinite if none."""
    there, back = edges.ravel(), edges[:, ::-1].ravel()  # each edge in both directions
    by_end = np.argsort(there, kind="stable")
    ended, firsts = np.unique(there[by_end], return_index=True)
    begun, lengths = back[by_end], np.repeat(np.linalg.norm(np.diff(points[edges], axis=1)[:, 0], axis=1), 2)[by_end]
    ways = np.full(len(points), np.inf)
    ways[start], nearer = 0.0, True
    while nearer:
        shortest = np.minimum.reduceat(ways[begun] + lengths, firsts)
        nearer = bool((shortest < ways[ended]).any())
        ways[ended] = np.minimum(ways[ended], shortest)
    return ways


def smooth(share: np.ndarray) -> np.ndarray:
    """Smoothstep: 0 below 0, 1 above 1."""
    inside = np.clip(share, 0.0, 1.0)
    return inside * inside * (3.0 - 2.0 * inside)


def coordinates(points: bpy.types.bpy_prop_collection) -> np.ndarray:
    """(N, 3) float32 coordinates of vertices, shape-key points or curve points."""
    return array_of(points, "co", 3, np.float32)


def neutral_coordinates(mesh: bpy.types.Mesh) -> np.ndarray:
    """(V, 3) float32 coordinates of the Basis, or of the mesh if it has no keys."""
    return coordinates(mesh.shape_keys.reference_key.points if mesh.shape_keys else mesh.vertices)


def group_weights(obj: bpy.types.Object, name: str) -> np.ndarray | None:
    """(V,) float32 weights of a vertex group in [0, 1]; None if it is missing."""
    if (group := obj.vertex_groups.get(name)) is None:
        return None
    weights = np.zeros(len(obj.data.vertices), np.float32)
    for vertex in obj.data.vertices:
        for element in vertex.groups:
            if element.group == group.index:
                weights[vertex.index] = element.weight
    return weights


def attribute_or(missing: np.ndarray, mesh: bpy.types.Mesh, name: str, field: str = "value") -> np.ndarray:
    """An attribute's values, shaped as ``missing``; that itself where the mesh lacks the attribute."""
    attribute = mesh.attributes.get(name)
    if attribute is None or len(attribute.data) != len(missing):
        return missing
    values = np.empty_like(missing)
    attribute.data.foreach_get(field, values.ravel())
    return values


def write_attribute(
    data: bpy.types.ID, name: str, kind: str, field: str, values: np.ndarray, domain: str = "POINT"
) -> bpy.types.Attribute:
    """Write an attribute of a mesh or curves, created if missing; ``kind`` is ``INT`` or of floats."""
    attribute = data.attributes.get(name) or data.attributes.new(name, kind, domain)
    attribute.data.foreach_set(field, np.ascontiguousarray(values, np.int32 if kind == "INT" else np.float32).ravel())
    return attribute


def hm08_vertices(mesh: bpy.types.Mesh) -> np.ndarray:
    """(V,) vertices of MakeHuman's base mesh, -1 for none."""
    return attribute_or(np.full(len(mesh.vertices), -1, np.int32), mesh, HM08_VERTEX)


def hm08_order(mesh: bpy.types.Mesh) -> np.ndarray:
    """Numbers of the vertices that hm08 has, in its order; none without the attribute ``hm08_vertex``."""
    numbers = hm08_vertices(mesh)
    order = np.argsort(numbers)
    return order[numbers[order] >= 0]


def search_tree(points: np.ndarray) -> KDTree:
    """A tree that finds the nearest of points (N, 3) and their numbers."""
    tree = KDTree(len(points))
    for number, point in enumerate(points.tolist()):
        tree.insert(point, number)
    tree.balance()
    return tree


def beside(points: np.ndarray, places: np.ndarray, count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (P, K) of the ``count`` points (N, 3) nearest to each of places (P, 3), and weights by their distance."""
    tree = search_tree(points)
    found = [tree.find_n(place, min(count, len(points))) for place in places.tolist()]
    weights = np.array([[1.0 / (distance + 1e-4) for _, _, distance in near] for near in found], np.float32)
    return np.array([[number for _, number, _ in near] for near in found]), weights / weights.sum(1, keepdims=True)


def cross_2d(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(...,) the z component of the cross product of vectors (..., 2)."""
    return one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]


def origin_of(mesh: bpy.types.Mesh) -> np.ndarray:
    """(3,) float32 origin of a part in the head frame, Blender's axes, metres; 0 for other meshes."""
    found = mesh.get(tags.ORIGIN)
    return np.zeros(3, np.float32) if found is None else np.array(found, np.float32)


BLENDER_FROM_HEAD = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
"""(4, 4): in Blender's frame the face looks along -y and up is z."""


def to_blender(points: np.ndarray) -> np.ndarray:
    """Points or offsets (..., 3) from the head frame to Blender's, as contiguous float32."""
    return np.ascontiguousarray(points[..., [0, 2, 1]] * [1.0, -1.0, 1.0], np.float32)


def to_head(points: np.ndarray) -> np.ndarray:
    """Points or offsets (..., 3) from Blender's frame to the head frame, as contiguous float32."""
    return np.ascontiguousarray(points[..., [0, 2, 1]] * [1.0, 1.0, -1.0], np.float32)


UV_HEAD, UV_MAKEHUMAN, UV_EYE, UV_LASH = "Head", "MakeHuman", "Eye", "Lash"  # UV maps
HM08_VERTEX = "hm08_vertex"  # attribute of MakeHuman's numbers
MOUTH_INSIDE = "mouth_inside"
"""Attribute of the head's mesh: 1 behind the lips, 0 on the skin."""
SKIN_ROUGHNESS = "skin_roughness"
"""Attribute of the head's and the bust's mesh: the roughness of the skin, above 0."""
ORIGINAL_BASIS = "likeness_as_made"
"""Attribute of a mesh: the basis as it was made, used to detect sculpting."""
KEY_SCALE = "likeness_key_scale"
"""Attribute of a mesh: see ``key_scales``."""
SCULPTED_METRES = 1e-5
"""A vertex this far from its original position counts as sculpted."""


def new_mesh(part: ResultPart) -> bpy.types.Mesh:
    """A smooth mesh of the part's neutral shape with its UV maps and attributes, without shape keys.

    Raises ``AddonError`` ``malformed`` if Blender considers the resulting mesh invalid.
    """
    mesh = bpy.data.meshes.new(part.name)
    try:
        _fill(mesh, part)
    except BaseException:
        bpy.data.meshes.remove(mesh)
        raise
    return mesh


def _corners_of(quads: np.ndarray) -> np.ndarray:
    """(F, 4) which corners of faces count: a triangle repeats its last one."""
    corners = np.ones(quads.shape, bool)
    corners[:, 3] = quads[:, 3] != quads[:, 2]
    return corners


def _fill(mesh: bpy.types.Mesh, part: ResultPart) -> None:
    corners = _corners_of(part.quads)
    sizes = corners.sum(axis=1)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    mesh.vertices.add(len(part.vertices))
    mesh.loops.add(int(sizes.sum()))
    mesh.polygons.add(len(part.quads))
    mesh.vertices.foreach_set("co", to_blender(part.vertices).ravel())
    mesh.loops.foreach_set("vertex_index", part.quads[corners])
    mesh.polygons.foreach_set("loop_start", starts)
    for name, uv, quads in (
        (UV_HEAD, part.uv, part.uv_quads),
        (UV_MAKEHUMAN, part.uv_makehuman, part.uv_makehuman_quads),
    ):
        layer = mesh.uv_layers.new(name=name, do_init=False)
        layer.uv.foreach_set("vector", np.ascontiguousarray(uv[quads[corners]]).ravel())
    mesh.uv_layers[UV_HEAD].active = True
    mesh.uv_layers[UV_HEAD].active_render = True
    write_attribute(mesh, HM08_VERTEX, "INT", "value", part.hm08_vertex)
    write_attribute(mesh, ORIGINAL_BASIS, "FLOAT_VECTOR", "vector", to_blender(part.vertices))
    mesh.update(calc_edges=True)
    if mesh.validate():
        raise malformed(f"the faces of part {part.name} do not make a mesh")
    mesh.shade_smooth()


def put_own_maps(object_of: Callable[[str], bpy.types.Object], result: HeadResult) -> None:
    """Add the UV maps ``Eye`` of the eyeballs and ``Lash`` of the lashes; ``object_of`` returns a part's object by
    name."""
    for name, places in result.eyes.uv.items():
        _put_map(object_of(name).data, UV_EYE, places)
    if result.lashes is not None:
        _put_map(object_of(LASHES).data, UV_LASH, result.lashes.places)


def _put_map(mesh: bpy.types.Mesh, name: str, places: np.ndarray) -> None:
    """Add a UV map from the vertices' UV coordinates (V, 2), v up, as the active one, which Solid shading uses; skipped
    for an edited mesh."""
    if len(mesh.vertices) != len(places):
        return
    corners = array_of(mesh.loops, "vertex_index")
    layer = mesh.uv_layers.get(name)
    if layer is None:
        layer = mesh.uv_layers.new(name=name, do_init=False)
        mesh.uv_layers.active = layer
    layer.uv.foreach_set("vector", np.ascontiguousarray(places[corners], np.float32).ravel())


def put_skin_values(object_of: Callable[[str], bpy.types.Object], result: HeadResult) -> None:
    """Set the attributes ``MOUTH_INSIDE`` and ``SKIN_ROUGHNESS``; ``object_of`` returns a part's object by name. The
    bust gets the roughness of the neck's rim. Edited meshes are skipped."""
    rough = result.skin_roughness
    found = [("head", MOUTH_INSIDE, result.mouth_inside), ("head", SKIN_ROUGHNESS, rough)]
    if result.parts[-1].name == BUST:
        at_rim = rough[result.head.vertices[:, 1].argmin()]
        found.append((BUST, SKIN_ROUGHNESS, np.full(len(result.parts[-1].vertices), at_rim)))
    for part, name, values in found:
        mesh = object_of(part).data
        if len(mesh.vertices) == len(values):
            write_attribute(mesh, name, "FLOAT", "value", values)


def write_key(obj: bpy.types.Object, name: str, points: np.ndarray) -> bpy.types.ShapeKey:
    """Write coordinates (V, 3) into an object's key; a missing one is added at 0, after ``Basis``."""
    if obj.data.shape_keys is None:
        obj.shape_key_add(name="Basis", from_mix=False)
        obj.data.shape_keys.name = obj.data.name
    block = obj.data.shape_keys.key_blocks.get(name)
    if block is None:
        block = obj.shape_key_add(name=name, from_mix=False)
        block.value = 0.0  # a new key starts at 1 from Blender 5.0 on
    block.points.foreach_set("co", points.astype(np.float32).ravel())
    return block


def add_keys(obj: bpy.types.Object, part: ResultPart, names: Sequence[str]) -> None:
    """Add the part's shape keys ``names``."""
    basis = to_blender(part.vertices)
    for name in names:
        write_key(obj, name, basis + to_blender(part.keys[part.key_names.index(name)]))


def as_made(mesh: bpy.types.Mesh) -> np.ndarray:
    """(V, 3) the basis as it was made; the present one where that is unknown."""
    return attribute_or(neutral_coordinates(mesh), mesh, ORIGINAL_BASIS, "vector")


def key_scales(mesh: bpy.types.Mesh) -> np.ndarray:
    """(V, 1) factors of the keys' offsets, 1 unless a slider has changed the size of what they move."""
    return attribute_or(np.ones((len(mesh.vertices), 1), np.float32), mesh, KEY_SCALE)


def sculpted(mesh: bpy.types.Mesh) -> np.ndarray | None:
    """(V, 3) sculpted offsets of the basis from its original shape, metres; None if there are none or it is unknown."""
    moved = neutral_coordinates(mesh) - as_made(mesh)
    moved[(np.abs(moved) < SCULPTED_METRES).all(axis=1)] = 0.0
    return moved if moved.any() else None


def is_sculpted(mesh: bpy.types.Mesh) -> bool:
    """Whether ``sculpted`` finds offsets; faster, as panels and buttons ask on every redraw."""
    moved = neutral_coordinates(mesh) - as_made(mesh)
    return bool(max(moved.max(), -moved.min()) >= SCULPTED_METRES)


def move_basis(mesh: bpy.types.Mesh, offsets: np.ndarray, scales: np.ndarray | float = 1.0) -> None:
    """Add offsets (V, 3) to the basis; all keys move along, and what they move is scaled by ``scales`` (V, 1)."""
    before = neutral_coordinates(mesh)
    basis = before + offsets
    for block in mesh.shape_keys.key_blocks if mesh.shape_keys else ():
        block.points.foreach_set("co", (basis + scales * (coordinates(block.points) - before)).ravel())
    mesh.vertices.foreach_set("co", basis.ravel())
    mesh.update()


def remove_sculpt(mesh: bpy.types.Mesh) -> None:
    """Reset the basis to its original shape; all keys move along."""
    moved = sculpted(mesh)
    if moved is None:
        return
    move_basis(mesh, -moved)


def same_topology(mesh: bpy.types.Mesh, part: ResultPart) -> bool:
    """Whether the mesh still has the part's topology, so that the part can be written into it."""
    loops = part.quads[_corners_of(part.quads)]
    if (len(mesh.vertices), len(mesh.polygons), len(mesh.loops)) != (len(part.vertices), len(part.quads), len(loops)):
        return False
    return bool((array_of(mesh.loops, "vertex_index") == loops).all())


def update_mesh(obj: bpy.types.Object, part: ResultPart, locked: np.ndarray | None = None) -> None:
    """Write another result's shape into an object with the part's topology (``same_topology``).

    The part's own keys are replaced, missing ones are added. Foreign keys and locked keys keep their offsets, and
    sculpted offsets are added to the new basis. Vertices keep their place in all keys according to the weights
    ``locked`` (V,) in [0, 1]. Values, drivers, animation, vertex groups and materials stay.
    """
    mesh = obj.data
    made, before = to_blender(part.vertices), neutral_coordinates(mesh)
    moved = sculpted(mesh)
    basis = made if moved is None else made + moved
    stays = None if locked is None else locked[:, None].astype(np.float32)
    if stays is not None:
        basis = basis + stays * (before - basis)
        made = basis if moved is None else basis - moved
    change, scales = (basis - before).ravel(), key_scales(mesh)
    own = {name: number for number, name in enumerate(part.key_names)}
    if mesh.shape_keys:
        for block in mesh.shape_keys.key_blocks:
            if block.name in own and not (block.lock_shape and block != mesh.shape_keys.reference_key):
                offsets = scales * to_blender(part.keys[own[block.name]])
                if stays is not None:
                    offsets = offsets + stays * (coordinates(block.points) - before - offsets)
                block.points.foreach_set("co", (basis + offsets).ravel())
            else:
                block.points.foreach_set("co", coordinates(block.points).ravel() + change)
    mesh.vertices.foreach_set("co", basis.ravel())
    if part.key_names:
        present = set(mesh.shape_keys.key_blocks.keys()) if mesh.shape_keys else set()
        add_keys(obj, part, [name for name in part.key_names if name not in present])
    write_attribute(mesh, ORIGINAL_BASIS, "FLOAT_VECTOR", "vector", made)
    mesh.update()
