"""Hair on the head: strands as a Curves object whose nodes (``nodes/hair_strands.json``) make hairs from guides that
can be groomed; for files, cards as a mesh.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache

import bpy
import numpy as np
from mathutils import bvhtree, interpolate

from ..objects import meshes, tags
from ..protocol.result import HeadResult, ResultHair, ResultScalp
from ..shared.hair_cards import SMALLEST_CARD_OFFSET_M, HairCards, bundled_cards, card_roots
from .expressions import lock_weights
from .nodes import VERSION_TAG, new_material, node_group

ROOT_COLOUR, TIP_COLOUR = "root_colour", "tip_colour"
"""Attributes of the guides: albedo at both ends."""
FACIAL, FACIAL_COUNT = "facial", "facial_guides"
"""Attribute of the guides that is 1 on a beard's, and the name of the number of these, the last ones, in a result."""
GUIDES_ALONE = "likeness_guides_alone"
"""On strands of which the views show the guides alone."""
NAME, SCALP = "hair", "Scalp"
"""Object and mesh of strands, and of cards; of the skin on which hairs grow, and its UV map."""
MAPS, DENSITY = "maps", "density"
"""Attributes of the scalp: distance to the hairline in metres, share of the top, lightness by lock; share of full
hair."""
SCALP_TAG, CHAIN_TAG = "likeness_scalp", "likeness_chain"
"""On strands: the object of the skin on which they grow, and the inputs of their nodes as they were given."""
SCALP_UV, FREE = "scalp_uv", "free"
"""Attributes of the guides: their roots in the scalp's map; 1 on those that begin at a tie, not on the skin."""
SKULL = {"skull_left": (1.0, 0.0, 0.0), "skull_right": (-1.0, 0.0, 0.0), "skull_back": (0.0, 1.0, 0.0)}
"""Inputs with the indices of three skull vertices, which no expression moves, and the directions that select them."""
SURFACE_UV, OFF = "surface_uv_coordinate", "off_mesh"
"""Blender's own name for a curve's attachment UV; from there on the mesh to the root, which lies on a finer one."""
CARD_UV, CARD_COLOUR = "Cards", "colour"
"""UV map and colours of cards."""
HAIR_POINTS, _NO_COLOUR = 16, 0.05
"""Points of a hair that cards are made of, twice those of a card; albedo of hairs that have none."""
FOUND, LIFT = "found_strand", "lift"
"""Attributes of the guides' points: their places as the photos gave them, from the root; from the skin to them."""
LIFTED = 0.04
"""Metres: hair further from the skin hangs or is tied, and volume moves all of it alike."""
FRONT = (0.5, 0.8)
"""Cosine of the angle between a root, seen from the scalp's middle, and straight ahead: from the first on strands are
a bit of the fringe, from the second on all of it."""
FALLS_OVER = 0.5
"""Share of its found length over which a longer strand turns half down."""
TIP_SHARE = 0.8
"""Thickness of a hair's tip, relative to its root."""


def set_inputs(modifier: bpy.types.Modifier, values: Mapping[str, object], before: Mapping[str, float]) -> None:
    """Set the inputs of a modifier of the hair by names with underscores and in lower case, but numbers that no longer
    are what they were ``before``. Before Blender 5.2 inputs are the modifier's custom properties."""
    inputs = getattr(getattr(modifier, "properties", None), "inputs", None)
    for item in modifier.node_group.interface.items_tree:
        name = item.name.replace(" ", "_").lower()
        if name not in values:
            continue
        value = values[name]
        if isinstance(value, float):
            now = modifier[item.identifier] if inputs is None else getattr(inputs, item.identifier).value
            if name in before and not np.isclose(float(now), before[name], rtol=1e-5):
                continue
            value = type(now)(value)
        if inputs is None:
            modifier[item.identifier] = value
        else:
            getattr(inputs, item.identifier).value = value


def _modifiers(strands: bpy.types.Object) -> list[bpy.types.Modifier]:
    """Those that make hairs from guides."""
    return [one for one in strands.modifiers if VERSION_TAG in (getattr(one, "node_group", None) or ())]


