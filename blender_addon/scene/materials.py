"""Materials of a head: skin, teeth, mouth and lashes from one albedo, the eyes from a texture of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import bpy

from ..protocol.names import BUST, LASHES
from . import tags
from .eevee_mouth import DEPTHS, dim_by_depth
from .eye_materials import add_caruncle_colour, cornea_material, limit_coat_to_sclera, tear_material
from .meshes import ALPHA, MOUTH_INSIDE, UV_EYE, UV_HEAD, UV_LASH
from .skin_gloss import USUAL_ROUGHNESS, USUAL_SPECULAR, add_gloss


@dataclass(frozen=True)
class Look:
    """Principled BSDF inputs other than the base colour, by name, and further surface features.

    ``see_through``: opacity from the texture or the vertices. ``skin``: pores. ``flesh``: procedural colour, no
        texture.
    """

    name: str
    inputs: Mapping[str, float | tuple[float, ...]]
    see_through: bool = False
    skin: bool = False
    flesh: bool = False
    parts: tuple[str, ...] = field(default=())


MOUTH_LIGHT = 0.09
"""Emission of the mouth's inside as a share of its colour (half for the tongue). Lamps hardly reach it between lips and
teeth, so renders with few bounces show a black hole; with this it is a dark red next to lit skin."""
MOUTH_LIGHT_NODE = "Mouth Light"
EYEBALLS = ("eye_left", "eye_right")
EYE_PICTURE = "Eyes"
"""Name of the node with the eyes' texture."""
LASH_PICTURE = "Lashes"
"""Name of the node with the texture of single lashes."""
PORES_ACROSS_MAP = 600.0
SOLID_LASHES = (0.03, 0.02, 0.015, 0.0)
"""Colour and opacity of transparent parts in Solid shading, which has no opacity per vertex. Lashes are centimetre-wide
strips that are mostly clear, so any opacity of the strip would look like smoked glass over the lid."""

MATERIAL_LOOKS: tuple[Look, ...] = (
    Look(
        "Skin",
        {
            "Roughness": USUAL_ROUGHNESS,
            "Specular IOR Level": USUAL_SPECULAR,
            "Subsurface Weight": 0.35,
            "Subsurface Radius": (1.0, 0.35, 0.2),
            "Subsurface Scale": 0.0035,  # metres that red light travels under the skin
        },
        skin=True,
        parts=("head", BUST),
    ),
    Look(
        "Eyes",
        # A diffuse ball with a clear coat for the tear film's highlight on the white; over the iris the cornea
        # reflects.
        {
            "Roughness": 0.45,
            "Specular IOR Level": 0.2,
            "Coat Weight": 1.0,
            "Coat Roughness": 0.02,
            "Coat IOR": 1.376,
            "Subsurface Weight": 0.05,
            "Subsurface Radius": (1.0, 0.5, 0.35),
            "Subsurface Scale": 0.001,
        },
        parts=("eye_left", "eye_right"),
    ),
    Look(
        "Teeth",
        {
            "Roughness": 0.22,
            "Specular IOR Level": 0.5,
            "Subsurface Weight": 0.2,
            "Subsurface Radius": (1.0, 0.8, 0.6),
            "Subsurface Scale": 0.001,
            "Coat Weight": 0.4,
            "Coat Roughness": 0.06,
        },
        parts=("teeth_upper", "teeth_lower"),
    ),
    Look(
        "Tongue",
        {
            "Roughness": 0.35,
            "Emission Strength": 0.5 * MOUTH_LIGHT,
            "Subsurface Weight": 0.3,
            "Subsurface Radius": (1.0, 0.3, 0.2),
            "Subsurface Scale": 0.002,
            "Coat Weight": 0.3,
            "Coat Roughness": 0.15,
        },
        parts=("tongue",),
    ),
    Look(
        "Caruncles",
        {
            "Roughness": 0.28,
            "Subsurface Weight": 0.4,
            "Subsurface Radius": (1.0, 0.35, 0.25),
            "Subsurface Scale": 0.0008,
            "Coat Weight": 0.8,
            "Coat Roughness": 0.08,
        },
        flesh=True,
        parts=("caruncles",),
    ),
    Look("Lashes", {"Roughness": 0.6, "Specular IOR Level": 0.2}, see_through=True, parts=("lashes",)),
)


@dataclass(frozen=True)
class HeadPictures:
    """The images of a head's materials: albedo, eyes, lashes; None where one was deleted."""

    albedo: bpy.types.Image | None
    eyes: bpy.types.Image | None = None
    lashes: bpy.types.Image | None = None


def head_pictures(collection: bpy.types.Collection) -> HeadPictures:
    """The images of a head."""
    return HeadPictures(*(collection.get(tag) for tag in (tags.ALBEDO, tags.EYES, tags.LASHES)))


def material_for_part(part: str, pictures: HeadPictures, made: dict[str, bpy.types.Material]) -> bpy.types.Material:
    """The part's material, created on first use; ``made`` caches this head's materials by look name."""
    if part.startswith("cornea"):
        return made.setdefault("Cornea", made.get("Cornea") or cornea_material())
    if part == "tear_lines":
        return made.setdefault("Tears", made.get("Tears") or tear_material())
    look = next(look for look in MATERIAL_LOOKS if part in look.parts)
    if look.name not in made:
        shown = (pictures.albedo, UV_HEAD)
        if part in EYEBALLS and pictures.eyes is not None:
            shown = (pictures.eyes, UV_EYE)
        elif part == LASHES and pictures.lashes is not None:
            shown = (pictures.lashes, UV_LASH)
        made[look.name] = _new_material(look, *shown)
    return made[look.name]


