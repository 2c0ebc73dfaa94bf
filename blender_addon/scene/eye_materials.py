"""Materials of the eyes: clear cornea and tear line, and the caruncles' colour."""

from __future__ import annotations

import bpy

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


def _node(tree: bpy.types.NodeTree, kind: str, x: float, y: float) -> bpy.types.Node:
    node = tree.nodes.new(kind)
    node.location = (x, y)
    return node
