"""Hair on the head: strands as a Curves object whose nodes (``nodes/hair_strands.json``) make hairs from guides that
can be groomed; for files, cards as a mesh with a texture of strands.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

import bpy
import numpy as np
from mathutils.bvhtree import BVHTree
from mathutils.interpolate import poly_3d_calc

from ..objects import meshes, tags
from ..protocol.result import HeadResult, ResultHair, ResultScalp
from ..shared.hair_cards import CardAtlas, HairCards, bundled_cards, card_atlas, card_roots
from ..shared.message import SMALLEST_CARD_OFFSET_M
from ..shared.photo_folder import png_bytes
from .expressions import lock_weights
from .materials import packed_image
from .nodes import VERSION_TAG, new_material, node_group

ROOT_COLOUR, TIP_COLOUR = "root_colour", "tip_colour"
"""Attributes of the guides: the shader's colour at both ends."""
FACIAL, FACIAL_COUNT = "facial", "facial_guides"
"""Attribute of the guides that is 1 on a beard's, and the name of the number of these, the last ones, in a result."""
MODIFIER_NAME = "Hair"
GUIDES_ALONE = "likeness_guides_alone"
"""On strands of which the views show the guides alone."""
HEAD = "Head"
SCALP, SCALP_UV_MAP, MAPS, DENSITY = "Scalp", "Scalp", "maps", "density"
"""Input, object and mesh of the skin on which hairs grow; its UV map; its attributes: distance to the hairline in
metres, share of the top, lightness by lock; and share of full hair."""
SCALP_TAG, CHAIN_TAG = "likeness_scalp", "likeness_chain"
"""On strands: the object of the skin on which they grow, and the inputs of their nodes as they were given."""
SCALP_UV, FREE = "scalp_uv", "free"
"""Attributes of the guides: their roots in the scalp's map; 1 on those that begin at a tie, not on the skin."""
SKULL = {"Skull Left": (1.0, 0.0, 0.0), "Skull Right": (-1.0, 0.0, 0.0), "Skull Back": (0.0, 1.0, 0.0)}
"""Inputs with the indices of three skull vertices, which no expression moves, and the directions that select them."""
SURFACE_UV, OFF = "surface_uv_coordinate", "off_mesh"
"""Blender's own name for a curve's attachment UV; from there on the mesh to the root, which lies on a finer one."""


def set_chain(modifier: bpy.types.Modifier, numbers: Mapping[str, float], before: Mapping[str, float]) -> None:
    """Set the inputs of a modifier of ``add_hair`` that a groom names, with underscores and in lower case, but
    those that no longer have the value that they were given ``before``."""
    for item in modifier.node_group.interface.items_tree:
        if (name := item.name.replace(" ", "_").lower()) in numbers:
            now = get_input(modifier, item.identifier)
            if name not in before or np.isclose(float(now), before[name], rtol=1e-5):
                set_input(modifier, item.identifier, type(now)(numbers[name]))


def _makes_hairs(modifier: bpy.types.Modifier) -> bool:
    return modifier.type == "NODES" and modifier.node_group is not None and VERSION_TAG in modifier.node_group


def show_guides_alone(collection: bpy.types.Collection) -> None:
    """Leave the hairs between a head's guides out of the views until ``show_hairs``, while the head changes many times
    a second: they take four fifths of the time of a change."""
    obj = tags.hair_object(collection, "CURVES")
    for modifier in () if obj is None else obj.modifiers:
        if _makes_hairs(modifier) and modifier.show_viewport:
            modifier.show_viewport, obj[GUIDES_ALONE] = False, True


@bpy.app.handlers.persistent
def show_hairs(*_: object) -> None:
    """Show what ``show_guides_alone`` left out of the views, of all heads of the file."""
    for obj in bpy.data.objects:
        if GUIDES_ALONE in obj:
            del obj[GUIDES_ALONE]
            for modifier in filter(_makes_hairs, obj.modifiers):
                modifier.show_viewport = True


def set_input(modifier: bpy.types.Modifier, identifier: str, value: object) -> None:
    """Set an input of a nodes modifier; before Blender 5.2 inputs are its custom properties."""
    properties = getattr(modifier, "properties", None)
    if properties is None:
        modifier[identifier] = value
    else:
        getattr(properties.inputs, identifier).value = value


def _set_named(modifier: bpy.types.Modifier, values: Mapping[str, object]) -> None:
    for item in modifier.node_group.interface.items_tree:
        if item.name in values:
            set_input(modifier, item.identifier, values[item.name])


