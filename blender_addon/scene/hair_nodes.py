"""Geometry nodes that create hairs from guides, as many as viewport and render need, and the hair material."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np

from .coordinates import coordinates

WIDTH, ROOT_COLOUR, TIP_COLOUR, ROOT_NORMAL = "lock_width", "root_colour", "tip_colour", "root_normal"
"""Attributes of the guides: width of the lock in metres, albedo at both ends, the skin's normal at the root."""
NODES_NAME, FOLLOW_NAME, OFFSET_NAME = "Likeness Hair", "Likeness Hair on Head", "Likeness Hair Offset"
MODIFIER_NAME, MATERIAL_NAME = "Hair", "Hair"
HEAD = "Head"
SKULL = {"Skull Left": (1.0, 0.0, 0.0), "Skull Right": (-1.0, 0.0, 0.0), "Skull Back": (0.0, 1.0, 0.0)}
"""Inputs with the indices of three skull vertices, which no expression moves, and the directions that select them."""
SURFACE_UV = "surface_uv_coordinate"
"""Blender's own name for a curve's attachment UV."""
UV_MAP, REST = "Head", "rest_position"
STRAND_NOISE_INPUTS = ("Clump", "Frizz")
"""Settings that are inputs of ``offset_group``."""
VERSION_TAG, VERSION = "likeness_hair_nodes", 3


@dataclass(frozen=True)
class Setting:
    """An input of the modifier: name, description and limits."""

    name: str
    kind: str
    value: float
    low: float
    high: float
    description: str


SETTINGS: tuple[Setting, ...] = (
    Setting("Viewport Hairs", "NodeSocketInt", 8, 1, 500, "Hairs for each guide in the viewport, drawn thicker"),
    Setting("Render Hairs", "NodeSocketInt", 90, 1, 500, "Hairs for each guide in renders"),
    Setting("Clump", "NodeSocketFloat", 0.45, 0, 1, "How far the hairs of a guide come together at their tips"),
    Setting("Frizz", "NodeSocketFloat", 0.0025, 0, 0.05, "Metres by which hairs stray at their tips"),
    Setting("Uneven Ends", "NodeSocketFloat", 0.15, 0, 1, "Hairs are shortened at random by at most this share"),
    Setting("Thickness", "NodeSocketFloat", 1, 0, 20, "Factor on the guides' radius"),
)  # fmt: skip


def new_modifier(obj: bpy.types.Object) -> bpy.types.Modifier:
    """A modifier that moves ``obj``'s guides with the skin of a head and creates hairs between them.

    All hair of a file shares its nodes. Roots move with their positions in map ``Head``; the hair rotates with the
    skull, measured at three of its vertices. (Blender's *Deform Curves on Surface* rotates each guide with its patch of
    skin. On a subdivided head, tips of long hair then swing by centimetres while nothing moves.)
    """
    modifier = obj.modifiers.new(MODIFIER_NAME, "NODES")
    modifier.node_group = hair_group()
    return modifier


def follow(modifier: bpy.types.Modifier, head: bpy.types.Object) -> None:
    """Attach a modifier of ``new_modifier`` to the skin of ``head``; other modifiers are left alone."""
    if modifier.type != "NODES" or modifier.node_group is None or VERSION_TAG not in modifier.node_group:
        return
    for item in modifier.node_group.interface.items_tree:
        if item.name == HEAD:
            set_input(modifier, item.identifier, head)
        elif item.name in SKULL:
            set_input(modifier, item.identifier, _skull_vertex(head.data, *SKULL[item.name]))


def set_input(modifier: bpy.types.Modifier, identifier: str, value: object) -> None:
    """Set an input of a nodes modifier; before Blender 5.2 inputs are its custom properties."""
    properties = getattr(modifier, "properties", None)
    if properties is None:
        modifier[identifier] = value
    else:
        getattr(properties.inputs, identifier).value = value


def _skull_vertex(mesh: bpy.types.Mesh, *direction: float) -> int:
    """Index of the vertex of the upper head that is farthest in a direction."""
    points = coordinates(mesh.vertices)
    upper = points[:, 2] > 0.5 * (points[:, 2].min() + points[:, 2].max())
    return int(np.where(upper, points @ np.array(direction, np.float32), -np.inf).argmax())


_ROOT_SHIFT = 0.5
"""Hair roots are shifted behind the guide's root by this share of the lock's radius, to cover the skin in partings."""
_CLUMPED_LENGTH, _LOCK_SPREAD = 0.05, 1.29
"""Hair shorter than this, in metres, clumps proportionally less; outermost hairs lie at this multiple of the lock's
radius. Both as in the backend's renderer."""
_LIGHT_OFFSET, _LIGHT_SCALE, _LIGHT_POWER = 0.012, 0.83, 0.73


