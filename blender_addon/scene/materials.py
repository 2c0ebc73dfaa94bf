"""Materials of a head: skin, teeth, mouth and lashes from one albedo, the eyes from a texture of their own.

Packed images: albedo and photos, stored as their original files.

Gloss of the skin: roughness per vertex, and the specular level as a function of roughness.

Darken tongue and back teeth in Eevee, which by default lights and reflects the whole world inside a mouth.

Their materials get a second output, used by Eevee only, that dims the surface by the occlusion of lips and teeth.
Cycles computes the occlusion itself and uses the first output.

Materials of the eyes: clear cornea and tear line, and the caruncles' colour.

Skin relief in the material: height maps blended by the head's keys, as bump or displacement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import bpy
import numpy as np

from ..protocol.names import BUST, LASHES
from ..protocol.result import ResultDetail, ResultWrinkles
from . import tags
from .meshes import ALPHA, MOUTH_INSIDE, SKIN_ROUGHNESS, UV_EYE, UV_HEAD, UV_LASH


def packed_image(name: str, data: bytes) -> bpy.types.Image:
    """A new image with the file ``data`` packed into the .blend. It is decoded only when it is displayed."""
    image = bpy.data.images.new(name, 1, 1)
    replace_packed(image, data)
    return image


def replace_packed(image: bpy.types.Image, data: bytes) -> None:
    """Replace the packed file of ``image``; all users show the new one."""
    image.pack(data=data, data_len=len(data))
    image.source = "GENERATED"  # makes the next line drop the pixels of the old file
    image.source = "FILE"


def file_bytes(image: bpy.types.Image) -> bytes | None:
    """The image's packed file, or the file on disk; None if it is gone."""
    if image.packed_file is not None:
        return bytes(image.packed_file.data)
    try:
        with open(bpy.path.abspath(image.filepath, library=image.library), "rb") as file:
            return file.read()
    except OSError:
        return None


def picture_pixels(image: bpy.types.Image) -> np.ndarray:
    """(H, W, 3) float32 pixels as stored, row 0 at v = 0."""
    flat = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(flat)
    return flat.reshape(image.size[1], image.size[0], image.channels)[..., :3]


USUAL_ROUGHNESS, USUAL_SPECULAR = 0.52, 0.4
"""Values for skin without the attribute: a body."""
ROUGHNESS, SPECULAR = "Skin Roughness", "Skin Specular"
"""Names of the final nodes; their second values are the two above and scale all skin. Blender's glTF exporter writes
them as material factors, because it cannot export vertex attributes."""
_SPECULAR_SLOPE = -0.45
"""Specular IOR level per roughness: dry horn (0.6) has an index of refraction of about 1.4, level 0.36; sebum (0.45) of
1.46, level 0.43."""

_MOUTH_SPECULAR = 0.1
"""Factor of the specular level behind the lips. Eevee reflects the world there although lips and cheeks occlude it, so
the lining looked grey at grazing angles. Cycles changes little, because rays find little to reflect there."""


