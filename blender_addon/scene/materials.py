"""Materials of a head. Begin at ``material_for_part`` (each part's, on import), ``put_detail`` (relief: height maps
blended by the keys) and ``put_tone`` (skin's tone, which multiplies the albedo of skin, neck and bust, in files too).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from ..objects import tags
from ..objects.actions import read_key
from ..objects.meshes import MOUTH_INSIDE, UV_HEAD, array_of, attribute_or
from ..protocol.result import ResultDetail, ResultWrinkles
from ..shared.names import BUST, LASHES
from ..shared.photo_folder import natural_key
from .nodes import add_nodes, new_material


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


def picture_pixels(image: bpy.types.Image, channels: int = 3) -> np.ndarray:
    """(H, W, channels) float32 pixels as stored, row 0 at v = 0."""
    flat = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(flat)
    return flat.reshape(image.size[1], image.size[0], image.channels)[..., :channels]


def linear(display: np.ndarray) -> np.ndarray:
    """Convert sRGB in [0, 1] to linear light."""
    return np.where(display <= 0.04045, display / 12.92, ((np.maximum(display, 0.04045) + 0.055) / 1.055) ** 2.4)


def srgb(light: np.ndarray) -> np.ndarray:
    """Convert linear light to sRGB, both in [0, 1]."""
    light = np.clip(light, 0.0, 1.0)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def pack_pixels(image: bpy.types.Image, pixels: np.ndarray) -> None:
    """Give a new image these pixels (H, W, 4) as stored, row 0 at v = 0, as a packed PNG file."""
    image.pixels.foreach_set(np.ascontiguousarray(pixels, np.float32).ravel())
    image.file_format = "PNG"
    image.pack()


def tinted(name: str, strands: bpy.types.Image, cards: bpy.types.Mesh) -> bpy.types.Image:
    """The picture of hair cards' strands, with its opacity, in the median of the cards' colours (by vertex, linear
    light)."""
    pixels = picture_pixels(strands, 4)
    if len(cards.color_attributes):
        colours = array_of(cards.color_attributes[0].data, "color", 4, np.float32)
        pixels[..., :3] = srgb(linear(pixels[..., :3]) * np.median(colours[:, :3], axis=0))
    image = bpy.data.images.new(name, *strands.size, alpha=True)
    pack_pixels(image, pixels)
    return image


EYE_PICTURE, LASH_PICTURE = "Eyes", "Lashes"
"""Names of the nodes with the eyes' texture and with that of single lashes; all others show the albedo."""
LOOKS: Mapping[str, str] = {
    "head": "skin", BUST: "skin", "eye_left": "eyes", "eye_right": "eyes", "teeth_upper": "teeth",
    "teeth_lower": "teeth", "tongue": "tongue", LASHES: "lashes", "cornea_left": "cornea", "cornea_right": "cornea",
    "tear_lines": "tears", "caruncles": "caruncles", "glasses": "frame", "lenses": "lens",
}  # fmt: skip
"""Part -> name of its material's file in ``scene/nodes``, which ``new_material`` reads."""


def material_for_part(
    part: str, owner: bpy.types.Collection, made: dict[str, bpy.types.Material]
) -> bpy.types.Material:
    """The part's material, created on first use; ``made`` caches this head's materials by the names of their files."""
    look = LOOKS[part]
    if look not in made:
        made[look] = new_material(look)
        _fill(made[look], owner)
    return made[look]


def tint(material: bpy.types.Material, colour: Sequence[float]) -> None:
    """Give a material of glasses its linear colour and opacity (4,)."""
    shader = material.node_tree.nodes["Principled BSDF"].inputs
    shader["Base Color"].default_value, shader["Alpha"].default_value = (*colour[:3], 1.0), colour[3]
    material.diffuse_color = colour


def skin_look_material(albedo: bpy.types.Image, uv_map: str, finer: float) -> bpy.types.Material:
    """A skin material that shows ``albedo`` in another UV map, with ``finer`` times as many pores across it."""
    material = new_material("skin")
    nodes = material.node_tree.nodes
    nodes["Albedo"].image, nodes["UV Map"].uv_map = albedo, uv_map
    nodes["Pores"].inputs["Scale"].default_value *= finer
    return material