def hair_colour(albedo: np.ndarray) -> np.ndarray:
    """Colour for the hair shader with which hair reflects as much light as a diffuse surface of ``albedo``.

    Measured in Cycles under a uniform white sky: hair of colour c reflects 0.012 + 0.83 c^0.73, within 10 % for c from
        0.003 to 0.3. Specular reflection and scattering between hairs make dark hair lighter than its colour.
    """
    return np.clip((np.maximum(albedo - _LIGHT_OFFSET, 0.001) / _LIGHT_SCALE) ** (1 / _LIGHT_POWER), 0.0, 1.0)


def hair_material(shown: np.ndarray) -> bpy.types.Material:
    """Hair material, blending from the guides' root colour to their tip colour; ``shown`` (3,) in Solid shading.

    Principled Hair in Cycles. Eevee renders that black, so it gets a diffuse surface with the corresponding albedo.
    """
    material = bpy.data.materials.new(MATERIAL_NAME)
    if material.node_tree is None:  # from 6.0 on every material has nodes and the switch is gone
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    output, shader = tree.nodes.new("ShaderNodeOutputMaterial"), tree.nodes.new("ShaderNodeBsdfHairPrincipled")
    output.location = (300, 0)
    output.target, output.label = "CYCLES", "Cycles"
    shader.parametrization = "COLOR"
    for name, value in (("Roughness", 0.35), ("Radial Roughness", 0.55), ("Coat", 0.0), ("Random Roughness", 0.15)):
        shader.inputs[name].default_value = value
    root, tip = (_colour(tree, name, y) for name, y in ((ROOT_COLOUR, 150), (TIP_COLOUR, -50)))
    info = tree.nodes.new("ShaderNodeHairInfo")
    info.location = (-600, -250)
    mix = tree.nodes.new("ShaderNodeMix")
    mix.data_type, mix.location = "RGBA", (-350, 50)
    vary = tree.nodes.new("ShaderNodeMapRange")  # random brightness per hair
    vary.location = (-350, -250)
    vary.inputs["To Min"].default_value, vary.inputs["To Max"].default_value = 0.7, 1.3
    shade = tree.nodes.new("ShaderNodeVectorMath")
    shade.operation, shade.location = "SCALE", (-150, 0)
    links = tree.links
    links.new(info.outputs["Intercept"], mix.inputs["Factor"])
    links.new(root.outputs["Color"], mix.inputs["A"])
    links.new(tip.outputs["Color"], mix.inputs["B"])
    links.new(info.outputs["Random"], vary.inputs["Value"])
    links.new(mix.outputs["Result"], shade.inputs[0])
    links.new(vary.outputs["Result"], shade.inputs["Scale"])
    links.new(shade.outputs["Vector"], shader.inputs["Color"])
    links.new(info.outputs["Random"], shader.inputs["Random"])
    links.new(shader.outputs["BSDF"], output.inputs["Surface"])
    _add_eevee(tree, shade.outputs["Vector"])
    material.diffuse_color = (*shown.tolist(), 1.0)
    return material


def _add_eevee(tree: bpy.types.NodeTree, colour: bpy.types.NodeSocket) -> None:
    """Add an output for Eevee and Material Preview, from the hair shader's ``colour``."""
    power, share = tree.nodes.new("ShaderNodeGamma"), tree.nodes.new("ShaderNodeVectorMath")
    surface, output = tree.nodes.new("ShaderNodeBsdfPrincipled"), tree.nodes.new("ShaderNodeOutputMaterial")
    for node, x in ((power, 50), (share, 200), (surface, 400), (output, 700)):
        node.location = (x, -500)
    power.inputs["Gamma"].default_value = _LIGHT_POWER
    share.operation = "MULTIPLY_ADD"
    share.inputs[1].default_value, share.inputs[2].default_value = (_LIGHT_SCALE,) * 3, (_LIGHT_OFFSET,) * 3
    surface.inputs["Roughness"].default_value = 0.45  # as for cards
    surface.inputs["Specular IOR Level"].default_value = 0.3
    output.target, output.label = "EEVEE", "Eevee"
    tree.links.new(colour, power.inputs["Color"])
    tree.links.new(power.outputs["Color"], share.inputs[0])
    tree.links.new(share.outputs["Vector"], surface.inputs["Base Color"])
    tree.links.new(surface.outputs["BSDF"], output.inputs["Surface"])