def add_gloss(tree: bpy.types.NodeTree, shader: bpy.types.Node) -> None:
    """Link a Principled BSDF's roughness and specular level; a mesh without the attribute gets the usual values."""
    said = tree.nodes.new("ShaderNodeAttribute")
    said.attribute_name, said.location = SKIN_ROUGHNESS, (-1000, -900)
    known = _math(tree, "GREATER_THAN", -800, -1050, 0.0)  # a missing attribute reads 0
    relative = _math(tree, "DIVIDE", -800, -900, USUAL_ROUGHNESS)
    mix = tree.nodes.new("ShaderNodeMix")
    mix.data_type, mix.location = "FLOAT", (-600, -900)
    mix.inputs[2].default_value = 1.0
    tree.links.new(said.outputs["Fac"], known.inputs[0])
    tree.links.new(said.outputs["Fac"], relative.inputs[0])
    tree.links.new(known.outputs[0], mix.inputs[0])
    tree.links.new(relative.outputs[0], mix.inputs[3])
    slope = _SPECULAR_SLOPE * USUAL_ROUGHNESS / USUAL_SPECULAR
    level = _math(tree, "MULTIPLY_ADD", -400, -1100, slope)
    level.inputs[2].default_value = 1.0 - slope
    tree.links.new(mix.outputs[0], level.inputs[0])
    inside = tree.nodes.new("ShaderNodeAttribute")
    inside.attribute_name, inside.location = MOUTH_INSIDE, (-800, -1250)
    outside = _math(tree, "MULTIPLY_ADD", -600, -1250, _MOUTH_SPECULAR - 1.0)
    outside.inputs[2].default_value = 1.0
    seen = _math(tree, "MULTIPLY", -300, -1200, 1.0)
    tree.links.new(inside.outputs["Fac"], outside.inputs[0])
    tree.links.new(level.outputs[0], seen.inputs[0])
    tree.links.new(outside.outputs[0], seen.inputs[1])
    for name, usual, share, socket, y in (
        (ROUGHNESS, USUAL_ROUGHNESS, mix.outputs[0], "Roughness", -900),
        (SPECULAR, USUAL_SPECULAR, seen.outputs[0], "Specular IOR Level", -1100),
    ):
        scale = _math(tree, "MULTIPLY", -200, y, usual)
        scale.name = scale.label = name
        tree.links.new(share, scale.inputs[0])
        tree.links.new(scale.outputs[0], shader.inputs[socket])


def _math(tree: bpy.types.NodeTree, operation: str, x: float, y: float, second: float) -> bpy.types.Node:
    node = tree.nodes.new("ShaderNodeMath")
    node.operation, node.location = operation, (x, y)
    node.inputs[1].default_value = second
    return node


DIM_NODE = "Eevee Mouth"
"""Name of the node whose factor is the occluded share of light; mute it for full light."""


@dataclass(frozen=True)
class Depth:
    """Occluded share of light, 0-1, at the front and at the back, and these two positions as shares of the object's
    length from its foremost to its rearmost point."""

    share: tuple[float, float]
    place: tuple[float, float]


DEPTHS = {"Teeth": Depth((0.0, 0.9), (0.08, 0.4)), "Tongue": Depth((0.2, 0.9), (0.0, 0.45))}
"""Per material. Front teeth are lit like the lips. The tongue is dark from its middle on, matching Cycles with a wide
open mouth under lamps and a grey world."""


def dim_by_depth(tree: bpy.types.NodeTree, shader: bpy.types.Node, depth: Depth) -> None:
    """Dim the shader by the depth of a point inside the object at rest."""
    at, split = _node(tree, "ShaderNodeTexCoord", -180, 450), _node(tree, "ShaderNodeSeparateXYZ", 0, 450)
    share = _node(tree, "ShaderNodeMapRange", 180, 450)
    for name, value in zip(("From Min", "From Max", "To Min", "To Max"), (*depth.place, *depth.share), strict=True):
        share.inputs[name].default_value = value
    tree.links.new(at.outputs["Generated"], split.inputs[0])
    tree.links.new(split.outputs["Y"], share.inputs["Value"])
    mix, output = _node(tree, "ShaderNodeMixShader", 400, 450), _node(tree, "ShaderNodeOutputMaterial", 600, 450)
    mix.name = mix.label = DIM_NODE
    output.target, output.label = "EEVEE", "Eevee"
    tree.links.new(share.outputs["Result"], mix.inputs[0])
    tree.links.new(shader.outputs["BSDF"], mix.inputs[1])  # the second input stays empty: black
    tree.links.new(mix.outputs[0], output.inputs["Surface"])


def _node(tree: bpy.types.NodeTree, kind: str, x: float, y: float) -> bpy.types.Node:
    node = tree.nodes.new(kind)
    node.location = (x, y)
    return node