def fill_pictures(head: bpy.types.Collection) -> None:
    """Restore deleted textures in a head's materials."""
    for material in [m for m in bpy.data.materials if m.get(tags.HEAD_ID) == head[tags.HEAD_ID] and m.node_tree]:
        _fill(material, head)


def _fill(material: bpy.types.Material, head: bpy.types.Collection) -> None:
    named = {EYE_PICTURE: head.get(tags.EYES), LASH_PICTURE: head.get(tags.LASHES)}
    for node in material.node_tree.nodes:
        if node.type == "TEX_IMAGE" and node.image is None and node.parent is None:  # relief nodes have a frame
            node.image = named.get(node.name, head.get(tags.ALBEDO))


FRAME = "Skin Relief"  # the node frame around all relief nodes
ALWAYS = "Relief"
"""Name of the texture node for the relief at rest, and of the slider for it."""
WRINKLES = "Wrinkles"
"""Name of the wrinkles' texture nodes and of the slider for them."""
TYPICAL, TYPICAL_DEPTH = "Typical Lines", 2.0
"""Slider for the lines that moving faces of middle age have; millimetres at their pictures' brightest level."""
STRENGTHS: tuple[str, ...] = (ALWAYS, WRINKLES, TYPICAL)
SIDES = ("Left", "Right")  # ends of keys' names, and nodes
PERSON, WAVES, SIDE = "Person", "Person's Waves", "Person's Side"
"""Nodes that move the typical lines' places in map ``Head``: phase and direction of a wave, its size, the side."""


def put_detail(detail: ResultDetail | None, collection: bpy.types.Collection, head: bpy.types.Object) -> None:
    """Add, replace or remove the relief of a head's skin.

    Strengths set by the artist stay, as does everything else in the material. Nodes removed by the artist come back
    only with the next head.
    """
    material = skin_material(head)
    if material is None:
        return
    held = {node.image[tags.RELIEF]: node.image for node in relief_nodes(material)}
    if detail is None:
        _remove(material)
        bpy.data.batch_remove(list(held.values()))
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
    bpy.data.batch_remove(list(held.values()))
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
        _begin(tree, head, images)
        for name, value in kept.items():
            tree.nodes[f"{name} Strength"].outputs[0].default_value = value
        _finish(tree, detail, _add_wrinkles(tree, head, detail))
        material[tags.RELIEF] = _kind(detail)


def _kind(detail: ResultDetail) -> str:
    """Description of the node setup, JSON; stored on the material."""
    wrinkles = [(one.name, one.keys, one.picture, one.channel) for one in detail.wrinkles]
    return json.dumps({"wrinkles": wrinkles, "always_reach": detail.always_reach, "reach": detail.wrinkle_reach})


def wrinkles_of(material: bpy.types.Material) -> tuple[list[bpy.types.Image], list[list], float]:
    """A skin's wrinkle maps in order, (name, keys, number of the map, channel) of each group of wrinkles in them, and
    millimetres from mid grey to black or white; all empty without wrinkles."""
    if tags.RELIEF not in material:
        return [], [], 0.0
    described = json.loads(material[tags.RELIEF])
    maps = {node.image[tags.RELIEF]: node.image for node in relief_nodes(material)}
    names = sorted((name for name in maps if name != ALWAYS), key=natural_key)
    return [maps[name] for name in names], described["wrinkles"], described["reach"]


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


def relief_at_rest(head: bpy.types.Object) -> bpy.types.Image | None:
    """The relief of a head's face at rest, which knows its ``REACH``; None without one."""
    material = skin_material(head)
    images = (node.image for node in (relief_nodes(material) if material else ()) if tags.REACH in node.image)
    return next((image for image in images if image.size[0] > 1), None)