def show_guides_alone(collection: bpy.types.Collection) -> None:
    """Leave the hairs between a head's guides out of the views until ``show_hairs``, while the head changes many times
    a second: they take four fifths of the time of a change."""
    strands = tags.hair_object(collection)
    for modifier in [] if strands is None else _modifiers(strands):
        if modifier.show_viewport:
            modifier.show_viewport, strands[GUIDES_ALONE] = False, True


@bpy.app.handlers.persistent
def show_hairs(*_: object) -> None:
    """Show what ``show_guides_alone`` left out of the views, of all heads of the file."""
    for obj in bpy.data.objects:
        if GUIDES_ALONE in obj:
            del obj[GUIDES_ALONE]
            for modifier in _modifiers(obj):
                modifier.show_viewport = True


def still_hairs(strands: bpy.types.Object, name: str, inputs: Mapping[str, object]) -> bpy.types.Object:
    """A copy of strands without nodes, linked to nothing: the hairs of the current frame with these ``set_inputs``."""
    drawn, scene = strands.copy(), bpy.context.scene.collection.objects
    scene.link(drawn)
    try:
        drawn.hide_viewport = False
        for modifier in _modifiers(drawn):
            modifier.show_viewport = True
            set_inputs(modifier, inputs, {})
        graph = bpy.context.evaluated_depsgraph_get()
        graph.update()
        curves = drawn.evaluated_get(graph).data.copy()
    finally:
        bpy.data.objects.remove(drawn)
    curves.name = name
    still = bpy.data.objects.new(name, curves)
    still.matrix_world = strands.matrix_world
    return still


def hair_cards(strands: bpy.types.Object, head: bpy.types.Object, most: int) -> bpy.types.Object:
    """Cards of the hairs that the view shows, at rest, in at most ``most`` triangles: where ``head`` is, linked to
    nothing, without material. A beard's have the keys of the skin below."""
    hairs, colours = _hairs_at_rest(strands)
    made = bundled_cards(hairs, *colours, strands.get(CHAIN_TAG, {}).get("curl_radius", 0.0), most)
    mesh = _mapped_mesh(NAME, made, CARD_UV)
    colour = mesh.color_attributes.new(CARD_COLOUR, "FLOAT_COLOR", "POINT")
    colour.data.foreach_set("color", np.column_stack([made.colours, np.ones(len(made.colours))]).ravel())
    mesh.normals_split_custom_set_from_vertices(meshes.to_blender(made.normals).tolist())
    cards = bpy.data.objects.new(NAME, mesh)
    cards.matrix_world = head.matrix_world
    if FACIAL in strands.data.attributes:
        _add_keys_of_skin(cards, made, head)
    return cards


def _hairs_at_rest(strands: bpy.types.Object) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Hairs (N, ``HAIR_POINTS``, 3) in the head frame; their albedo (N, 3) at root and tip, linear light."""
    still = still_hairs(strands, NAME, {"head": strands})  # without skin to follow nothing moves
    points, first, colours = _positions(still.data), *_ends(still.data)
    tags.remove_object(still)
    place = first[:-1, None] + np.linspace(0, 1, HAIR_POINTS) * (np.diff(first)[:, None] - 1)
    hairs = np.stack([np.interp(place, np.arange(len(points)), axis) for axis in points.T], -1)
    return meshes.to_head(hairs), colours


def _ends(curves: bpy.types.Curves) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """(N + 1,) numbers of the first points of hairs; their albedo (N, 3) at root and tip."""
    first = meshes.array_of(curves.curve_offset_data, "value")
    grey = np.full((len(first) - 1, 4), _NO_COLOUR, np.float32)
    root, tip = (meshes.attribute_or(grey, curves, name, "color")[:, :3] for name in (ROOT_COLOUR, TIP_COLOUR))
    return first, (root, tip)


def show_albedo(curves: bpy.types.Curves) -> bpy.types.Material:
    """Write the albedo of hairs, point by point, as USD's ``displayColor``; a material that shows it in the place of
    ours."""
    first, (root, tip) = _ends(curves)
    hair = np.repeat(np.arange(len(root)), np.diff(first))
    along = ((np.arange(len(hair)) - first[hair]) / np.maximum(np.diff(first)[hair] - 1, 1))[:, None]
    meshes.write_attribute(
        curves, "displayColor", "FLOAT_VECTOR", "vector", (1 - along) * root[hair] + along * tip[hair]
    )
    material = new_material("hair")
    material.node_tree.nodes[ROOT_COLOUR].attribute_name = "displayColor"  # the one that USD's exporter finds
    for k, one in enumerate(curves.materials):
        if one is not None and tags.HEAD_ID in one:
            curves.materials[k] = material
    return material


def _add_keys_of_skin(obj: bpy.types.Object, cards: HairCards, head: bpy.types.Object) -> None:
    """Give cards those keys of ``head`` that move the skin on which a card stands."""
    basis, skin = meshes.coordinates(obj.data.vertices), meshes.neutral_coordinates(head.data)
    tree, keys = meshes.search_tree(meshes.to_head(skin)), head.data.shape_keys
    stands_on = np.array([tree.find(root)[1] for root in card_roots(cards).tolist()])
    for block in keys.key_blocks[1:] if keys else ():
        move = (meshes.coordinates(block.points) - skin)[stands_on]
        if np.abs(move).max(initial=0.0) > SMALLEST_CARD_OFFSET_M:
            meshes.write_key(obj, block.name, basis + move)


def _mapped_mesh(name: str, shape: ResultScalp | HairCards, uv_map: str) -> bpy.types.Mesh:
    """A smooth mesh of a scalp or of cards with their UV map."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(meshes.to_blender(shape.vertices).tolist(), [], shape.triangles.tolist())
    layer = mesh.uv_layers.new(name=uv_map, do_init=False)
    layer.uv.foreach_set("vector", np.ascontiguousarray(shape.uv[meshes.array_of(mesh.loops, "vertex_index")]).ravel())
    mesh.shade_smooth()
    return mesh