CORNEA_IOR, TEAR_IOR = 1.376, 1.337
CORNEA_ROUGHNESS = 0.015
TEAR_ROUGHNESS = 0.04
IRIS_SHARE = 0.26
"""Radius of an iris in the eyes' picture, as a share of its height (docs/files.md)."""
CLEAR = (1.0, 1.0, 1.0, 0.0)
"""Colour and opacity in Solid shading: clear parts are invisible."""
CARUNCLE = ((0.36, 0.13, 0.105, 1.0), (0.46, 0.235, 0.195, 1.0))
"""Linear light: the wet red flesh of the inner corner, and its paler tops."""


def cornea_material() -> bpy.types.Material:
    """Clear, reflecting and refracting material of the cornea.

    In Cycles light is refracted; shadow rays pass straight through instead of forming caustics, which would need
    thousands of samples. Eevee refracts only what is on the screen, so there the cornea is transparent with a Fresnel
    reflection.
    """
    return _clear("Cornea", CORNEA_IOR, CORNEA_ROUGHNESS, refracting=True)


def tear_material() -> bpy.types.Material:
    """Film of water: reflecting and transparent."""
    return _clear("Tears", TEAR_IOR, TEAR_ROUGHNESS, refracting=False)


def add_caruncle_colour(tree: bpy.types.NodeTree, shader: bpy.types.Node) -> None:
    """Mottled flesh as the base colour of ``shader``."""
    cells = _node(tree, "ShaderNodeTexNoise", -600, 100)
    cells.inputs["Scale"].default_value = 900.0  # spots of one millimetre
    ramp = _node(tree, "ShaderNodeMix", -300, 100)
    ramp.data_type = "RGBA"
    first, second = (socket for socket in ramp.inputs if socket.type == "RGBA")
    first.default_value, second.default_value = CARUNCLE
    at = _node(tree, "ShaderNodeTexCoord", -900, 100)
    tree.links.new(at.outputs["Object"], cells.inputs["Vector"])
    tree.links.new(cells.outputs[0], ramp.inputs[0])
    colour = next(socket for socket in ramp.outputs if socket.type == "RGBA")
    tree.links.new(colour, shader.inputs["Base Color"])


def limit_coat_to_sclera(tree: bpy.types.NodeTree, uv: bpy.types.Node, shader: bpy.types.Node) -> None:
    """Add the tear film's coat to the white of the eye only: over the iris the cornea already reflects."""
    weight = shader.inputs["Coat Weight"].default_value
    steps = (("MULTIPLY", (2.0, 1.0, 0.0)), ("FRACTION", None), ("DISTANCE", (0.5, 0.5, 0.0)))
    socket = uv.outputs["UV"]
    for number, (operation, value) in enumerate(steps):  # from the centre of each half of the picture
        step = _node(tree, "ShaderNodeVectorMath", -900 + 180 * number, -300)
        step.operation = operation
        tree.links.new(socket, step.inputs[0])
        if value is not None:
            step.inputs[1].default_value = value
        socket = step.outputs["Value" if operation == "DISTANCE" else "Vector"]
    ring = _node(tree, "ShaderNodeMapRange", -300, -300)
    ring.inputs["From Min"].default_value, ring.inputs["From Max"].default_value = IRIS_SHARE, 1.1 * IRIS_SHARE
    ring.inputs["To Max"].default_value = weight
    tree.links.new(socket, ring.inputs["Value"])
    tree.links.new(ring.outputs["Result"], shader.inputs["Coat Weight"])


