"""Hair cards: a mesh on the head with a texture of strands, as in games."""

from __future__ import annotations

import hashlib

import bpy
import numpy as np
from mathutils.kdtree import KDTree

from ..protocol.hair import ResultCards
from . import tags
from .coordinates import coordinates, neutral_coordinates
from .frames import to_blender
from .images import packed_image

NAME, MATERIAL_NAME, UV = "hair", "Hair Cards", "Cards"
COLOUR = "colour"
SKIN_VERTEX, SKIN_PLACE = "skin_vertex", "skin_place"
"""Vertex attributes of a card: the head's vertex on which the card stands, and its position at that time."""
ATLAS = ("hair_strands", "hair_relief")


def add_cards(cards: ResultCards, skin: np.ndarray, head: bpy.types.Object, head_id: str) -> bpy.types.Object:
    """A mesh object with the cards, a child of ``head`` (its mesh object); linked to nothing yet. ``skin`` : (V, 3)
    neutral vertices of the head on which the cards stand, in their frame."""
    mesh = _mesh(cards, skin)
    mesh.materials.append(_material(cards, head_id))
    obj = bpy.data.objects.new(NAME, mesh)
    obj[tags.HEAD_ID], obj[tags.HAIR] = head_id, fingerprint(mesh)
    obj.parent = head
    move_cards_with_skin(obj, head)
    return obj


def update_cards(obj: bpy.types.Object, cards: ResultCards, skin: np.ndarray) -> None:
    """Replace the cards of an ``add_cards`` object by another result's, unless its mesh was edited; materials stay."""
    if is_changed(obj):
        return
    before = obj.data
    obj.data = _mesh(cards, skin)
    obj[tags.HAIR] = fingerprint(obj.data)
    for material in before.materials:
        obj.data.materials.append(material)
    if before.users == 0:
        bpy.data.meshes.remove(before)


def move_cards_with_skin(obj: bpy.types.Object, head: bpy.types.Object) -> None:
    """Move every card rigidly with the neutral skin it stands on, which may be locked. Edited cards still count as
    edited afterwards. Cards of files from earlier versions stay."""
    mesh, changed = obj.data, is_changed(obj)
    vertex, place = mesh.attributes.get(SKIN_VERTEX), mesh.attributes.get(SKIN_PLACE)
    if vertex is None or place is None or len(vertex.data) != len(mesh.vertices):
        return
    stands_on, before = np.empty(len(mesh.vertices), np.int32), np.empty(3 * len(mesh.vertices), np.float32)
    vertex.data.foreach_get("value", stands_on)
    place.data.foreach_get("vector", before)
    skin = neutral_coordinates(head.data)
    now = skin[np.clip(stands_on, 0, len(skin) - 1)]
    moved = coordinates(mesh.vertices) + now - before.reshape(-1, 3)
    mesh.vertices.foreach_set("co", moved.ravel())
    place.data.foreach_set("vector", now.ravel())
    mesh.update()
    if not changed:
        obj[tags.HAIR] = fingerprint(mesh)


def is_changed(obj: bpy.types.Object) -> bool:
    """Whether the mesh was changed since it was made."""
    return obj[tags.HAIR] != fingerprint(obj.data)


def fingerprint(mesh: bpy.types.Mesh) -> str:
    """Fingerprint of the positions of all vertices."""
    return hashlib.sha256(coordinates(mesh.vertices).tobytes()).hexdigest()


def _skin_vertices_of_cards(cards: ResultCards, skin: np.ndarray) -> np.ndarray:
    """(N,) for each card vertex, the skin vertex (of V, 3) on which its card stands: the one nearest to any of its
    vertices."""
    card = np.arange(len(cards.vertices))
    while True:  # connected components: spread the smallest vertex number until every card has a single one
        least, before = card[cards.triangles].min(1), card.copy()
        for corner in cards.triangles.T:
            np.minimum.at(card, corner, least)
        if (card == before).all():
            break
    tree = KDTree(len(skin))
    for number, point in enumerate(skin.tolist()):
        tree.insert(point, number)
    tree.balance()
    found = [tree.find(point)[1:] for point in cards.vertices.tolist()]
    order = np.lexsort(([distance for _, distance in found], card))
    first = order[np.unique(card[order], return_index=True)[1]]  # per card the vertex nearest to the skin
    return np.array([number for number, _ in found])[first][np.unique(card, return_inverse=True)[1]]