def skin_look_material(albedo: bpy.types.Image, uv_map: str, pores_across_map: float) -> bpy.types.Material:
    """A skin material that shows ``albedo`` in another UV map, with ``pores_across_map`` pores across it."""
    material = _new_material(next(look for look in MATERIAL_LOOKS if look.skin), albedo, uv_map)
    material.node_tree.nodes["Pores"].inputs["Scale"].default_value = pores_across_map
    return material


def fill_pictures(head_id: str, pictures: HeadPictures) -> None:
    """Restore deleted textures in a head's materials."""
    for material in [m for m in bpy.data.materials if m.get(tags.HEAD_ID) == head_id and m.node_tree]:
        for node in material.node_tree.nodes:
            if node.type == "TEX_IMAGE" and node.image is None and node.parent is None:  # relief nodes have a frame
                own = {EYE_PICTURE: pictures.eyes, LASH_PICTURE: pictures.lashes}
                node.image = own.get(node.name, pictures.albedo)


def _new_material(look: Look, picture: bpy.types.Image | None, uv_map: str) -> bpy.types.Material:
    material = bpy.data.materials.new(look.name)
    if material.node_tree is None:  # from 6.0 on every material has nodes and the switch is gone
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    output = _node(tree, "ShaderNodeOutputMaterial", 400, 0)
    shader = _node(tree, "ShaderNodeBsdfPrincipled", 0, 0)
    for name, value in look.inputs.items():
        shader.inputs[name].default_value = value
    tree.links.new(shader.outputs["BSDF"], output.inputs["Surface"])
    if look.flesh:
        add_caruncle_colour(tree, shader)
        return material
    uv = _node(tree, "ShaderNodeUVMap", -900, 0)
    uv.uv_map = uv_map
    texture = _node(tree, "ShaderNodeTexImage", -600, 100)
    texture.image = picture
    texture.name = texture.label = {UV_EYE: EYE_PICTURE, UV_LASH: LASH_PICTURE}.get(uv_map, "Albedo")
    tree.links.new(uv.outputs["UV"], texture.inputs["Vector"])
    tree.links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    if uv_map == UV_EYE:
        limit_coat_to_sclera(tree, uv, shader)
    if look.skin:
        _add_pores(tree, uv, shader)
        add_gloss(tree, shader)
        _light_mouth(tree, texture, shader)
    elif shader.inputs["Emission Strength"].default_value > 0.0:
        tree.links.new(texture.outputs["Color"], shader.inputs["Emission Color"])
    if look.name in DEPTHS:
        dim_by_depth(tree, shader, DEPTHS[look.name])
    if look.see_through:
        opacity = texture
        if uv_map != UV_LASH:
            opacity = _node(tree, "ShaderNodeVertexColor", -600, -250)
            opacity.layer_name = ALPHA
        tree.links.new(opacity.outputs["Alpha"], shader.inputs["Alpha"])
        material.surface_render_method = "DITHERED"
        material.use_transparent_shadow = True
        tree.nodes.active = shader  # not a texture: Solid shading uses the colour below
        material.diffuse_color = SOLID_LASHES
    return material


def _light_mouth(tree: bpy.types.NodeTree, texture: bpy.types.Node, shader: bpy.types.Node) -> None:
    """Let the skin behind the lips emit a little light; the node's second value is the strength."""
    inside = _node(tree, "ShaderNodeAttribute", -600, -650)
    inside.attribute_name = MOUTH_INSIDE
    light = _node(tree, "ShaderNodeMath", -300, -650)
    light.operation, light.name, light.label = "MULTIPLY", MOUTH_LIGHT_NODE, MOUTH_LIGHT_NODE
    light.inputs[1].default_value = MOUTH_LIGHT
    tree.links.new(inside.outputs["Fac"], light.inputs[0])
    tree.links.new(texture.outputs["Color"], shader.inputs["Emission Color"])
    tree.links.new(light.outputs[0], shader.inputs["Emission Strength"])


def _add_pores(tree: bpy.types.NodeTree, uv: bpy.types.Node, shader: bpy.types.Node) -> None:
    """Add fine procedural relief that photos do not resolve: cells of about half a millimetre as a faint bump."""
    cells = _node(tree, "ShaderNodeTexVoronoi", -600, -350)
    cells.name = cells.label = "Pores"
    cells.feature = "SMOOTH_F1"
    cells.inputs["Scale"].default_value = PORES_ACROSS_MAP
    cells.inputs["Smoothness"].default_value = 0.6
    bump = _node(tree, "ShaderNodeBump", -300, -350)
    bump.inputs["Strength"].default_value = 0.12
    bump.inputs["Distance"].default_value = 0.0001
    tree.links.new(uv.outputs["UV"], cells.inputs["Vector"])
    tree.links.new(cells.outputs["Distance"], bump.inputs["Height"])
    tree.links.new(bump.outputs["Normal"], shader.inputs["Normal"])


def _node(tree: bpy.types.NodeTree, kind: str, x: float, y: float) -> bpy.types.Node:
    node = tree.nodes.new(kind)
    node.location = (x, y)
    return node
