"""Skin tone: what multiplies the albedo of skin, neck and bust, in the materials and in files."""

import bpy
import numpy as np

from ..objects import tags
from ..objects.meshes import MOUTH_INSIDE, UV_HEAD, array_of, attribute_or
from .materials import linear, picture_pixels, skin_material
from .nodes import add_nodes

NODE = "Skin Tone"
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
INSIDE_TONED = 0.1
"""Share of the tone behind the lips, as in the node tree."""


def lightness(colour: np.ndarray) -> float:
    """CIE L* of a linear colour (3,), sRGB's primaries."""
    return float(116.0 * np.cbrt(max(colour @ [0.2126, 0.7152, 0.0722], 0.009)) - 16.0)


def factor(skin: np.ndarray, tone: float, redness: float) -> np.ndarray:
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


def outside(mesh: bpy.types.Mesh) -> np.ndarray:
    """(V,) share of the tone that each vertex gets: less behind the lips."""
    return 1.0 - (1.0 - INSIDE_TONED) * attribute_or(np.zeros(len(mesh.vertices), np.float32), mesh, MOUTH_INSIDE)


def measured(collection: bpy.types.Collection, head: bpy.types.Object) -> np.ndarray:
    """(3,) median linear albedo of a head's skin, read once for each albedo."""
    if MEASURED not in collection:
        albedo = collection[tags.ALBEDO]
        side, corners = albedo.size[0], array_of(head.data.loops, "vertex_index")
        uv = array_of(head.data.uv_layers[UV_HEAD].uv, "vector", 2, np.float32)
        x, y = (np.clip(uv[outside(head.data)[corners] > 0.5], 0.0, 1.0) * (side - 1)).astype(int).T
        collection[MEASURED] = np.median(linear(picture_pixels(albedo)[y, x]), axis=0).tolist()
    return np.array(collection[MEASURED])


def put_tone(collection: bpy.types.Collection, tone: float, redness: float) -> None:
    """Show a head's skin, neck and bust in another tone; nothing for a head without its own material or albedo."""
    head = tags.part_object(collection, "head")
    material = None if head is None or collection.get(tags.ALBEDO) is None else skin_material(head)
    if material is None or "Albedo" not in material.node_tree.nodes:
        return
    tree = material.node_tree
    if NODE not in tree.nodes:
        onto = [link.to_socket for link in tree.nodes["Albedo"].outputs["Color"].links]
        add_nodes(tree, "skin_tone")
        toned = next(socket for socket in tree.nodes[NODE].outputs if socket.enabled)
        for socket in onto:
            tree.links.new(toned, socket)
    _factor_of(tree.nodes[NODE]).default_value = (*factor(measured(collection, head), tone, redness), 1.0)


def _factor_of(node: bpy.types.Node) -> bpy.types.NodeSocket:
    """The second colour of ``NODE``; a mix of floats has sockets of the same name, which are off."""
    return next(socket for socket in reversed(node.inputs) if socket.enabled)


def tone_of(head: bpy.types.Object) -> np.ndarray | None:
    """(3,) what multiplies the linear albedo of a head's skin; None where nothing does."""
    material = skin_material(head)
    node = None if material is None else material.node_tree.nodes.get(NODE)
    if node is None:
        return None
    light = np.array(_factor_of(node).default_value[:3])
    return None if np.allclose(light, 1.0) else light