def strength_socket(material: bpy.types.Material, name: str) -> bpy.types.NodeSocket | None:
    """The input socket of the strength ``name`` of ``STRENGTHS``; None if the material has no relief."""
    node = material.node_tree.nodes.get(f"{name} Strength") if material.node_tree else None
    return None if node is None else node.outputs[0]


def _begin(tree: bpy.types.NodeTree, head: bpy.types.Object, images: dict[str, bpy.types.Image]) -> None:
    """Add the frame with the textures, the strengths, and the left/right mask. The head's shape decides how its typical
    lines differ from others': by waves of a few millimetres, and mirrored or not."""
    nodes = add_nodes(tree, "relief")
    shape = np.abs(1e6 * array_of(head.data.vertices, "co", 3, np.float32)).astype(np.uint32)
    chance, mirrored = np.random.default_rng(shape.ravel()), nodes[SIDE].inputs
    nodes[PERSON].inputs["Location"].default_value = chance.uniform(0.0, 2.0 * np.pi, 3)
    nodes[PERSON].inputs["Rotation"].default_value = 0.0, 0.0, chance.uniform(0.0, 2.0 * np.pi)
    mirrored["Location"].default_value[0] = chance.integers(2)
    mirrored["Scale"].default_value[0] = 1.0 - 2.0 * mirrored["Location"].default_value[0]
    for number, (name, image) in enumerate(images.items()):
        if name == ALWAYS:
            nodes[ALWAYS].image = image
            continue
        added = add_nodes(tree, "relief_picture", 300 * number)
        added["Lined Heights"].name, texture = f"{name} Heights", added["Wrinkles"]
        added["Typical"].image = typical_picture(number)
        texture.image, texture.name, texture.label = image, name, name


def typical_picture(number: int) -> bpy.types.Image | None:
    """The .blend file's picture of typical lines for the wrinkle map ``number``, from 1 on; None if there is none."""
    path = Path(__file__).with_name(f"typical_lines_{number}.png")
    image = bpy.data.images.get(path.stem)
    if image is None and path.is_file():
        image = packed_image(path.stem, path.read_bytes())
        image.colorspace_settings.name = "Non-Color"
    return image


def lined(material: bpy.types.Material, number: int) -> np.ndarray:
    """(S, S, 3) stored values of a skin's wrinkle map ``number``, from 1 on, with its typical lines, row 0 at v = 0; as
    the nodes do it."""
    maps, _, _ = wrinkles_of(material)
    heights, typical, nodes = picture_pixels(maps[number - 1]) - 0.5, typical_picture(number), material.node_tree.nodes
    if typical is None or PERSON not in nodes:
        return heights + 0.5
    place = np.stack(np.meshgrid(*((np.arange(count) + 0.5) / count for count in heights.shape[1::-1])), -1)
    place += nodes[WAVES].inputs[1].default_value[0] * np.sin(_mapped(place, nodes[PERSON]))
    column, row = np.moveaxis((_mapped(place, nodes[SIDE]) * typical.size).astype(int) % typical.size, -1, 0)
    depth = nodes["Typical Depth"].inputs[1].default_value * strength_socket(material, TYPICAL).default_value
    deeper = depth * picture_pixels(typical)[row, column] + np.minimum(heights, 0.0)
    return heights - np.maximum(deeper, 0.0) + 0.5


def _mapped(places: np.ndarray, node: bpy.types.Node) -> np.ndarray:
    """Places (S, S, 2) in a UV map through a *Mapping* node."""
    motion = Matrix.LocRotScale(*(node.inputs[name].default_value for name in ("Location", "Rotation", "Scale")))
    return places @ np.array(motion)[:2, :2].T + np.array(motion)[:2, 3]


