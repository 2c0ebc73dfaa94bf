"""How skin mirrors light: roughness by the head's vertices, and the specular level by roughness."""

from __future__ import annotations

import bpy

from .meshes import MOUTH_INSIDE, SKIN_ROUGHNESS

USUAL_ROUGHNESS, USUAL_SPECULAR = 0.52, 0.4
"""Of skin whose vertices say nothing: a body, heads of older backends."""
ROUGHNESS, SPECULAR = "Skin Roughness", "Skin Specular"
"""Names of the last nodes; their second values are the two above, and scale all skin. Blender's glTF exporter takes
such a value as the material's factor, as it cannot write attributes of vertices."""
_SPECULAR_SLOPE = -0.45
"""Specular IOR level by roughness: dry horn (0.6) has an index of refraction of about 1.4, level 0.36; sebum (0.45) of
1.46, level 0.43."""

_MOUTH_SPECULAR = 0.1
"""Share of the specular level behind the lips: Eevee mirrors the world there, which lips and cheeks hide, and the
lining was grey where it is seen aslant. Rays find little to mirror there, so Cycles loses next to nothing."""


def add_gloss(tree: bpy.types.NodeTree, shader: bpy.types.Node) -> None:
    """Link a Principled BSDF's roughness and specular level; a mesh without the attribute has the usual ones."""
    said = tree.nodes.new("ShaderNodeAttribute")
    said.attribute_name, said.location = SKIN_ROUGHNESS, (-1000, -900)
    known = _math(tree, "GREATER_THAN", -800, -1050, 0.0)  # an attribute that is missing reads 0
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
