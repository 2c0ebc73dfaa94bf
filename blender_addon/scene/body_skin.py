"""A body's skin from a head's: albedo and relief baked into the body's UV map, the rest tinted to the neck's tone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import bpy
import numpy as np

from . import tags
from .atlas import covered_texels, grow, linear, png, resized, sampled, srgb
from .images import packed_image, picture_pixels, replace_packed
from .materials import PORES_ACROSS_MAP, skin_look_material
from .meshes import HM08_VERTEX, UV_HEAD
from .skin_detail import ALWAYS, relief_nodes, skin_material

MOST_SIDE, LEAST_SIDE = 4096, 1024
"""Limits for the side of the body's picture, texels."""
FINER = 2
"""The face takes about a third of the atlas's width, so twice the albedo's side is slightly coarser than the albedo."""
MARGIN = 8
"""Gutter around charts in texels, at ``MOST_SIDE``; mipmaps sample it in distant views."""
LARGEST_RATIO = 6.0
"""Limit for the ratio of the neck's tone to the body's own texture; larger ratios are not skin."""


@dataclass(frozen=True)
class _Corners:
    """Triangles on the body: the head's skin as (T, 3, 2) in the body's map and in map ``Head`` with (T, 3) blend
    weights, and all other faces as (U, 3, 2) in the body's map."""

    body: np.ndarray
    head: np.ndarray
    weights: np.ndarray
    others: np.ndarray


@dataclass(frozen=True)
class SkinSources:
    """Inputs for baking a body's skin, read from Blender: ``albedo`` (H, W, 3) float32 sRGB, ``texture`` (H, W, 3) of
    the body or None, ``heights`` (H, W, 1) of the relief or None and its ``reach`` in millimetres, the triangles, and
    the side of the new picture in texels."""

    albedo: np.ndarray
    texture: np.ndarray | None
    heights: np.ndarray | None
    reach: float
    corners: _Corners
    side: int


@dataclass(frozen=True)
class BakedSkin:
    """``picture`` and optional ``relief``: PNG files in the body's map; ``reach`` : the relief's, millimetres;
    ``has_own`` : whether the body had a texture."""

    picture: bytes
    relief: bytes | None
    reach: float
    has_own: bool


def skin_sources(
    collection: bpy.types.Collection, head: bpy.types.Object, body: bpy.types.Object, weights: np.ndarray
) -> SkinSources | str:
    """Inputs for ``body``'s skin, or a sentence on why the body keeps its material.

    ``weights`` (V_head,) is 1 on the head and falls to 0 at the cut through the neck.
    """
    albedo = collection.get(tags.ALBEDO)
    if albedo is None or albedo.size[0] < 2:
        return "It has no albedo, so the body keeps its looks."
    layer = _layer(body.data)
    if layer is None:
        return "The body has no UV map, so it keeps its looks."
    corners = _corners(head.data, body.data, layer, weights)
    if corners is None:
        return "The body's faces are not MakeHuman's, so it keeps its looks."
    source = _own_texture(body)
    side = int(np.clip(FINER * albedo.size[0], LEAST_SIDE, MOST_SIDE))
    side = side if source is None else int(np.clip(max(side, *source.size), LEAST_SIDE, MOST_SIDE))
    texture = None if source is None else picture_pixels(source)
    relief = None if source is not None else _relief_image(head)  # the artist's own material brings its own relief
    heights, reach = (None, 0.0) if relief is None else (picture_pixels(relief)[..., :1], float(relief[tags.REACH]))
    return SkinSources(picture_pixels(albedo), texture, heights, reach, corners, side)