def _add_wrinkles(tree: bpy.types.NodeTree, head: bpy.types.Object, detail: ResultDetail) -> bpy.types.Node | None:
    """Add the wrinkles of all pictures' channels, weighted by the head's keys; the node with their sum."""
    total = None
    for picture in range(len(detail.pictures)):
        heights = tree.nodes[f"{WRINKLES} {picture + 1} Heights"]
        nodes = add_nodes(tree, "relief_wrinkles", 300 * (picture + 1))
        tree.links.new(heights.outputs["Vector"], nodes["Weighted Heights"].inputs[0])
        if total is not None:
            tree.links.new(total.outputs[0], nodes["Wrinkle Sum"].inputs[1])
        _weigh(tree, head, [one for one in detail.wrinkles if one.picture == picture], [nodes[side] for side in SIDES])
        total = nodes["Wrinkle Sum"]
    return total


def _finish(tree: bpy.types.NodeTree, detail: ResultDetail, total: bpy.types.Node | None) -> None:
    """Connect relief and the wrinkles' ``total`` to the material's output, replacing the procedural pores."""
    nodes = add_nodes(tree, "relief_height")
    nodes["Relief Reach"].inputs[1].default_value = 2.0 * detail.always_reach
    nodes["Wrinkle Reach"].inputs[1].default_value = 2.0 * detail.wrinkle_reach
    tree.nodes["Typical Depth"].inputs[1].default_value = TYPICAL_DEPTH / (2.0 * detail.wrinkle_reach)
    if total is not None:
        tree.links.new(total.outputs[0], nodes["Strong Wrinkles"].inputs[0])
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    tree.links.new(nodes["Skin Displacement"].outputs["Displacement"], output.inputs["Displacement"])
    pores = tree.nodes.get("Pores")
    if pores is not None:  # the relief contains pores
        for bump in [link.to_node for link in pores.outputs["Distance"].links]:
            tree.nodes.remove(bump)
        tree.nodes.remove(pores)


def _weigh(
    tree: bpy.types.NodeTree,
    head: bpy.types.Object,
    wrinkles: Sequence[ResultWrinkles],
    sides: Sequence[bpy.types.Node],
) -> None:
    """Drive the weights of wrinkles in different channels of both ``SIDES``: the maximum of a group's keys; keys of one
    side only act on that side."""
    for one in wrinkles:
        both = [key for key in one.keys if not key.endswith(SIDES)]
        if len(both) == len(one.keys):
            values = [_driven(tree, head, one.name, both)] * len(SIDES)
        else:
            values = [
                _driven(tree, head, f"{one.name} {side}", both + [key for key in one.keys if key.endswith(side)])
                for side in SIDES
            ]
        for node, value in zip(sides, values, strict=True):
            tree.links.new(value, node.inputs[one.channel])


def _driven(tree: bpy.types.NodeTree, head: bpy.types.Object, name: str, keys: list[str]) -> bpy.types.NodeSocket:
    """A value driven by the maximum of the given keys of the head."""
    node = add_nodes(tree, "relief_key")["Key"]
    node.name = node.label = name
    driver = node.outputs[0].driver_add("default_value").driver
    driver.type = "MAX"
    for key in keys:
        read_key(driver, key, head.data, key)
    return node.outputs[0]


def _point_drivers(tree: bpy.types.NodeTree, head: bpy.types.Object) -> None:
    """Point our drivers to the head's present keys."""
    for curve in tree.animation_data.drivers if tree.animation_data else ():
        for variable in curve.driver.variables:
            if variable.targets[0].id_type in {"KEY", "MESH"}:
                read_key(curve.driver, variable.name, head.data, variable.name)


def _remove(material: bpy.types.Material) -> None:
    """Remove the relief from a material."""
    material.pop(tags.RELIEF, None)
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


TONE_NODE = "Skin Tone"
"""The node of a skin's material whose second colour multiplies the albedo."""
TONE, REDNESS = (0.681, 0.907, 1.056), (0.137, -0.006, -0.077)
"""The first two modes of ``assets/skin_prior.safetensors``, means over the skin: log albedo of red, green and blue per
standard deviation of people."""
LIGHTNESS = 25.0
"""L* from the middle of the tone's slider to an end: half of the way from the fairest to the darkest skin."""
DARKEST, FAIREST = 15.0, 75.0
"""L* of skin at most."""
MEASURED = "likeness_skin_light"
"""On a head's collection: linear light of its skin's albedo, until it gets another one."""
TONED = "likeness_toned"
"""On a head's collection: what ``put_tone`` was told last."""
INSIDE_TONED = 0.1
"""Share of the tone behind the lips, as in the node tree."""