def _clear(name: str, ior: float, roughness: float, refracting: bool) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    if material.node_tree is None:  # from 6.0 on every material has nodes and the switch is gone
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    fresnel = _node(tree, "ShaderNodeFresnel", -500, 250)
    fresnel.inputs["IOR"].default_value = ior
    clear = _node(tree, "ShaderNodeBsdfTransparent", -500, 50)
    mirror = _node(tree, "ShaderNodeBsdfGlossy", -500, -100)
    mirror.inputs["Roughness"].default_value = roughness
    mixed = _mix(tree, fresnel.outputs[0], clear, mirror, -200, 100)
    output = _node(tree, "ShaderNodeOutputMaterial", 300, 100)
    tree.links.new(mixed.outputs[0], output.inputs["Surface"])
    if refracting:
        output.target = "EEVEE"
        output.label = "Eevee"
        bent = _node(tree, "ShaderNodeBsdfRefraction", -500, -300)
        bent.inputs["IOR"].default_value, bent.inputs["Roughness"].default_value = ior, 0.0
        mirrored = _mix(tree, fresnel.outputs[0], bent, mirror, -200, -250)
        ray = _node(tree, "ShaderNodeLightPath", -200, -450)
        through = _mix(tree, ray.outputs["Is Shadow Ray"], mirrored, clear, 50, -250)
        cycles = _node(tree, "ShaderNodeOutputMaterial", 300, -250)
        cycles.target, cycles.label = "CYCLES", "Cycles"
        tree.links.new(through.outputs[0], cycles.inputs["Surface"])
    material.surface_render_method = "BLENDED"
    material.use_transparent_shadow = True
    material.diffuse_color = CLEAR
    tree.nodes.active = fresnel  # not a texture: Solid shading then uses the colour
    return material


def _mix(
    tree: bpy.types.NodeTree, share: bpy.types.NodeSocket, first: bpy.types.Node, second: bpy.types.Node, x: int, y: int
) -> bpy.types.Node:
    mix = _node(tree, "ShaderNodeMixShader", x, y)
    tree.links.new(share, mix.inputs[0])
    tree.links.new(first.outputs[0], mix.inputs[1])
    tree.links.new(second.outputs[0], mix.inputs[2])
    return mix


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


FRAME = "Skin Relief"
ALWAYS = "Relief"
"""Name of the texture node for the relief at rest, and of the slider for it."""
WRINKLES = "Wrinkles"
"""Name of the wrinkles' texture nodes and of the slider for them."""
STRENGTHS: tuple[str, ...] = (ALWAYS, WRINKLES)
MIDDLE = 0.03
"""Half the width in UV of the blend between keys of the left and the right side."""
SIDES = ("Left", "Right")
LEFT_HALF = "Left half"
"""Node name, used by later slices to find it."""


def detail_steps(
    detail: ResultDetail | None, collection: Callable[[], bpy.types.Collection], head: Callable[[], bpy.types.Object]
) -> Iterator[Callable[[], object]]:
    """Slices that add, replace or remove the relief of a head's skin; each looks the head up again.

    Strengths set by the artist stay, as does everything else in the material. Nodes removed by the artist come back
    only with the next head.
    """
    yield lambda: _put_pictures(detail, collection(), head())
    if detail is not None:
        for picture in range(len(detail.pictures)):
            yield lambda picture=picture: _add_wrinkles(head(), detail, picture)
        yield lambda: _finish(head(), detail)


def _put_pictures(detail: ResultDetail | None, collection: bpy.types.Collection, head: bpy.types.Object) -> None:
    """Set the images, and create the first nodes if the material has none for this set of wrinkles."""
    material = skin_material(head)
    if material is None:
        return
    held = {node.image[tags.RELIEF]: node.image for node in relief_nodes(material)}
    if detail is None:
        _remove(material)
        for image in held.values():
            bpy.data.images.remove(image)
        return
    pictures = {ALWAYS: detail.always_png}
    pictures |= {f"{WRINKLES} {number + 1}": png for number, png in enumerate(detail.pictures)}
    images = {}
    for name, png in pictures.items():
        image = held.pop(name, None)
        if image is None:
            image = packed_image(name.lower(), png)
            image[tags.HEAD_ID], image[tags.RELIEF] = collection[tags.HEAD_ID], name
        else:
            replace_packed(image, png)
        image.colorspace_settings.name = "Non-Color"
        if name == ALWAYS:
            image[tags.REACH] = detail.always_reach
        images[name] = image
    for image in held.values():
        bpy.data.images.remove(image)
    tree = material.node_tree
    if material.get(tags.RELIEF) == _kind(detail) and ALWAYS in tree.nodes:
        _point_drivers(tree, head)
        for name, image in images.items():
            if name in tree.nodes:
                tree.nodes[name].image = image
        return
    strengths = {name: strength_socket(material, name) for name in STRENGTHS}
    kept = {name: socket.default_value for name, socket in strengths.items() if socket is not None}
    _remove(material)
    if any(node.type == "OUTPUT_MATERIAL" for node in tree.nodes):
        _begin(tree, images, kept)


