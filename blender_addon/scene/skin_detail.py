"""Skin relief in the material: height maps blended by the head's keys, as bump or displacement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import bpy

from ..protocol.detail import ResultDetail, ResultWrinkles
from . import tags
from .images import packed_image, replace_packed
from .meshes import UV_HEAD

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
