"""Gloss of the skin: roughness per vertex, and the specular level as a function of roughness."""

from __future__ import annotations

import bpy

from .meshes import MOUTH_INSIDE, SKIN_ROUGHNESS

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