def _kind(detail: ResultDetail) -> str:
    """Identifier of the node setup; stored on the material when all nodes are complete."""
    wrinkles = [(one.name, one.keys, one.picture, one.channel) for one in detail.wrinkles]
    return repr(wrinkles) + repr((detail.always_reach, detail.wrinkle_reach))


def skin_material(head: bpy.types.Object) -> bpy.types.Material | None:
    """The material of a head's skin, None if it is not ours."""
    for slot in head.material_slots:
        material = slot.material
        if material is not None and tags.HEAD_ID in material and material.node_tree:
            return material
    return None


def relief_nodes(material: bpy.types.Material) -> list[bpy.types.Node]:
    """The texture nodes of the skin's relief."""
    nodes = material.node_tree.nodes if material.node_tree else ()
    return [node for node in nodes if node.type == "TEX_IMAGE" and node.image is not None and tags.RELIEF in node.image]


def strength_socket(material: bpy.types.Material, name: str) -> bpy.types.NodeSocket | None:
    """The input socket of the strength ``name`` of ``STRENGTHS``; None if the material has no relief."""
    node = material.node_tree.nodes.get(f"{name} Strength") if material.node_tree else None
    return None if node is None else node.outputs[0]


def _begin(tree: bpy.types.NodeTree, images: dict[str, bpy.types.Image], strengths: dict[str, float]) -> None:
    """Add the frame with the textures, the strengths, and the left/right mask."""
    nodes = _Nodes(tree)
    uv = nodes.add("ShaderNodeUVMap", -2400, -700)
    uv.uv_map = UV_HEAD
    across = nodes.add("ShaderNodeSeparateXYZ", -2200, -700)
    tree.links.new(uv.outputs["UV"], across.inputs[0])
    left = nodes.add("ShaderNodeMapRange", -2000, -700)
    left.interpolation_type, left.label, left.name = "SMOOTHSTEP", LEFT_HALF, LEFT_HALF
    left.inputs["From Min"].default_value, left.inputs["From Max"].default_value = 0.5 - MIDDLE, 0.5 + MIDDLE
    tree.links.new(across.outputs["X"], left.inputs["Value"])
    for number, (name, image) in enumerate(images.items()):
        nodes.texture(name, image, uv, number)
    for number, name in enumerate(STRENGTHS):
        nodes.strength(name, strengths, -500 - 150 * number)


def _unfinished(head: bpy.types.Object, detail: ResultDetail) -> bpy.types.NodeTree | None:
    """The node tree that ``_begin`` started for ``detail``; None if there is nothing to do."""
    material = skin_material(head)
    if material is None or material.get(tags.RELIEF) == _kind(detail) or FRAME not in material.node_tree.nodes:
        return None
    return material.node_tree


def _add_wrinkles(head: bpy.types.Object, detail: ResultDetail, picture: int) -> None:
    """Add the wrinkles of one picture's channels, weighted by the head's keys, to the sum of the previous ones."""
    tree = _unfinished(head, detail)
    if tree is None:
        return
    nodes, before = _Nodes(tree), tree.nodes.get(_sum(picture))
    left, total = tree.nodes[LEFT_HALF].outputs["Result"], None if before is None else before.outputs[0]
    heights = nodes.vector("SUBTRACT", tree.nodes[f"{WRINKLES} {picture + 1}"].outputs["Color"], (0.5, 0.5, 0.5))
    for some in _of_different_channels([one for one in detail.wrinkles if one.picture == picture]):
        part = nodes.vector("DOT_PRODUCT", heights, _weights(nodes, head, some, left))
        total = nodes.math("ADD", part, 0.0 if total is None else total)
    total.node.name = _sum(picture + 1)