def put_hair(result: HeadResult, collection: bpy.types.Collection, head: bpy.types.Object) -> None:
    """Put a result's strands on ``head``, the mesh object of the head of ``collection``, as its skin is now.

    Untouched hair is replaced where the result has a word on it; groomed hair stays and moves with the skin.
    """
    strands, hair = tags.hair_object(collection), result.hair
    if (result.only == "hair" or not result.geometry_only) and (strands is None or not is_groomed(strands)):
        if hair is not None:
            strands = _grow(strands, hair, collection, head)
        elif strands is not None:
            for obj in filter(None, (_own_scalp(strands, collection), strands)):
                tags.remove_object(obj)
            return
    if strands is not None:
        _attach(strands, head)
    move_hair(collection, head)
    shape_hair(collection, collection.get(tags.HAIR_SHAPE, {}))


def _grow(
    strands: bpy.types.Object | None, hair: ResultHair, collection: bpy.types.Collection, head: bpy.types.Object
) -> bpy.types.Object:
    """Give strands the guides of ``hair``, and a scalp on which hairs grow between them; their modifiers, materials and
    settings stay. None: new ones, a child of ``head``, whose modifier shares its nodes with all hair of a file."""
    curves, mesh = _new_curves(hair, head), _mapped_mesh(SCALP, hair.scalp, SCALP)
    maps = np.stack((hair.scalp.edge, hair.scalp.top, hair.scalp.melanin), 1)
    meshes.write_attribute(mesh, MAPS, "FLOAT_VECTOR", "vector", maps)
    meshes.write_attribute(mesh, DENSITY, "FLOAT", "value", hair.scalp.density)
    scalp = None if strands is None else _own_scalp(strands, collection)
    if scalp is None:
        scalp = _owned(SCALP, mesh, collection, head)
    else:
        tags.replace_data(scalp, mesh)
    if strands is None:
        strands = _owned(NAME, curves, collection, head)
        strands.modifiers.new("Hair", "NODES").node_group = node_group("hair_strands")
        curves.materials.append(_material(hair, collection))
        collection.objects.link(strands)
    else:
        tags.replace_data(strands, curves)
    for k, material in enumerate(curves.materials):  # of 0.1.0, which was given colours that were darkened before
        if material is not None and tags.HEAD_ID in material and "Reflected" not in material.node_tree.nodes:
            curves.materials[k] = _material(hair, collection)
    strands[SCALP_TAG] = scalp  # linked to nothing: the modifier keeps it
    strands[tags.HAIR] = fingerprint(curves)
    for modifier in _modifiers(strands):
        modifier.node_group = node_group("hair_strands")
        set_inputs(modifier, {"scalp": scalp, **hair.chain}, strands.get(CHAIN_TAG, {}))
    strands[CHAIN_TAG] = dict(hair.chain)
    return strands


