"""Hair as a Curves object on the head's surface: it follows the shape keys, can be groomed, and keeps the grooming."""

from __future__ import annotations

import hashlib

import bpy
import numpy as np
from mathutils.kdtree import KDTree

from ..protocol.hair import ResultHair
from ..protocol.result import HeadResult
from . import tags
from .coordinates import neutral_coordinates
from .frames import to_blender
from .hair_cards import add_cards, is_changed, move_cards_with_skin, update_cards
from .hair_nodes import (
    ROOT_COLOUR,
    ROOT_NORMAL,
    SURFACE_UV,
    TIP_COLOUR,
    WIDTH,
    follow,
    hair_colour,
    hair_material,
    new_modifier,
)
from .locks import lock_weights
from .meshes import UV_HEAD

NAME = "hair"
TIP_SHARE = 0.3
"""Thickness of a hair's tip, relative to its root."""
NEAR_FACES = 8


def put_hair(result: HeadResult, collection: bpy.types.Collection, head: bpy.types.Object) -> None:
    """Put a result's hair (strands or cards) on ``head``, the mesh object of the head of ``collection``.

    Groomed hair and hair of the other kind stay; untouched hair is replaced. Strands and cards also stand on locked
    skin, and move with it if the result has the geometry only.
    """
    strands, cards = (tags.hair_object(collection, kind) for kind in ("CURVES", "MESH"))
    head_id, hair, wanted_cards = collection[tags.HEAD_ID], result.hair, result.hair_cards
    if result.geometry_only:
        if strands is not None:
            _move_along(strands, head)
        if cards is not None:
            move_cards_with_skin(cards, head)
        return
    if wanted_cards is not None:
        if cards is None:
            collection.objects.link(add_cards(wanted_cards, result.parts[0].vertices, head, head_id))
        else:
            update_cards(cards, wanted_cards, result.parts[0].vertices)
            move_cards_with_skin(cards, head)
    elif hair is not None and strands is None:
        collection.objects.link(add_hair(hair, head, head_id))
    if strands is not None and (is_groomed(strands) or (hair is not None and wanted_cards is None)):
        update_hair(strands, hair, head)
        if lock_weights(head) is not None:
            _move_along(strands, head)
    elif strands is not None:
        _remove(strands)
    if cards is not None and wanted_cards is None and not is_changed(cards):
        _remove(cards)


def add_hair(hair: ResultHair, head: bpy.types.Object, head_id: str) -> bpy.types.Object:
    """A Curves object with the guides of ``hair``, attached to ``head`` (its mesh object) as a child.

    It is linked to nothing yet. Its modifier creates the hairs between the guides.
    """
    obj = bpy.data.objects.new(NAME, new_curves(hair, head))
    obj[tags.HEAD_ID], obj[tags.HAIR] = head_id, fingerprint(obj.data)
    obj.parent = head
    new_modifier(obj)
    attach_to_head(obj, head)
    material = hair_material(np.median(hair.tip_colour, axis=0))
    material[tags.HEAD_ID] = head_id
    obj.data.materials.append(material)
    return obj


def attach_to_head(obj: bpy.types.Object, head: bpy.types.Object) -> None:
    """Parent hair to ``head`` and attach it to its skin."""
    head.add_rest_position_attribute = True
    obj.data.surface = head
    for modifier in obj.modifiers:
        follow(modifier, head)


def new_curves(hair: ResultHair, head: bpy.types.Object) -> bpy.types.Curves:
    """The guides as Curves data, in the head's own frame."""
    guides, points = hair.points.shape[:2]
    curves = bpy.data.hair_curves.new(NAME)
    curves.add_curves([points] * guides)
    along = np.linspace(0, 1, points, dtype=np.float32)
    radius = np.broadcast_to(hair.hair_radius * (1 - (1 - TIP_SHARE) * along), (guides, points))
    curves.position_data.foreach_set("vector", to_blender(hair.points).ravel())
    _set(curves, "radius", "FLOAT", "POINT", "value", radius)
    _set(curves, SURFACE_UV, "FLOAT2", "CURVE", "vector", hair.root_uv)
    _set(curves, WIDTH, "FLOAT", "CURVE", "value", hair.width)
    for name, colour in ((ROOT_COLOUR, hair.root_colour), (TIP_COLOUR, hair.tip_colour)):
        _set(curves, name, "FLOAT_COLOR", "CURVE", "color", np.column_stack([hair_colour(colour), np.ones(guides)]))
    _set(curves, ROOT_NORMAL, "FLOAT_VECTOR", "CURVE", "vector", _normals(to_blender(hair.points[:, 0]), head.data))
    curves.surface, curves.surface_uv_map = head, UV_HEAD
    return curves


def update_hair(obj: bpy.types.Object, hair: ResultHair | None, head: bpy.types.Object) -> None:
    """Replace the hair of an ``add_hair`` object by another result's; groomed guides stay and move with the skin.

    Modifiers, materials and settings stay in both cases. ``hair`` is ignored for groomed guides.
    """
    attach_to_head(obj, head)
    if is_groomed(obj) or hair is None:
        move_with_skin(obj.data, head.data)
        return
    before = obj.data
    curves = new_curves(hair, head)
    for material in before.materials:
        curves.materials.append(material)
    obj.data = curves
    obj[tags.HAIR] = fingerprint(curves)
    if before.users == 0:
        bpy.data.hair_curves.remove(before)