def get_input(modifier: bpy.types.Modifier, identifier: str) -> object:
    """The value of an input of a nodes modifier."""
    properties = getattr(modifier, "properties", None)
    return modifier[identifier] if properties is None else getattr(properties.inputs, identifier).value


_LIGHT_OFFSET, _LIGHT_SCALE, _LIGHT_POWER = 0.012, 0.83, 0.73


def hair_colour(albedo: np.ndarray) -> np.ndarray:
    """Colour for the hair shader with which hair reflects as much light as a diffuse surface of ``albedo``.

    Measured in Cycles under a uniform white sky: hair of colour c reflects 0.012 + 0.83 c^0.73, within 10 % for c from
        0.003 to 0.3. Specular reflection and scattering between hairs make dark hair lighter than its colour.
    """
    return np.clip((np.maximum(albedo - _LIGHT_OFFSET, 0.001) / _LIGHT_SCALE) ** (1 / _LIGHT_POWER), 0.0, 1.0)


NAME, UV, COLOUR = "hair", "Cards", "colour"
ATLAS, STRAND_MAP = ("hair_strands", "hair_relief"), "hair_strand_map"
HAIR_POINTS, _NO_COLOUR = 16, 0.05
"""Points of a hair that cards are made of, twice those of a card; colour of hairs that have none."""


def still_hairs(strands: bpy.types.Object, name: str) -> bpy.types.Object:
    """A copy of strands without nodes, linked to nothing: the hairs that a render has at the current frame."""
    drawn, scene = strands.copy(), bpy.context.scene.collection.objects
    scene.link(drawn)
    try:
        drawn.hide_viewport = False
        for modifier in filter(_makes_hairs, drawn.modifiers):
            modifier.show_viewport = True
            _set_named(modifier, {"Viewport": 1.0})
        graph = bpy.context.evaluated_depsgraph_get()
        graph.update()
        curves = drawn.evaluated_get(graph).data.copy()
    finally:
        bpy.data.objects.remove(drawn)
    curves.name = name
    still = bpy.data.objects.new(name, curves)
    still.matrix_world = strands.matrix_world
    return still


@contextmanager
def strands_as_cards(collection: bpy.types.Collection, most: int) -> Iterator[None]:
    """For as long as it lasts, a head with strands alone has cards too, of the hairs that the scene shows, at rest and
    in at most ``most`` triangles. A beard's have the keys of the skin below."""
    strands, cards = (tags.hair_object(collection, kind) for kind in ("CURVES", "MESH"))
    head = tags.part_object(collection, "head")
    if strands is None or cards is not None or head is None:
        yield
        return
    hairs, colours = _shown_hairs(strands, head, tags.rig_object(collection))
    curl = strands[CHAIN_TAG].get("curl_radius", 0.0) if CHAIN_TAG in strands else 0.0
    made, images = bundled_cards(hairs, *colours, curl, most), set(bpy.data.images)
    material = _material(card_atlas())
    mesh = _mapped_mesh(NAME, made, UV)
    colour = mesh.color_attributes.new(COLOUR, "FLOAT_COLOR", "POINT")
    colour.data.foreach_set("color", np.column_stack([made.colours, np.ones(len(made.colours))]).ravel())
    mesh.normals_split_custom_set_from_vertices(meshes.to_blender(made.normals).tolist())
    mesh.materials.append(material)
    cards = bpy.data.objects.new(NAME, mesh)
    cards[tags.HEAD_ID], cards[tags.HAIR], cards.parent = collection[tags.HEAD_ID], NAME, head
    if FACIAL in strands.data.attributes:
        _add_keys_of_skin(cards, made, head)
    collection.objects.link(cards)
    try:
        yield
    finally:
        tags.remove_object(cards)
        bpy.data.batch_remove([material, *(set(bpy.data.images) - images)])