def _owned(name: str, data: bpy.types.ID, collection: bpy.types.Collection, head: bpy.types.Object) -> bpy.types.Object:
    obj = bpy.data.objects.new(name, data)
    obj[tags.HEAD_ID], obj.parent = collection[tags.HEAD_ID], head
    return obj


def _material(hair: ResultHair, collection: bpy.types.Collection) -> bpy.types.Material:
    material = new_material("hair")
    material.diffuse_color = (*np.median(hair.tip_colour, axis=0).tolist(), 1.0)
    material[tags.HEAD_ID] = collection[tags.HEAD_ID]
    return material


def _own_scalp(strands: bpy.types.Object, collection: bpy.types.Collection) -> bpy.types.Object | None:
    """The scalp of a head's strands; None where it was deleted, or is still that of the head that this is a copy of."""
    scalp = strands.get(SCALP_TAG)
    return scalp if scalp is not None and scalp.get(tags.HEAD_ID) == collection[tags.HEAD_ID] else None


def _attach(strands: bpy.types.Object, head: bpy.types.Object) -> None:
    """Have strands follow the keys of ``head`` with their roots and turn with the skull, measured at three vertices.

    (Blender's *Deform Curves on Surface* rotates each guide with its patch of skin. On a subdivided head, tips of long
    hair then swing by centimetres while nothing moves.)
    """
    head.add_rest_position_attribute = True
    strands.data.surface, strands.data.surface_uv_map = head, meshes.UV_HEAD
    points = meshes.coordinates(head.data.vertices)
    upper = points[:, 2] > 0.5 * (points[:, 2].min() + points[:, 2].max())
    far = {name: int(np.where(upper, points @ np.float32(way), -np.inf).argmax()) for name, way in SKULL.items()}
    for modifier in _modifiers(strands):
        set_inputs(modifier, {"head": head, **far}, {})


def _new_curves(hair: ResultHair, head: bpy.types.Object) -> bpy.types.Curves:
    """The guides as Curves data, in the head's own frame."""
    guides, points = hair.points.shape[:2]
    curves = bpy.data.hair_curves.new(NAME)
    curves.add_curves([points] * guides)
    along = np.linspace(0, 1, points, dtype=np.float32)
    radius = np.broadcast_to(hair.hair_radius * (1 - (1 - TIP_SHARE) * along), (guides, points))
    curves.position_data.foreach_set("vector", meshes.to_blender(hair.points).ravel())
    meshes.write_attribute(curves, "radius", "FLOAT", "value", radius)
    meshes.write_attribute(curves, SURFACE_UV, "FLOAT2", "vector", hair.root_uv, "CURVE")
    meshes.write_attribute(curves, SCALP_UV, "FLOAT2", "vector", hair.scalp_uv, "CURVE")
    meshes.write_attribute(curves, FREE, "FLOAT", "value", hair.free, "CURVE")
    for name, colour in ((ROOT_COLOUR, hair.root_colour), (TIP_COLOUR, hair.tip_colour)):
        rgba = np.column_stack([colour, np.ones(guides)])
        meshes.write_attribute(curves, name, "FLOAT_COLOR", "color", rgba, "CURVE")
    facial = np.arange(guides) >= guides - hair.parameters.get(FACIAL_COUNT, 0.0)
    meshes.write_attribute(curves, FACIAL, "FLOAT", "value", facial, "CURVE")
    if lock_weights(head) is None:  # else the skin from which they grow is not here
        off = meshes.to_blender(hair.points[:, 0]) - places(head.data, hair.root_uv, meshes.as_made(head.data))
        meshes.write_attribute(curves, OFF, "FLOAT_VECTOR", "vector", off, "CURVE")
    return curves