def _mesh(cards: ResultCards, skin: np.ndarray) -> bpy.types.Mesh:
    count = len(cards.triangles)
    mesh = bpy.data.meshes.new(NAME)
    mesh.vertices.add(len(cards.vertices))
    mesh.loops.add(3 * count)
    mesh.polygons.add(count)
    mesh.vertices.foreach_set("co", to_blender(cards.vertices).ravel())
    mesh.loops.foreach_set("vertex_index", cards.triangles.ravel())
    mesh.polygons.foreach_set("loop_start", 3 * np.arange(count, dtype=np.int32))
    layer = mesh.uv_layers.new(name=UV, do_init=False)
    layer.uv.foreach_set("vector", np.ascontiguousarray(cards.uv[cards.triangles.ravel()]).ravel())
    colour = mesh.color_attributes.new(COLOUR, "FLOAT_COLOR", "POINT")
    colour.data.foreach_set("color", np.column_stack([cards.colours, np.ones(len(cards.colours))]).ravel())
    stands_on = _skin_vertices_of_cards(cards, skin).astype(np.int32)
    mesh.attributes.new(SKIN_VERTEX, "INT", "POINT").data.foreach_set("value", stands_on)
    where = to_blender(skin[stands_on]).astype(np.float32)
    mesh.attributes.new(SKIN_PLACE, "FLOAT_VECTOR", "POINT").data.foreach_set("vector", where.ravel())
    mesh.update(calc_edges=True)
    mesh.validate()
    mesh.shade_smooth()
    mesh.normals_split_custom_set_from_vertices(to_blender(cards.normals).tolist())
    return mesh


def _material(cards: ResultCards, head_id: str) -> bpy.types.Material:
    material = bpy.data.materials.new(MATERIAL_NAME)
    if material.node_tree is None:  # from 6.0 on every material has nodes and the switch is gone
        material.use_nodes = True
    material[tags.HEAD_ID] = head_id
    tree, links = material.node_tree, material.node_tree.links
    tree.nodes.clear()
    output, shader = tree.nodes.new("ShaderNodeOutputMaterial"), tree.nodes.new("ShaderNodeBsdfPrincipled")
    output.location = (300, 0)
    shader.inputs["Roughness"].default_value, shader.inputs["Specular IOR Level"].default_value = 0.45, 0.3
    strands, relief = tree.nodes.new("ShaderNodeTexImage"), tree.nodes.new("ShaderNodeTexImage")
    for node, name, data, y in ((strands, ATLAS[0], cards.strands_png, 0), (relief, ATLAS[1], cards.relief_png, -350)):
        node.image, node.location = packed_image(name, data), (-650, y)
        node.image[tags.HEAD_ID] = head_id
    relief.image.colorspace_settings.name = "Non-Color"
    colour, mix = tree.nodes.new("ShaderNodeVertexColor"), tree.nodes.new("ShaderNodeMix")
    colour.layer_name, colour.location = COLOUR, (-650, 250)
    mix.data_type, mix.blend_type, mix.location = "RGBA", "MULTIPLY", (-300, 150)
    mix.inputs["Factor"].default_value = 1.0
    bend = tree.nodes.new("ShaderNodeNormalMap")
    bend.uv_map, bend.location = UV, (-300, -300)
    links.new(strands.outputs["Color"], mix.inputs["A"])
    links.new(colour.outputs["Color"], mix.inputs["B"])
    links.new(mix.outputs["Result"], shader.inputs["Base Color"])
    links.new(strands.outputs["Alpha"], shader.inputs["Alpha"])
    links.new(relief.outputs["Color"], bend.inputs["Color"])
    links.new(bend.outputs["Normal"], shader.inputs["Normal"])
    links.new(shader.outputs["BSDF"], output.inputs["Surface"])
    # Solid shading would show the grey texture without the colours, so it gets one colour and no texture.
    tree.nodes.active = shader
    material.diffuse_color = (*np.median(cards.colours, axis=0).tolist(), 1.0)
    material.surface_render_method = "DITHERED"
    material.use_transparent_shadow = True
    return material
