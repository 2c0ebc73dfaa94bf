"""How dark tongue and back teeth are in Eevee, where by default all of the world shines into a mouth and mirrors there.

Their materials get a second output that Eevee alone reads, with the surface dimmed by how much of the light lips and
teeth keep out; Cycles finds that out by itself and reads the first one.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy

DIM_NODE = "Eevee Mouth"
"""Name of the node whose factor is the share of light that is kept out; mute it to have all."""


@dataclass(frozen=True)
class Depth:
    """Shares of light kept out, 0-1, at the front and at the back, and where those are, in parts of the object's length
    from its foremost to its rearmost point."""

    share: tuple[float, float]
    place: tuple[float, float]


DEPTHS = {"Teeth": Depth((0.0, 0.9), (0.08, 0.4)), "Tongue": Depth((0.2, 0.9), (0.0, 0.45))}
"""By material. Front teeth are lit as the lips are; the tongue is dark from its middle on, as Cycles has it with a wide
open mouth under lamps and a grey world."""


def dim_by_depth(tree: bpy.types.NodeTree, shader: bpy.types.Node, depth: Depth) -> None:
    """Dim by how far back a point of the object at rest lies."""
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
    tree.links.new(shader.outputs["BSDF"], mix.inputs[1])  # the second one is nothing: black
    tree.links.new(mix.outputs[0], output.inputs["Surface"])


def _node(tree: bpy.types.NodeTree, kind: str, x: float, y: float) -> bpy.types.Node:
    node = tree.nodes.new(kind)
    node.location = (x, y)
    return node