def shape_hair(collection: bpy.types.Collection, wished: Mapping[str, float]) -> None:
    """Trim or lengthen a head's strands, and press them to the skin or lift them off it; groomed ones stay.

    wished : ``hair_length`` of each strand, relative to the found one; ``fringe``, a further factor of those that grow
    above the forehead; ``volume``, the distance from the skin relative to the found one, of which at most ``LIFTED``
    changes. 1 where one is missing. A beard stays as it is.
    """
    wished = {name: float(value) for name, value in wished.items()}  # a copy: the next line frees what is stored
    collection[tags.HAIR_SHAPE] = wished
    length, fringe, volume = (wished.get(name, 1.0) for name in ("hair_length", "fringe", "volume"))
    strands, head = tags.hair_object(collection), tags.part_object(collection, "head")
    if strands is None or head is None or is_groomed(strands):
        return
    curves = strands.data
    shape = (len(curves.curves), -1, 3)
    now = _positions(curves).reshape(shape)
    if FOUND not in curves.attributes:
        if length == fringe == volume == 1.0:
            return
        meshes.write_attribute(curves, FOUND, "FLOAT_VECTOR", "vector", now - now[:, :1])
        meshes.write_attribute(curves, LIFT, "FLOAT_VECTOR", "vector", _lift(now.reshape(-1, 3), head))
    found, lift = (_values(curves, name, "vector", 3).reshape(shape) for name in (FOUND, LIFT))
    scalp = 1.0 - _values(curves, FACIAL, "value")
    shaped = found + (volume - 1.0) * scalp[:, None, None] * (lift - lift[:, :1])
    roots = now[:, 0, :2]
    ends = roots[scalp > 0.5] if scalp.any() else roots
    away = roots - 0.5 * (ends.min(0) + ends.max(0))
    front = -away[:, 1] / np.maximum(np.linalg.norm(away, axis=1), 1e-6)
    front = np.clip((front - FRONT[0]) / (FRONT[1] - FRONT[0]), 0.0, 1.0)
    shaped = _as_long(shaped, 1.0 + scalp * (length * (1.0 + (fringe - 1.0) * front) - 1.0))
    curves.position_data.foreach_set("vector", (now[:, :1] + shaped).astype(np.float32).ravel())
    curves.update_tag()
    strands[tags.HAIR] = fingerprint(curves)


def _lift(points: np.ndarray, head: bpy.types.Object) -> np.ndarray:
    """(N, 3) from the skin to points (N, 3) in the head's frame, at most ``LIFTED`` long."""
    faces = [tuple(face.vertices) for face in head.data.polygons]
    tree = bvhtree.BVHTree.FromPolygons(meshes.neutral_coordinates(head.data).tolist(), faces)
    lift = points - np.array([tree.find_nearest(point)[0] for point in points.tolist()], np.float32)
    return lift * np.minimum(1.0, LIFTED / np.maximum(np.linalg.norm(lift, axis=1, keepdims=True), 1e-9))