def _of_different_channels(wrinkles: Sequence[ResultWrinkles]) -> Iterator[list[ResultWrinkles]]:
    """Split the wrinkles into lists in which every channel occurs at most once."""
    while wrinkles:
        some = list({one.channel: one for one in reversed(wrinkles)}.values())
        yield some
        wrinkles = [one for one in wrinkles if one not in some]


def _finish(head: bpy.types.Object, detail: ResultDetail) -> None:
    """Connect relief and wrinkles to the material's output, replacing the procedural pores."""
    tree = _unfinished(head, detail)
    if tree is None:
        return
    nodes, total = _Nodes(tree), tree.nodes.get(_sum(len(detail.pictures)))
    always = nodes.math("SUBTRACT", tree.nodes[ALWAYS].outputs["Color"], 0.5)
    scaled = nodes.math("MULTIPLY", always, strength_socket(skin_material(head), ALWAYS))
    scaled = nodes.math("MULTIPLY", scaled, 2.0 * detail.always_reach)
    if total is not None:
        wrinkles = nodes.math("MULTIPLY", total.outputs[0], strength_socket(skin_material(head), WRINKLES))
        scaled = nodes.math("ADD", scaled, nodes.math("MULTIPLY", wrinkles, 2.0 * detail.wrinkle_reach))
    relief = nodes.add("ShaderNodeDisplacement", 150, -700)
    relief.name = relief.label = "Skin Displacement"
    relief.inputs["Midlevel"].default_value = 0.0
    relief.inputs["Scale"].default_value = 0.001  # the maps are in millimetres
    tree.links.new(scaled, relief.inputs["Height"])
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    tree.links.new(relief.outputs["Displacement"], output.inputs["Displacement"])
    pores = tree.nodes.get("Pores")
    if pores is not None:  # the relief contains pores
        for link in list(tree.links):
            if (
                link.to_socket.name == "Normal"
                and link.to_node.type == "BSDF_PRINCIPLED"
                and link.from_node.type == "BUMP"
            ):
                tree.nodes.remove(link.from_node)
                tree.nodes.remove(pores)
                break
    skin_material(head)[tags.RELIEF] = _kind(detail)


def _sum(count: int) -> str:
    """Name of the node with the summed height of the wrinkles of the first ``count`` pictures."""
    return f"Wrinkle Sum {count}"


class _Nodes:
    """Add nodes to a tree, all in one frame."""

    def __init__(self, tree: bpy.types.NodeTree) -> None:
        self.tree = tree
        self.frame = tree.nodes.get(FRAME)
        if self.frame is None:
            self.frame = tree.nodes.new("NodeFrame")
            self.frame.name = self.frame.label = FRAME
        self._row = sum(node.type in ("MATH", "VECT_MATH") for node in tree.nodes)

    def add(self, kind: str, x: float, y: float) -> bpy.types.Node:
        node = self.tree.nodes.new(kind)
        node.parent, node.location = self.frame, (x, y)
        return node

    def math(
        self, operation: str, one: bpy.types.NodeSocket, two: bpy.types.NodeSocket | float
    ) -> bpy.types.NodeSocket:
        return self._operation("ShaderNodeMath", -1000, operation, one, two).outputs[0]

    def vector(
        self, operation: str, one: bpy.types.NodeSocket, two: bpy.types.NodeSocket | tuple[float, float, float]
    ) -> bpy.types.NodeSocket:
        node = self._operation("ShaderNodeVectorMath", -1100, operation, one, two)
        return node.outputs["Value" if operation == "DOT_PRODUCT" else "Vector"]

    def _operation(
        self,
        kind: str,
        x: float,
        operation: str,
        one: bpy.types.NodeSocket,
        two: bpy.types.NodeSocket | float | tuple[float, float, float],
    ) -> bpy.types.Node:
        node = self.add(kind, x + 40 * (self._row % 20), -800 - 60 * self._row)
        self._row += 1
        node.operation, node.hide = operation, True
        self.tree.links.new(one, node.inputs[0])
        if isinstance(two, bpy.types.NodeSocket):
            self.tree.links.new(two, node.inputs[1])
        else:
            node.inputs[1].default_value = two
        return node

    def value(self, name: str, x: float, y: float) -> bpy.types.Node:
        node = self.add("ShaderNodeValue", x, y)
        node.name = node.label = name
        return node

    def strength(self, name: str, strengths: dict[str, float], y: float) -> bpy.types.NodeSocket:
        node = self.value(f"{name} Strength", -400, y)
        node.outputs[0].default_value = strengths.get(name, 1.0)
        return node.outputs[0]

    def texture(self, name: str, image: bpy.types.Image, uv: bpy.types.Node, number: int) -> bpy.types.Node:
        node = self.add("ShaderNodeTexImage", -1800, -700 - 300 * number)
        node.image, node.name, node.label, node.interpolation = image, name, name, "Cubic"
        self.tree.links.new(uv.outputs["UV"], node.inputs["Vector"])
        return node