def _colour(tree: bpy.types.NodeTree, name: str, y: float) -> bpy.types.Node:
    node = tree.nodes.new("ShaderNodeAttribute")
    node.attribute_name = node.name = node.label = name
    node.location = (-600, y)
    return node


def follow_group() -> bpy.types.NodeTree:
    """The file's node group that moves guides with a head, created if missing: a slice of an import."""
    group, is_new = _group(FOLLOW_NAME)
    if is_new:
        _add_geometry(group)
        _add_inputs(group)
        _Builder(group).build_follow()
    return group


def offset_group() -> bpy.types.NodeTree:
    """The file's node group that offsets each hair from its guide, created if missing: also a slice."""
    group, is_new = _group(OFFSET_NAME)
    if is_new:
        for name in STRAND_NOISE_INPUTS:
            group.interface.new_socket(name, in_out="INPUT", socket_type="NodeSocketFloat")
        group.interface.new_socket("Offset", in_out="OUTPUT", socket_type="NodeSocketVector")
        _Builder(group).build_offset()
    return group


def hair_group() -> bpy.types.NodeTree:
    """The file's node group that creates hairs from guides, using both groups above; created if missing."""
    group, is_new = _group(NODES_NAME)
    if is_new:
        group.is_modifier = True
        _add_geometry(group)
        for setting in SETTINGS:
            socket = group.interface.new_socket(setting.name, in_out="INPUT", socket_type=setting.kind)
            number = int if setting.kind == "NodeSocketInt" else float
            socket.min_value, socket.max_value = number(setting.low), number(setting.high)
            socket.default_value, socket.description = number(setting.value), setting.description
        _add_inputs(group)
        _Builder(group).build()
    return group


def _group(name: str) -> tuple[bpy.types.NodeTree, bool]:
    """The file's node group called ``name`` of this version, and whether it is new and empty."""
    for group in bpy.data.node_groups:
        if group.get(VERSION_TAG) == f"{name} {VERSION}" and group.library is None:
            return group, False
    group = bpy.data.node_groups.new(name, "GeometryNodeTree")
    group[VERSION_TAG] = f"{name} {VERSION}"
    return group, True


def _add_geometry(group: bpy.types.NodeTree) -> None:
    for way in ("INPUT", "OUTPUT"):
        group.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")


def _add_inputs(group: bpy.types.NodeTree) -> None:
    """Add inputs for the head and for three vertices of its skull."""
    group.interface.new_socket(HEAD, in_out="INPUT", socket_type="NodeSocketObject")
    for name in SKULL:
        group.interface.new_socket(name, in_out="INPUT", socket_type="NodeSocketInt").hide_in_modifier = True