def _shown_hairs(
    strands: bpy.types.Object, head: bpy.types.Object, rig: bpy.types.Object | None
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The hairs (N, ``HAIR_POINTS``, 3) that the view shows, in the head frame with the head at rest; their albedo
    (N, 3) at root and tip, linear light."""
    layer, pose = bpy.context.view_layer, None if rig is None else rig.data.pose_position
    before = head.show_only_shape_key, head.active_shape_key_index
    try:
        head.show_only_shape_key, head.active_shape_key_index = True, 0
        if rig is not None:
            rig.data.pose_position = "REST"
        layer.update()
        curves = strands.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        points = meshes.array_of(curves.position_data, "vector", 3, np.float32)
        first = meshes.array_of(curves.curve_offset_data, "value")
        grey = np.full((len(first) - 1, 4), _NO_COLOUR, np.float32)
        colours = [meshes.attribute_or(grey, curves, name, "color")[:, :3] for name in (ROOT_COLOUR, TIP_COLOUR)]
    finally:
        head.show_only_shape_key, head.active_shape_key_index = before
        if rig is not None:
            rig.data.pose_position = pose
        layer.update()
    place = first[:-1, None] + np.linspace(0, 1, HAIR_POINTS) * (np.diff(first)[:, None] - 1)
    hairs = np.stack([np.interp(place, np.arange(len(points)), axis) for axis in points.T], -1)
    return meshes.to_head(hairs), tuple(_LIGHT_OFFSET + _LIGHT_SCALE * colour**_LIGHT_POWER for colour in colours)


def _add_keys_of_skin(obj: bpy.types.Object, cards: HairCards, head: bpy.types.Object) -> None:
    """Give cards those keys of ``head`` that move the skin on which a card stands, at value 0."""
    basis, skin = meshes.coordinates(obj.data.vertices), meshes.neutral_coordinates(head.data)
    keys = head.data.shape_keys
    tree = meshes.search_tree(meshes.to_head(skin))
    stands_on = np.array([tree.find(root)[1] for root in card_roots(cards).tolist()])
    for of_head in keys.key_blocks[1:] if keys else ():
        move = (meshes.coordinates(of_head.points) - skin)[stands_on]
        if np.abs(move).max(initial=0.0) > SMALLEST_CARD_OFFSET_M:
            if obj.data.shape_keys is None:
                obj.shape_key_add(name="Basis", from_mix=False)
            block = obj.shape_key_add(name=of_head.name, from_mix=False)
            block.value = 0.0  # a new key starts at 1 from Blender 5.0 on
            block.points.foreach_set("co", (basis + move).ravel())


def _mapped_mesh(name: str, shape: ResultScalp | HairCards, uv_map: str) -> bpy.types.Mesh:
    """A smooth mesh of a scalp or of cards with their UV map."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(meshes.to_blender(shape.vertices).tolist(), [], shape.triangles.tolist())
    layer = mesh.uv_layers.new(name=uv_map, do_init=False)
    layer.uv.foreach_set("vector", np.ascontiguousarray(shape.uv[meshes.array_of(mesh.loops, "vertex_index")]).ravel())
    mesh.shade_smooth()
    return mesh


def _material(atlas: CardAtlas) -> bpy.types.Material:
    """A material with the atlas; its strand map is linked to nothing, for shaders of hair."""
    material = new_material("hair_cards")
    nodes = {node.name: node for node in material.node_tree.nodes if node.type == "TEX_IMAGE"}
    for name, picture in zip((*ATLAS, STRAND_MAP), (atlas.strands, atlas.normals, atlas.strand_map), strict=True):
        nodes[name].image = packed_image(name, png_bytes(picture))
        nodes[name].image.colorspace_settings.name = "sRGB" if name == ATLAS[0] else "Non-Color"
    return material


def strand_map_of(cards: bpy.types.Object) -> bpy.types.Image | None:
    """The strand map of hair cards, None without one."""
    trees = (slot.material.node_tree for slot in cards.material_slots if slot.material and slot.material.node_tree)
    return next((tree.nodes[STRAND_MAP].image for tree in trees if STRAND_MAP in tree.nodes), None)


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


def put_hair(result: HeadResult, collection: bpy.types.Collection, head: bpy.types.Object) -> None:
    """Put a result's strands on ``head``, the mesh object of the head of ``collection``.

    Groomed hair stays; untouched hair is replaced. Strands also stand on locked skin, and move with it if the result
    has no word on the hair.
    """
    strands, hair = tags.hair_object(collection, "CURVES"), result.hair
    if result.geometry_only and result.only != "hair":
        return move_hair(collection, head)
    if strands is None:
        if hair is not None:
            collection.objects.link(add_hair(hair, head, collection[tags.HEAD_ID]))
    elif is_groomed(strands):
        attach_to_head(strands, head)
        move_hair(collection, head)
    elif hair is None:
        _remove(strands)
    else:
        _replace(strands, hair, head)
        if lock_weights(head) is not None:
            move_hair(collection, head)
    shape_hair(collection, collection.get(tags.HAIR_SHAPE, {}))


def move_hair(collection: bpy.types.Collection, head: bpy.types.Object) -> None:
    """Move a head's strands with the skin of its mesh; whether they count as groomed does not change."""
    strands = tags.hair_object(collection, "CURVES")
    if strands is not None:
        groomed = is_groomed(strands)
        move_with_skin(strands.data, head.data, strands.get(SCALP_TAG))
        if not groomed:
            strands[tags.HAIR] = fingerprint(strands.data)


def add_hair(hair: ResultHair, head: bpy.types.Object, head_id: str) -> bpy.types.Object:
    """A Curves object with the guides of ``hair``, attached to ``head`` (its mesh object) as a child.

    It is linked to nothing yet. Its modifier, whose nodes all hair of a file shares, moves the guides with the skin and
    creates the hairs between them. Roots move with their positions in map ``Head``; the hair rotates with the skull,
    measured at three of its vertices. (Blender's *Deform Curves on Surface* rotates each guide with its patch of skin.
    On a subdivided head, tips of long hair then swing by centimetres while nothing moves.)
    """
    obj = bpy.data.objects.new(NAME, new_curves(hair, head))
    obj[tags.HEAD_ID], obj[tags.HAIR], obj.parent = head_id, fingerprint(obj.data), head
    obj.modifiers.new(MODIFIER_NAME, "NODES").node_group = node_group("hair_strands")
    grow_on(obj, hair, head)
    attach_to_head(obj, head)
    material = new_material("hair")
    material.diffuse_color = (*np.median(hair.tip_colour, axis=0).tolist(), 1.0)
    material[tags.HEAD_ID] = head_id
    obj.data.materials.append(material)
    return obj


def grow_on(obj: bpy.types.Object, hair: ResultHair, head: bpy.types.Object) -> None:
    """Have the modifiers of ``add_hair`` grow hairs as ``hair`` says, on its scalp."""
    mesh, maps = _mapped_mesh(SCALP, hair.scalp, SCALP_UV_MAP), (hair.scalp.edge, hair.scalp.top, hair.scalp.melanin)
    meshes.write_attribute(mesh, MAPS, "FLOAT_VECTOR", "vector", np.stack(maps, 1))
    meshes.write_attribute(mesh, DENSITY, "FLOAT", "value", hair.scalp.density)
    before, scalp = obj.get(SCALP_TAG), bpy.data.objects.new(SCALP, mesh)  # linked to nothing: the modifier keeps it
    obj[SCALP_TAG], scalp[tags.HEAD_ID], scalp.parent = scalp, obj[tags.HEAD_ID], head
    if before is not None:
        _remove(before)
    for modifier in filter(_makes_hairs, obj.modifiers):
        modifier.node_group = node_group("hair_strands")
        _set_named(modifier, {SCALP: scalp})
        set_chain(modifier, hair.chain, obj.get(CHAIN_TAG, {}))
    obj[CHAIN_TAG] = dict(hair.chain)


def attach_to_head(obj: bpy.types.Object, head: bpy.types.Object) -> None:
    """Attach hair to the skin of ``head``; other modifiers are left alone."""
    head.add_rest_position_attribute = True
    obj.data.surface = head
    points = meshes.coordinates(head.data.vertices)
    upper = points[:, 2] > 0.5 * (points[:, 2].min() + points[:, 2].max())
    far = {name: np.where(upper, points @ np.float32(way), -np.inf).argmax() for name, way in SKULL.items()}
    for modifier in filter(_makes_hairs, obj.modifiers):
        _set_named(modifier, {HEAD: head, **{name: int(vertex) for name, vertex in far.items()}})


def new_curves(hair: ResultHair, head: bpy.types.Object) -> bpy.types.Curves:
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
        rgba = np.column_stack([hair_colour(colour), np.ones(guides)])
        meshes.write_attribute(curves, name, "FLOAT_COLOR", "color", rgba, "CURVE")
    facial = np.arange(guides) >= guides - hair.parameters.get(FACIAL_COUNT, 0.0)
    meshes.write_attribute(curves, FACIAL, "FLOAT", "value", facial, "CURVE")
    curves.surface, curves.surface_uv_map = head, meshes.UV_HEAD
    if lock_weights(head) is None:
        off = meshes.to_blender(hair.points[:, 0]) - places(head.data, hair.root_uv)
        meshes.write_attribute(curves, OFF, "FLOAT_VECTOR", "vector", off, "CURVE")
    return curves


def _replace(obj: bpy.types.Object, hair: ResultHair, head: bpy.types.Object) -> None:
    """Replace the guides of an ``add_hair`` object by another result's; modifiers, materials and settings stay."""
    grow_on(obj, hair, head)
    attach_to_head(obj, head)
    before, obj.data = obj.data, new_curves(hair, head)
    for material in before.materials:
        obj.data.materials.append(material)
    obj[tags.HAIR] = fingerprint(obj.data)
    if before.users == 0:
        bpy.data.hair_curves.remove(before)


def shape_hair(collection: bpy.types.Collection, wished: Mapping[str, float]) -> None:
    """Trim or lengthen a head's strands, and press them to the skin or lift them off it; groomed ones stay.

    wished : ``hair_length`` of each strand, relative to the found one; ``fringe``, a further factor of those that grow
    above the forehead; ``volume``, the distance from the skin relative to the found one, of which at most ``LIFTED``
    changes. 1 where one is missing. A beard stays as it is.
    """
    wished = {name: float(value) for name, value in wished.items()}  # a copy: the next line frees what is stored
    collection[tags.HAIR_SHAPE] = wished
    length, fringe, volume = (wished.get(name, 1.0) for name in ("hair_length", "fringe", "volume"))
    obj, head = tags.hair_object(collection, "CURVES"), tags.part_object(collection, "head")
    if obj is None or head is None or is_groomed(obj):
        return
    curves = obj.data
    starts = meshes.array_of(curves.curve_offset_data, "value")
    shape = (len(starts) - 1, int(starts[1]), 3)
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
    obj[tags.HAIR] = fingerprint(curves)


def _lift(points: np.ndarray, head: bpy.types.Object) -> np.ndarray:
    """(N, 3) from the skin to points (N, 3) in the head's frame, at most ``LIFTED`` long."""
    mesh = head.data
    faces = [tuple(face.vertices) for face in mesh.polygons]
    tree = BVHTree.FromPolygons(meshes.neutral_coordinates(mesh).tolist(), faces)
    lift = points - np.array([tree.find_nearest(point)[0] for point in points.tolist()], np.float32)
    return lift * np.minimum(1.0, LIFTED / np.maximum(np.linalg.norm(lift, axis=1, keepdims=True), 1e-9))


def _as_long(strands: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Strands (G, P, 3) with ``share`` (G,) of their lengths: cut, or going on from their tips, ever more downwards."""
    size = np.linalg.norm(np.diff(strands, axis=1), axis=-1)
    along = np.concatenate([np.zeros((len(strands), 1)), size.cumsum(1)], axis=1)
    at, whole = share[:, None] * along, along[:, -1:]
    low = np.clip((along[:, None, :] <= at[:, :, None]).sum(2) - 1, 0, strands.shape[1] - 2)
    rows = np.arange(len(strands))[:, None]
    part = np.clip((at - along[rows, low]) / np.maximum(size[rows, low], 1e-9), 0.0, 1.0)[..., None]
    shaped = strands[rows, low] * (1.0 - part) + strands[rows, low + 1] * part
    beyond = np.maximum(at - whole, 0.0)[..., None]
    way = strands[:, -1:] - strands[:, strands.shape[1] // 2, None]  # of half a strand: an end in waves points aside
    way /= np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-9)
    down = beyond / (beyond + FALLS_OVER * whole[..., None] + 1e-9)
    return shaped + beyond * ((1.0 - down) * way + down * np.array([0.0, 0.0, -1.0]))


def is_groomed(obj: bpy.types.Object) -> bool:
    """Whether the guides were changed since they were made."""
    return obj[tags.HAIR] != fingerprint(obj.data)


def fingerprint(curves: bpy.types.Curves) -> str:
    """Fingerprint of the positions of all points."""
    return hashlib.sha256(_positions(curves).tobytes()).hexdigest()


def move_with_skin(curves: bpy.types.Curves, mesh: bpy.types.Mesh, scalp: bpy.types.Object | None = None) -> None:
    """Move every guide rigidly so that its root lies on the current neutral mesh at its position in map ``Head``, and
    the ``scalp`` of ``grow_on`` as the roots about each of its vertices."""
    if SURFACE_UV not in curves.attributes or len(curves.curves) == 0:
        return
    positions, starts = _positions(curves), meshes.array_of(curves.curve_offset_data, "value")
    change = places(mesh, _values(curves, SURFACE_UV, "vector", 2)) - positions[starts[:-1]]
    if OFF in curves.attributes:
        change += _values(curves, OFF, "vector", 3)
    if scalp is not None and SCALP_UV in curves.attributes:
        _move_scalp(scalp.data, curves, change)
    positions += np.repeat(change, np.diff(starts), axis=0)
    curves.position_data.foreach_set("vector", positions.ravel())
    curves.update_tag()


def _move_scalp(mesh: bpy.types.Mesh, curves: bpy.types.Curves, change: np.ndarray) -> None:
    """Move each vertex of a scalp as the roots beside it, which moved by ``change`` (G, 3)."""
    uv, roots = np.zeros((len(mesh.vertices), 2), np.float32), _values(curves, SCALP_UV, "vector", 2)
    corners = meshes.array_of(mesh.uv_layers[SCALP_UV_MAP].uv, "vector", 2, np.float32)
    uv[meshes.array_of(mesh.loops, "vertex_index")] = corners
    near, weight = _beside(uv.tobytes(), roots.tobytes())
    moved = meshes.coordinates(mesh.vertices) + (change[near] * weight[..., None]).sum(1)
    mesh.vertices.foreach_set("co", moved.astype(np.float32).ravel())
    mesh.update()


@lru_cache(maxsize=4)
def _beside(uv: bytes, roots: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (V, K) of the roots nearest to a scalp's vertices in its map, and their weights; by the bytes of both,
    which stay the same while a slider moves the skin."""
    flat = [np.frombuffer(part, np.float32).reshape(-1, 2) for part in (uv, roots)]
    tree = meshes.search_tree(np.pad(flat[1], ((0, 0), (0, 1))))
    found = [tree.find_n((x, y, 0.0), min(4, len(flat[1]))) for x, y in flat[0].tolist()]
    weight = np.array([[1 / (one[2] + 1e-4) for one in near] for near in found], np.float32)
    return np.array([[one[1] for one in near] for near in found]), weight / weight.sum(1, keepdims=True)


def places(mesh: bpy.types.Mesh, uv: np.ndarray) -> np.ndarray:
    """(N, 3) points of the neutral surface at UV (N, 2) of map ``Head``, in the mesh's frame."""
    mesh.calc_loop_triangles()
    loops, corners = meshes.array_of(mesh.loop_triangles, "loops", 3), meshes.array_of(mesh.loops, "vertex_index")
    loop_uv = meshes.array_of(mesh.uv_layers[meshes.UV_HEAD].uv, "vector", 2, np.float32)
    nearest, weight = _attached(loop_uv.tobytes(), loops.tobytes(), np.ascontiguousarray(uv, np.float32).tobytes())
    return (meshes.neutral_coordinates(mesh)[corners[nearest]] * weight[..., None]).sum(1).astype(np.float32)


@lru_cache(maxsize=4)
def _attached(loop_uv: bytes, loops: bytes, uv: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Loops (N, 3) of the triangle that holds each UV, and its barycentric weights (N, 3) there. By the bytes of a
    mesh's map (L, 2) float32, of its triangles' loops (T, 3) int32 and of the UVs (N, 2) float32: they stay the same
    while a slider moves the skin."""
    triangles = np.frombuffer(loops, np.int32).reshape(-1, 3)
    flat = np.pad(np.frombuffer(loop_uv, np.float32).reshape(-1, 2), ((0, 0), (0, 1))).tolist()
    tree = BVHTree.FromPolygons(flat, triangles.tolist(), all_triangles=True)
    found = [tree.find_nearest((x, y, 0.0)) for x, y in np.frombuffer(uv, np.float32).reshape(-1, 2).tolist()]
    nearest = triangles[[one[2] for one in found]]
    weights = [poly_3d_calc([flat[k] for k in loop], one[0]) for loop, one in zip(nearest.tolist(), found, strict=True)]
    return nearest, np.array(weights)


def _remove(obj: bpy.types.Object) -> None:
    if obj.get(SCALP_TAG) is not None:
        tags.remove_object(obj[SCALP_TAG])
    tags.remove_object(obj)


def _positions(curves: bpy.types.Curves) -> np.ndarray:
    return meshes.array_of(curves.position_data, "vector", 3, np.float32)


def _values(curves: bpy.types.Curves, name: str, field: str, width: int = 1) -> np.ndarray:
    """An attribute's values, (N,) or (N, width)."""
    return meshes.array_of(curves.attributes[name].data, field, width, np.float32)