def _weights(
    nodes: _Nodes, head: bpy.types.Object, wrinkles: Sequence[ResultWrinkles], left: bpy.types.NodeSocket
) -> bpy.types.NodeSocket:
    """Weights of wrinkles in different channels as a vector: the maximum of a group's keys; keys of one side only act
    on that side."""
    sides = [nodes.add("ShaderNodeCombineXYZ", -1300, -700) for _ in SIDES]
    for one in wrinkles:
        both = [key for key in one.keys if not key.endswith(SIDES)]
        if len(both) == len(one.keys):
            values = [_driven(nodes, head, one.name, both)] * len(SIDES)
        else:
            values = [
                _driven(nodes, head, f"{one.name} {side}", both + [key for key in one.keys if key.endswith(side)])
                for side in SIDES
            ]
        for node, value in zip(sides, values, strict=True):
            node.hide = True
            nodes.tree.links.new(value, node.inputs[one.channel])
    mix = nodes.add("ShaderNodeMix", -1200, -700)
    mix.data_type, mix.hide = "VECTOR", True
    for name, source in (("Factor_Float", left), ("A_Vector", sides[1].outputs[0]), ("B_Vector", sides[0].outputs[0])):
        nodes.tree.links.new(source, next(socket for socket in mix.inputs if socket.identifier == name))
    return next(socket for socket in mix.outputs if socket.identifier == "Result_Vector")


def _driven(nodes: _Nodes, head: bpy.types.Object, name: str, keys: list[str]) -> bpy.types.NodeSocket:
    """A value driven by the maximum of the given keys of the head."""
    node = nodes.value(name, -1400, -700)
    driver = node.outputs[0].driver_add("default_value").driver
    driver.type = "MAX"
    for key in keys:
        variable = driver.variables.new()
        variable.name, variable.type = key, "SINGLE_PROP"
        variable.targets[0].id_type = "KEY"
        variable.targets[0].id = head.data.shape_keys
        variable.targets[0].data_path = f'key_blocks["{key}"].value'
    return node.outputs[0]


def _point_drivers(tree: bpy.types.NodeTree, head: bpy.types.Object) -> None:
    """Point our drivers to the head's present keys."""
    if tree.animation_data is None:
        return
    for curve in tree.animation_data.drivers:
        for variable in curve.driver.variables:
            target = variable.targets[0]
            if variable.type == "SINGLE_PROP" and target.id_type == "KEY":
                target.id = head.data.shape_keys


def _remove(material: bpy.types.Material) -> None:
    """Remove the relief from a material."""
    if tags.RELIEF in material:
        del material[tags.RELIEF]
    tree = material.node_tree
    frame = tree.nodes.get(FRAME)
    if frame is None:
        return
    ours = [node for node in tree.nodes if node.parent == frame]
    if tree.animation_data is not None:
        names = {f'nodes["{node.name}"]' for node in ours}
        for curve in list(tree.animation_data.drivers):
            if curve.data_path.split(".outputs")[0] in names:
                tree.animation_data.drivers.remove(curve)
    for node in ours:
        tree.nodes.remove(node)
    tree.nodes.remove(frame)