def _as_long(strands: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Strands (G, P, 3) with ``share`` (G,) of their lengths: cut, or going on from their tips, ever more downwards."""
    size = np.linalg.norm(np.diff(strands, axis=1), axis=-1)
    along = np.pad(size.cumsum(1), ((0, 0), (1, 0)))
    at, whole = share[:, None] * along, along[:, -1:]
    first = np.arange(len(strands))[:, None] * (whole.max() + 1.0)  # all strands one behind the other
    inside, known = np.minimum(at, whole) + first, (along + first).ravel()
    shaped = np.stack([np.interp(inside, known, axis) for axis in strands.reshape(-1, 3).T], -1)
    beyond = np.maximum(at - whole, 0.0)[..., None]
    way = strands[:, -1:] - strands[:, strands.shape[1] // 2, None]  # of half a strand: an end in waves points aside
    way /= np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-9)
    down = beyond / (beyond + FALLS_OVER * whole[..., None] + 1e-9)
    return shaped + beyond * ((1.0 - down) * way + down * np.array([0.0, 0.0, -1.0]))


def is_groomed(strands: bpy.types.Object) -> bool:
    """Whether the guides were changed since they were made."""
    return strands[tags.HAIR] != fingerprint(strands.data)


def fingerprint(curves: bpy.types.Curves) -> str:
    """Fingerprint of the positions of all points."""
    return hashlib.sha256(_positions(curves).tobytes()).hexdigest()


def move_hair(collection: bpy.types.Collection, head: bpy.types.Object) -> None:
    """Move each guide of a head rigidly, so that its root lies on the neutral mesh of ``head`` at its position in map
    ``Head``, and the scalp as the roots about each of its vertices; whether they count as groomed does not change."""
    strands = tags.hair_object(collection)
    if strands is None or SURFACE_UV not in strands.data.attributes or len(strands.data.curves) == 0:
        return
    curves, groomed, mesh = strands.data, is_groomed(strands), head.data
    positions, starts = _positions(curves), meshes.array_of(curves.curve_offset_data, "value")
    roots = positions[starts[:-1]]
    change = places(mesh, _values(curves, SURFACE_UV, "vector", 2), meshes.neutral_coordinates(mesh)) - roots
    change += meshes.attribute_or(np.zeros_like(roots), curves, OFF, "vector")
    scalp = _own_scalp(strands, collection)
    if scalp is not None and SCALP_UV in curves.attributes:
        _move_scalp(scalp.data, _values(curves, SCALP_UV, "vector", 2), change)
    positions += np.repeat(change, np.diff(starts), axis=0)
    curves.position_data.foreach_set("vector", positions.ravel())
    curves.update_tag()
    if not groomed:
        strands[tags.HAIR] = fingerprint(curves)


def _move_scalp(mesh: bpy.types.Mesh, roots: np.ndarray, change: np.ndarray) -> None:
    """Move each vertex of a scalp as the roots beside it in its map, (G, 2), which moved by ``change`` (G, 3)."""
    uv = np.zeros((len(mesh.vertices), 2), np.float32)
    corners = meshes.array_of(mesh.uv_layers[SCALP].uv, "vector", 2, np.float32)
    uv[meshes.array_of(mesh.loops, "vertex_index")] = corners
    near, weight = _beside(uv.tobytes(), roots.tobytes())
    moved = meshes.coordinates(mesh.vertices) + (change[near] * weight[..., None]).sum(1)
    mesh.vertices.foreach_set("co", moved.astype(np.float32).ravel())
    mesh.update()


@lru_cache(maxsize=4)
def _beside(uv: bytes, roots: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (V, K) of the roots nearest to a scalp's vertices in its map, and their weights; by the bytes of both,
    which stay the same while a slider moves the skin."""
    return meshes.beside(*(np.pad(_pairs(flat), ((0, 0), (0, 1))) for flat in (roots, uv)))


def _pairs(flat: bytes) -> np.ndarray:
    return np.frombuffer(flat, np.float32).reshape(-1, 2)


def places(mesh: bpy.types.Mesh, uv: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, 3) places at UV (N, 2) of map ``Head`` on a mesh with its vertices at ``points`` (V, 3)."""
    mesh.calc_loop_triangles()
    loops, corners = meshes.array_of(mesh.loop_triangles, "loops", 3), meshes.array_of(mesh.loops, "vertex_index")
    loop_uv = meshes.array_of(mesh.uv_layers[meshes.UV_HEAD].uv, "vector", 2, np.float32)
    nearest, weight = _attached(loop_uv.tobytes(), loops.tobytes(), np.ascontiguousarray(uv, np.float32).tobytes())
    return (points[corners[nearest]] * weight[..., None]).sum(1).astype(np.float32)


@lru_cache(maxsize=4)
def _attached(loop_uv: bytes, loops: bytes, uv: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Loops (N, 3) of the triangle that holds each UV, and its barycentric weights (N, 3) there. By the bytes of a
    mesh's map (L, 2) float32, of its triangles' loops (T, 3) int32 and of the UVs (N, 2) float32: they stay the same
    while a slider moves the skin."""
    triangles = np.frombuffer(loops, np.int32).reshape(-1, 3)
    flat = np.pad(_pairs(loop_uv), ((0, 0), (0, 1))).tolist()
    tree = bvhtree.BVHTree.FromPolygons(flat, triangles.tolist(), all_triangles=True)
    found = [tree.find_nearest((x, y, 0.0)) for x, y in _pairs(uv).tolist()]
    nearest = triangles[[one[2] for one in found]]
    weights = [
        interpolate.poly_3d_calc([flat[k] for k in loop], one[0])
        for loop, one in zip(nearest.tolist(), found, strict=True)
    ]
    return nearest, np.array(weights)


def _positions(curves: bpy.types.Curves) -> np.ndarray:
    return meshes.array_of(curves.position_data, "vector", 3, np.float32)


def _values(curves: bpy.types.Curves, name: str, field: str, width: int = 1) -> np.ndarray:
    """An attribute's values, (N,) or (N, width)."""
    return meshes.array_of(curves.attributes[name].data, field, width, np.float32)