def _move_along(obj: bpy.types.Object, head: bpy.types.Object) -> None:
    """Move strands with the skin of ``head``; whether they count as groomed does not change."""
    groomed = is_groomed(obj)
    move_with_skin(obj.data, head.data)
    if not groomed:
        obj[tags.HAIR] = fingerprint(obj.data)


def is_groomed(obj: bpy.types.Object) -> bool:
    """Whether the guides were changed since they were made."""
    return obj[tags.HAIR] != fingerprint(obj.data)


def fingerprint(curves: bpy.types.Curves) -> str:
    """Fingerprint of the positions of all points."""
    return hashlib.sha256(_positions(curves).tobytes()).hexdigest()


def move_with_skin(curves: bpy.types.Curves, mesh: bpy.types.Mesh) -> None:
    """Move every guide rigidly so that its root lies on the current neutral mesh at its position in map ``Head``."""
    attribute = curves.attributes.get(SURFACE_UV)
    if attribute is None or len(curves.curves) == 0:
        return
    uv = np.empty(2 * len(curves.curves), np.float32)
    attribute.data.foreach_get("vector", uv)
    positions, starts = _positions(curves), np.empty(len(curves.curves) + 1, np.int32)
    curves.curve_offset_data.foreach_get("value", starts)
    change = places(mesh, uv.reshape(-1, 2)) - positions[starts[:-1]]
    positions += np.repeat(change, np.diff(starts), axis=0)
    curves.position_data.foreach_set("vector", positions.ravel())
    curves.update_tag()


def places(mesh: bpy.types.Mesh, uv: np.ndarray) -> np.ndarray:
    """(N, 3) points of the neutral surface at UV (N, 2) of map ``Head``, in the mesh's frame."""
    mesh.calc_loop_triangles()
    count = len(mesh.loop_triangles)
    loops, corners = np.empty(3 * count, np.int32), np.empty(3 * count, np.int32)
    mesh.loop_triangles.foreach_get("loops", loops)
    mesh.loop_triangles.foreach_get("vertices", corners)
    loop_uv = np.empty(2 * len(mesh.loops), np.float32)
    mesh.uv_layers[UV_HEAD].uv.foreach_get("vector", loop_uv)
    triangles = loop_uv.reshape(-1, 2)[loops].reshape(-1, 3, 2).astype(np.float64)
    tree = KDTree(count)
    for number, (x, y) in enumerate(triangles.mean(1).tolist()):
        tree.insert((x, y, 0.0), number)
    tree.balance()
    near = np.array([[found[1] for found in tree.find_n((x, y, 0.0), NEAR_FACES)] for x, y in uv.tolist()])  # (N, K)
    a, b, c = np.moveaxis(triangles[near], 2, 0)  # each (N, K, 2)
    p = uv[:, None]
    area = _cross(b - a, c - a)
    area = np.where(np.abs(area) < 1e-12, 1e-12, area)
    weights = np.stack([_cross(b - p, c - p), _cross(c - p, a - p), _cross(a - p, b - p)], -1) / area[..., None]
    best = weights.min(-1).argmax(1)
    row = np.arange(len(uv))
    weight = np.clip(weights[row, best], 0, 1)
    weight /= weight.sum(1, keepdims=True)
    neutral = neutral_coordinates(mesh)[corners.reshape(-1, 3)[near[row, best]]]  # (N, 3, 3)
    return (neutral * weight[..., None]).sum(1).astype(np.float32)


def _normals(roots: np.ndarray, mesh: bpy.types.Mesh) -> np.ndarray:
    """(G, 3) normals of the skin at the vertices nearest to roots (G, 3)."""
    neutral = neutral_coordinates(mesh)
    tree = KDTree(len(neutral))
    for number, point in enumerate(neutral.tolist()):
        tree.insert(point, number)
    tree.balance()
    normals = np.empty(3 * len(neutral), np.float32)
    mesh.vertex_normals.foreach_get("vector", normals)
    return normals.reshape(-1, 3)[[tree.find(root)[1] for root in roots.tolist()]]


def _remove(obj: bpy.types.Object) -> None:
    data = obj.data
    bpy.data.objects.remove(obj)
    if data.users == 0:
        bpy.data.batch_remove([data])


def _positions(curves: bpy.types.Curves) -> np.ndarray:
    flat = np.empty(3 * len(curves.points), np.float32)
    curves.position_data.foreach_get("vector", flat)
    return flat.reshape(-1, 3)


def _set(curves: bpy.types.Curves, name: str, kind: str, domain: str, field: str, values: np.ndarray) -> None:
    attribute = curves.attributes.get(name) or curves.attributes.new(name, kind, domain)
    attribute.data.foreach_set(field, np.ascontiguousarray(values, np.float32).ravel())


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
