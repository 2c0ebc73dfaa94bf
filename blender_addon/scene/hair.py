"""Hair as a Curves object on the head's surface: it follows the shape keys, can be groomed, and keeps the grooming.

Geometry nodes that create hairs from guides, as many as viewport and render need, and the hair material.

Hair cards: a mesh on the head with a texture of strands, as in games.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils.kdtree import KDTree

from ..protocol.result import HeadResult, ResultCards, ResultHair
from . import tags
from .expressions import lock_weights
from .materials import packed_image
from .meshes import UV_HEAD, coordinates, neutral_coordinates, to_blender

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


CARDS_NAME, CARDS_MATERIAL_NAME, UV = "hair", "Hair Cards", "Cards"
COLOUR = "colour"
SKIN_VERTEX, SKIN_PLACE = "skin_vertex", "skin_place"
"""Vertex attributes of a card: the head's vertex on which the card stands, and its position at that time."""
ATLAS = ("hair_strands", "hair_relief")


def add_cards(cards: ResultCards, skin: np.ndarray, head: bpy.types.Object, head_id: str) -> bpy.types.Object:
    """A mesh object with the cards, a child of ``head`` (its mesh object); linked to nothing yet. ``skin`` : (V, 3)
    neutral vertices of the head on which the cards stand, in their frame."""
    mesh = _mesh(cards, skin)
    mesh.materials.append(_material(cards, head_id))
    obj = bpy.data.objects.new(CARDS_NAME, mesh)
    obj[tags.HEAD_ID], obj[tags.HAIR] = head_id, cards_fingerprint(mesh)
    obj.parent = head
    move_cards_with_skin(obj, head)
    return obj


def update_cards(obj: bpy.types.Object, cards: ResultCards, skin: np.ndarray) -> None:
    """Replace the cards of an ``add_cards`` object by another result's, unless its mesh was edited; materials stay."""
    if is_changed(obj):
        return
    before = obj.data
    obj.data = _mesh(cards, skin)
    obj[tags.HAIR] = cards_fingerprint(obj.data)
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
        obj[tags.HAIR] = cards_fingerprint(mesh)


def is_changed(obj: bpy.types.Object) -> bool:
    """Whether the mesh was changed since it was made."""
    return obj[tags.HAIR] != cards_fingerprint(obj.data)


def cards_fingerprint(mesh: bpy.types.Mesh) -> str:
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
    mesh = bpy.data.meshes.new(CARDS_NAME)
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
    material = bpy.data.materials.new(CARDS_MATERIAL_NAME)
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