class _Builder:
    """Add nodes to a group. Fields are outputs of nodes."""

    def __init__(self, group: bpy.types.NodeTree) -> None:
        self.group = group
        self.inputs = self.node("NodeGroupInput").outputs

    def build_follow(self) -> None:
        out = self.node("NodeGroupOutput")
        self.link(self.guides_on_head(self.inputs["Geometry"]), out.inputs["Geometry"])

    def build(self) -> None:
        follow = self.node("GeometryNodeGroup", node_tree=follow_group())
        for name in ("Geometry", HEAD, *SKULL):
            self.link(self.inputs[name], follow.inputs[name])
        deformed = follow.outputs["Geometry"]
        count = self.node("GeometryNodeSwitch", input_type="INT")
        self.link(self.node("GeometryNodeIsViewport").outputs[0], count.inputs["Switch"])
        self.link(self.inputs["Render Hairs"], count.inputs["False"])
        self.link(self.inputs["Viewport Hairs"], count.inputs["True"])
        copies = self.node("GeometryNodeDuplicateElements", domain="SPLINE")
        self.link(deformed, copies.inputs["Geometry"])
        self.link(count.outputs[0], copies.inputs["Amount"])
        ends = self.node("GeometryNodeTrimCurve", mode="FACTOR")
        self.link(copies.outputs["Geometry"], ends.inputs["Curve"])
        self.link(self.subtract(1.0, self.multiply(self.random(3), self.inputs["Uneven Ends"])), ends.inputs["End"])
        moved = self.node("GeometryNodeSetPosition")
        self.link(ends.outputs["Curve"], moved.inputs["Geometry"])
        offset = self.node("GeometryNodeGroup", node_tree=offset_group())
        for name in STRAND_NOISE_INPUTS:
            self.link(self.inputs[name], offset.inputs[name])
        self.link(offset.outputs["Offset"], moved.inputs["Offset"])
        thick = self.node("GeometryNodeSetCurveRadius")
        self.link(moved.outputs["Geometry"], thick.inputs["Curve"])
        radius = self.multiply(self.node("GeometryNodeInputRadius").outputs[0], self.inputs["Thickness"])
        fewer = self.math("SQRT", self.math("DIVIDE", self.inputs["Render Hairs"], count.outputs[0]))
        self.link(self.multiply(radius, fewer), thick.inputs["Radius"])
        out = self.node("NodeGroupOutput")
        self.link(thick.outputs["Curve"], out.inputs["Geometry"])

    def guides_on_head(self, curves: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
        """Move guides to the head's current shape: rotated with the skull about roots that moved with the skin."""
        info = self.node("GeometryNodeObjectInfo")
        self.link(self.inputs[HEAD], info.inputs["Object"])
        head = info.outputs["Geometry"]
        rest, now = self.attribute(REST, "FLOAT_VECTOR"), self.node("GeometryNodeInputPosition").outputs[0]
        sample = self.node("GeometryNodeSampleUVSurface", data_type="FLOAT_VECTOR")
        self.link(head, sample.inputs["Mesh"])
        self.link(self.vector("SUBTRACT", now, rest), sample.inputs["Value"])
        self.link(self.attribute(UV_MAP, "FLOAT_VECTOR"), sample.inputs["UV Map"])
        self.link(self.attribute(SURFACE_UV, "FLOAT_VECTOR"), sample.inputs["Sample UV"])
        first = self.node("GeometryNodePointsOfCurve")
        self.link(self.node("GeometryNodeCurveOfPoint").outputs["Curve Index"], first.inputs["Curve Index"])
        root = self.node("GeometryNodeFieldAtIndex", data_type="FLOAT_VECTOR", domain="POINT")
        self.link(now, root.inputs["Value"])
        self.link(first.outputs["Point Index"], root.inputs["Index"])
        way = self.vector("SUBTRACT", now, root.outputs[0])
        turned = None
        for axis_before, axis_after in zip(self.frame(head, rest), self.frame(head, now), strict=True):
            part = self.scaled(
                axis_after, self.of("ShaderNodeVectorMath", 1, axis_before, way, operation="DOT_PRODUCT")
            )
            turned = part if turned is None else self.vector("ADD", turned, part)
        place = self.vector("ADD", self.vector("ADD", root.outputs[0], sample.outputs["Value"]), turned)
        moved = self.node("GeometryNodeSetPosition")
        self.link(curves, moved.inputs["Geometry"])
        self.link(sample.outputs["Is Valid"], moved.inputs["Selection"])  # no motion if the head is gone
        self.link(place, moved.inputs["Position"])
        return moved.outputs["Geometry"]

    def frame(self, head: bpy.types.NodeSocket, value: bpy.types.NodeSocket) -> tuple[bpy.types.NodeSocket, ...]:
        """Three orthonormal vectors that rotate with the skull, whose vertex positions are ``value``."""
        points = []
        for name in SKULL:
            sample = self.node("GeometryNodeSampleIndex", data_type="FLOAT_VECTOR", domain="POINT")
            self.link(head, sample.inputs["Geometry"])
            self.link(value, sample.inputs["Value"])
            self.link(self.inputs[name], sample.inputs["Index"])
            points.append(sample.outputs[0])
        left, right, back = points
        across = self.vector("NORMALIZE", self.vector("SUBTRACT", left, right))
        up = self.vector("NORMALIZE", self.vector("CROSS_PRODUCT", across, self.vector("SUBTRACT", back, right)))
        return across, up, self.vector("CROSS_PRODUCT", up, across)

    def build_offset(self) -> None:
        """Offset of each hair from its guide: a place in the lock's round cross-section, and its frizz."""
        along = self.node("GeometryNodeSplineParameter").outputs["Factor"]
        width = self.attribute(WIDTH, "FLOAT")
        length = self.node("GeometryNodeSplineLength").outputs["Length"]
        locked = self.math("MINIMUM", self.multiply(length, 1.0 / _CLUMPED_LENGTH), 1.0)
        third = self.multiply(self.math("ARCSINE", self.subtract(1.0, self.multiply(self.random(0), 2.0))), 1.0 / 3.0)
        distance = self.subtract(0.5, self.math("SINE", third))  # 0 to 1, denser inside: inverse of 3 r^2 - 2 r^3
        distance = self.multiply(distance, self.multiply(width, 0.5 * _LOCK_SPREAD))
        clump = self.multiply(self.multiply(along, self.inputs["Clump"]), locked)
        distance = self.multiply(distance, self.subtract(1.0, clump))
        angle = self.multiply(self.random(1), 6.2831853)
        normal = self.attribute(ROOT_NORMAL, "FLOAT_VECTOR")
        across = self.vector("NORMALIZE", self.vector("CROSS_PRODUCT", normal, (0.3, 0.5, 0.81)))
        side = self.node("GeometryNodeInputNormal").outputs["Normal"]
        tangent = self.node("GeometryNodeInputTangent").outputs["Tangent"]
        leaves = self.multiply(self.math("MINIMUM", self.multiply(along, 5.0), 1.0), locked)  # over the first fifth
        mix = self.node("ShaderNodeMix", data_type="VECTOR")
        self.link(leaves, mix.inputs["Factor"])
        self.link(self.rotated(across, normal, angle), mix.inputs["A"])
        self.link(self.rotated(side, tangent, angle), mix.inputs["B"])
        place = self.scaled(mix.outputs["Result"], distance)
        behind = self.multiply(self.subtract(1.0, leaves), self.multiply(width, -0.5 * _ROOT_SHIFT))
        place = self.vector("ADD", place, self.scaled(tangent, behind))
        turns = self.multiply(self.multiply(along, self.random(2)), 12.0)  # a noise texture would be ten times slower
        stray = self.rotated(side, tangent, self.math("ADD", turns, angle))
        stray = self.scaled(stray, self.multiply(self.multiply(along, self.random(4)), self.inputs["Frizz"]))
        self.link(self.vector("ADD", place, stray), self.node("NodeGroupOutput").inputs["Offset"])

    def rotated(
        self, vector: bpy.types.NodeSocket, axis: bpy.types.NodeSocket, angle: bpy.types.NodeSocket
    ) -> bpy.types.NodeSocket:
        node = self.node("ShaderNodeVectorRotate")
        for name, value in (("Vector", vector), ("Axis", axis), ("Angle", angle)):
            self.link(value, node.inputs[name])
        return node.outputs["Vector"]

    def random(self, seed: int) -> bpy.types.NodeSocket:
        """Random number 0 to 1, constant along a hair."""
        node = self.node("FunctionNodeRandomValue", data_type="FLOAT")
        curve = self.node("GeometryNodeCurveOfPoint").outputs["Curve Index"]
        self.link(curve, next(socket for socket in node.inputs if socket.name == "ID"))
        next(socket for socket in node.inputs if socket.name == "Seed").default_value = seed
        return next(socket for socket in node.outputs if socket.enabled)

    def attribute(self, name: str, kind: str) -> bpy.types.NodeSocket:
        node = self.node("GeometryNodeInputNamedAttribute", data_type=kind)
        node.inputs["Name"].default_value = name
        return next(socket for socket in node.outputs if socket.enabled and socket.name == "Attribute")

    def multiply(self, one: bpy.types.NodeSocket, other: bpy.types.NodeSocket | float) -> bpy.types.NodeSocket:
        return self.math("MULTIPLY", one, other)

    def subtract(self, one: float, other: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
        return self.math("SUBTRACT", one, other)

    def math(self, operation: str, *values: bpy.types.NodeSocket | float) -> bpy.types.NodeSocket:
        return self.of("ShaderNodeMath", 0, *values, operation=operation)

    def vector(self, operation: str, *values: object) -> bpy.types.NodeSocket:
        return self.of("ShaderNodeVectorMath", 0, *values, operation=operation)

    def scaled(self, vector: bpy.types.NodeSocket, factor: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
        node = self.node("ShaderNodeVectorMath", operation="SCALE")
        self.link(vector, node.inputs[0])
        self.link(factor, node.inputs["Scale"])
        return node.outputs["Vector"]

    def of(self, kind: str, output: int, *values: object, **options: object) -> bpy.types.NodeSocket:
        """The output of a new node whose first inputs are ``values``: fields or constants."""
        node = self.node(kind, **options)
        for socket, value in zip(node.inputs, values, strict=False):
            if isinstance(value, bpy.types.NodeSocket):
                self.link(value, socket)
            else:
                socket.default_value = value
        return node.outputs[output]

    def node(self, kind: str, **options: object) -> bpy.types.Node:
        node = self.group.nodes.new(kind)
        node.location = (180 * (len(self.group.nodes) % 12), -220 * (len(self.group.nodes) // 12))
        for name, value in options.items():
            setattr(node, name, value)
        return node

    def link(self, output: bpy.types.NodeSocket, socket: bpy.types.NodeSocket) -> None:
        self.group.links.new(output, socket)
