"""Darken tongue and back teeth in Eevee, which by default lights and reflects the whole world inside a mouth.

Their materials get a second output, used by Eevee only, that dims the surface by the occlusion of lips and teeth.
Cycles computes the occlusion itself and uses the first output.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy

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