def bake(sources: SkinSources, told: Callable[[float], None] = lambda done: None) -> BakedSkin:
    """Bake the skin in the body's map: the head's albedo and relief on the head's skin; below, the body's texture
    tinted to the neck's tone, or that tone alone without a texture. It does not access Blender, so it can run on a
    thread; ``told`` is called with the fraction done."""
    corners, side = sources.corners, sources.side
    texels, found = covered_texels(corners.body, np.dstack([corners.head, corners.weights[..., None]]), side)
    told(0.2)
    uv, share = found[:, :2], np.clip(found[:, 2:], 0.0, 1.0)
    skin = linear(sampled(sources.albedo, uv))
    told(0.35)
    neck = skin[((share > 0.05) & (share < 0.95))[:, 0]]
    tone = np.median(neck if len(neck) else skin, axis=0)
    if sources.texture is None:
        picture = np.broadcast_to(tone.astype(np.float32), (side, side, 3)).reshape(-1, 3).copy()
    else:
        picture = resized(sources.texture, side).reshape(-1, 3)
        own = np.median(linear(picture[texels[((share > 0.05) & (share < 0.95))[:, 0]]]), axis=0)
        ratio = np.clip(tone / np.maximum(own, 1e-3), 1 / LARGEST_RATIO, LARGEST_RATIO)
        for rows in np.split(picture, side):  # row by row, to save memory
            rows[:] = linear(rows) * ratio
    picture[texels] = share * skin + (1.0 - share) * picture[texels]
    rings = max(2, MARGIN * side // MOST_SIDE)
    near = _overlapping(corners.others, corners.body, rings / side)
    taken = covered_texels(near, np.zeros((*near.shape[:2], 0)), side)[0]
    told(0.5)
    grow(picture, side, texels, taken, rings)
    told(0.65)
    coloured = png(np.stack([np.round(255.0 * srgb(rows)).astype(np.uint8) for rows in np.split(picture, side)]))
    told(0.85)
    relief = None
    if sources.heights is not None:
        heights = np.full((side * side, 1), 0.5, np.float32)
        heights[texels] = 0.5 + share * (sampled(sources.heights, uv) - 0.5)
        grow(heights, side, texels, taken, rings)
        relief = png(np.round(65535.0 * heights).astype(np.uint16).reshape(side, side, 1))
    return BakedSkin(coloured, relief, sources.reach, sources.texture is not None)


def write_skin(collection: bpy.types.Collection, body: bpy.types.Object, baked: BakedSkin) -> str:
    """Assign the baked skin to ``body``; return a sentence on what was done. The body's materials are copied before
    they are changed. A second call starts from the body's original texture."""
    _write(collection, body, _layer(body.data), _own_texture(body), baked)
    return "The body's texture has its skin and the neck's tone." if baked.has_own else "The body has its skin."


def _layer(mesh: bpy.types.Mesh) -> bpy.types.MeshUVLoopLayer | None:
    return next((layer for layer in mesh.uv_layers if layer.active_render), mesh.uv_layers.active)


def _corners(
    head: bpy.types.Mesh, body: bpy.types.Mesh, layer: bpy.types.MeshUVLoopLayer, weights: np.ndarray
) -> _Corners | None:
    """None if the body has none of the head's faces."""
    numbers = np.empty(len(head.vertices), np.int32)
    head.attributes[HM08_VERTEX].data.foreach_get("value", numbers)
    head_uv, body_uv = _uv(head, head.uv_layers[UV_HEAD]), _uv(body, layer)
    place = {
        frozenset(numbers[list(face.vertices)].tolist()): face.loop_start
        for face in head.polygons
        if face.loop_total == 4
    }
    corner_vertex = np.empty(len(head.loops), np.int32)
    head.loops.foreach_get("vertex_index", corner_vertex)
    of_body, of_head, shares, others = [], [], [], []
    for face in body.polygons:
        start, vertices = face.loop_start, list(face.vertices)
        first = place.get(frozenset(vertices))
        loops = [(0, 1, 2), (0, 2, 3)] if len(vertices) == 4 else [(0, 1, 2)] if len(vertices) == 3 else []
        if first is None:
            others += [[start + one for one in three] for three in loops]
            continue
        there = {int(numbers[corner_vertex[loop]]): loop for loop in range(first, first + 4)}
        for three in loops:
            of_body.append([start + one for one in three])
            of_head.append([there[vertices[one]] for one in three])
            shares.append([weights[corner_vertex[there[vertices[one]]]] for one in three])
    if not of_body:
        return None
    return _Corners(
        body_uv[np.array(of_body)],
        head_uv[np.array(of_head)],
        np.array(shares, np.float32),
        body_uv[np.array(others, int).reshape(-1, 3)],
    )


def _overlapping(others: np.ndarray, own: np.ndarray, margin: float) -> np.ndarray:
    """The triangles (U, 3, 2) whose bounding boxes touch the one around ``own`` (T, 3, 2)."""
    low, high = own.min(axis=(0, 1)) - margin, own.max(axis=(0, 1)) + margin
    return others[((others.max(axis=1) >= low) & (others.min(axis=1) <= high)).all(axis=1)]


def _uv(mesh: bpy.types.Mesh, layer: bpy.types.MeshUVLoopLayer) -> np.ndarray:
    flat = np.empty(2 * len(mesh.loops), np.float32)
    layer.uv.foreach_get("vector", flat)
    return flat.reshape(-1, 2)


def _relief_image(head: bpy.types.Object) -> bpy.types.Image | None:
    """The relief of the face at rest; None if there is none, or in files of earlier versions, which lack its depth."""
    material = skin_material(head)
    found = [] if material is None else [node.image for node in relief_nodes(material) if node.name == ALWAYS]
    return None if not found or tags.REACH not in found[0] or found[0].size[0] < 2 else found[0]


def _texture_node(material: bpy.types.Material | None) -> bpy.types.Node | None:
    """The texture node nearest upstream of a material's output, which supplies its base colour."""
    if material is None or material.node_tree is None:
        return None
    waiting = [node for node in material.node_tree.nodes if node.type == "OUTPUT_MATERIAL" and node.is_active_output]
    seen = set(waiting)
    while waiting:
        node = waiting.pop(0)
        image = node.image if node.type == "TEX_IMAGE" else None
        usable = image is not None and image.source != "TILED" and image.size[0] > 1
        if usable and image.colorspace_settings.name != "Non-Color":
            return node
        for socket in node.inputs:
            for link in socket.links:
                if link.from_node not in seen:
                    seen.add(link.from_node)
                    waiting.append(link.from_node)
    return None


def _own_texture(body: bpy.types.Object) -> bpy.types.Image | None:
    """The body's original texture, also after a skin of ours was applied."""
    for slot in body.material_slots:
        node = _texture_node(slot.material)
        if node is not None:
            return node.image.get(tags.BODY_BEFORE) if tags.BODY_SKIN in node.image else node.image
    return None


def _write(
    collection: bpy.types.Collection,
    body: bpy.types.Object,
    layer: bpy.types.MeshUVLoopLayer,
    source: bpy.types.Image | None,
    baked: BakedSkin,
) -> None:
    image = None
    for slot in body.material_slots:
        node = _texture_node(slot.material)
        if node is None or (tags.BODY_SKIN not in node.image and node.image != source):
            continue
        if tags.BODY_SKIN in node.image:
            image = node.image
            replace_packed(image, baked.picture)
        else:
            image = image or _new_image(collection, body, baked.picture, source)
            slot.material = slot.material.copy()
            _texture_node(slot.material).image = image
    if image is not None:
        return
    image = _new_image(collection, body, baked.picture, None)
    material = skin_look_material(image, layer.name, PORES_ACROSS_MAP * FINER)
    material.name = f"{body.name} Skin"
    if baked.relief is not None:
        _add_relief(material, layer.name, baked.relief, baked.reach)
    if body.material_slots:
        body.material_slots[0].material = material
    else:
        body.data.materials.append(material)


def _new_image(
    collection: bpy.types.Collection, body: bpy.types.Object, data: bytes, before: bpy.types.Image | None
) -> bpy.types.Image:
    image = packed_image(f"{body.name} skin", data)
    image[tags.BODY_SKIN] = collection[tags.HEAD_ID]
    if before is not None:
        image[tags.BODY_BEFORE] = before
    return image


def _add_relief(material: bpy.types.Material, layer: str, heights: bytes, reach: float) -> None:
    """Add the relief as displacement, which Eevee and Cycles draw as a bump."""
    tree = material.node_tree
    image = packed_image(f"{material.name} relief", heights)
    image.colorspace_settings.name = "Non-Color"
    uv, texture, relief = (
        tree.nodes.new(kind) for kind in ("ShaderNodeUVMap", "ShaderNodeTexImage", "ShaderNodeDisplacement")
    )
    uv.uv_map, texture.image, texture.name, texture.label, texture.interpolation = layer, image, ALWAYS, ALWAYS, "Cubic"
    uv.location, texture.location, relief.location = (-900, -700), (-600, -700), (100, -500)
    relief.inputs["Midlevel"].default_value = 0.5
    relief.inputs["Scale"].default_value = 2.0 * reach / 1000.0
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    tree.links.new(uv.outputs["UV"], texture.inputs["Vector"])
    tree.links.new(texture.outputs["Color"], relief.inputs["Height"])
    tree.links.new(relief.outputs["Displacement"], output.inputs["Displacement"])