def lightness(colour: np.ndarray) -> float:
    """CIE L* of a linear colour (3,), sRGB's primaries."""
    return float(116.0 * np.cbrt(max(colour @ [0.2126, 0.7152, 0.0722], 0.009)) - 16.0)


def tone_factor(skin: np.ndarray, tone: float, redness: float) -> np.ndarray:
    """(3,) what multiplies a skin of linear colour ``skin`` (3,): ``tone`` from -1 to 1 moves it in equal steps of L*
    along people's skin, ``redness`` by up to a standard deviation at the same L*."""
    red, now = redness * np.array(REDNESS), lightness(skin)
    wanted = np.clip(now + LIGHTNESS * tone, min(DARKEST, now), max(FAIREST, now))
    low, high = -4.0, 4.0  # standard deviations
    for _ in range(30):
        middle = 0.5 * (low + high)
        darker = lightness(skin * np.exp(middle * np.array(TONE) + red)) < wanted
        low, high = (middle, high) if darker else (low, middle)
    return np.exp(low * np.array(TONE) + red) if tone or redness else np.ones(3)


def toned_share(mesh: bpy.types.Mesh) -> np.ndarray:
    """(V,) share of the tone that each vertex gets: less behind the lips."""
    return 1.0 - (1.0 - INSIDE_TONED) * attribute_or(np.zeros(len(mesh.vertices), np.float32), mesh, MOUTH_INSIDE)


def measured_skin(collection: bpy.types.Collection, head: bpy.types.Object) -> np.ndarray:
    """(3,) median linear albedo of a head's skin, read once for each albedo."""
    if MEASURED not in collection:
        albedo = collection[tags.ALBEDO]
        side, corners = albedo.size[0], array_of(head.data.loops, "vertex_index")
        uv = array_of(head.data.uv_layers[UV_HEAD].uv, "vector", 2, np.float32)
        x, y = (np.clip(uv[toned_share(head.data)[corners] > 0.5], 0.0, 1.0) * (side - 1)).astype(int).T
        collection[MEASURED] = np.median(linear(picture_pixels(albedo)[y, x]), axis=0).tolist()
    return np.array(collection[MEASURED])


def put_tone(collection: bpy.types.Collection, tone: float, redness: float) -> None:
    """Show a head's skin, neck and bust in another tone; nothing for a head without its own material or albedo."""
    collection[TONED] = tone, redness
    head = tags.part_object(collection, "head")
    material = None if head is None or collection.get(tags.ALBEDO) is None else skin_material(head)
    if material is None or "Albedo" not in material.node_tree.nodes:
        return
    tree = material.node_tree
    if TONE_NODE not in tree.nodes:
        onto = [link.to_socket for link in tree.nodes["Albedo"].outputs["Color"].links]
        add_nodes(tree, "skin_tone")
        toned = next(socket for socket in tree.nodes[TONE_NODE].outputs if socket.enabled)
        for socket in onto:
            tree.links.new(toned, socket)
    factor = tone_factor(measured_skin(collection, head), tone, redness)
    _factor_of(tree.nodes[TONE_NODE]).default_value = (*factor, 1.0)


def _factor_of(node: bpy.types.Node) -> bpy.types.NodeSocket:
    """The second colour of ``TONE_NODE``; a mix of floats has sockets of the same name, which are off."""
    return next(socket for socket in reversed(node.inputs) if socket.enabled)


def tone_of(head: bpy.types.Object) -> np.ndarray | None:
    """(3,) what multiplies the linear albedo of a head's skin; None where nothing does."""
    material = skin_material(head)
    node = None if material is None else material.node_tree.nodes.get(TONE_NODE)
    if node is None:
        return None
    light = np.array(_factor_of(node).default_value[:3])
    return None if np.allclose(light, 1.0) else light
