"""Draw scenes for ``trainer.heads.drawing`` with Blender's Cycles: ``cycles_photos.py SCENE.npz...``.

Needs ``bpy`` (``.ci/blender.txt``) and numpy, nothing of this project: what is drawn and where the camera stands comes
from the scene's file (``drawing.write_scene``), so the trainer knows no Blender. Each picture is an sRGB PNG; one that
exists is kept.
"""

import json
import sys
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

MATERIALS = {
    "skin": {"Roughness": 0.48, "Subsurface Weight": 1.0, "Subsurface Scale": 0.0025, "Specular IOR Level": 0.45},
    "eye": {"Roughness": 0.3, "Subsurface Weight": 0.3, "Subsurface Scale": 0.001, "Coat Weight": 1.0},
    "hair": {"Roughness": 0.5, "Specular IOR Level": 0.25},
    "cloth": {"Roughness": 0.9, "Sheen Weight": 0.2},
    "teeth": {"Roughness": 0.25, "Subsurface Weight": 0.5, "Subsurface Scale": 0.001},
}
"""Inputs of the Principled BSDF by material; lengths in metres."""
SCATTER = (1.0, 0.35, 0.2)
"""How far red, green and blue light spreads below skin, relative to the scale: red about 3 mm."""
PORES = {"Scale": 900.0, "Distance": 0.0002, "Strength": 0.35}
"""Noise that roughens skin: cells of a millimetre, a fifth of a millimetre deep."""
BOUNCES, THROUGH = 4, 24
"""Bounces of light; layers of hair that a ray passes."""


def turned(points: np.ndarray) -> np.ndarray:
    """Points (..., 3) with y up in Blender's frame with z up."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], -1)


def placed(rotation: np.ndarray, position: np.ndarray) -> Matrix:
    """World matrix from a rotation (3, 3), whose columns are right, up and backwards, and a position, y up."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turned(rotation.T).T, turned(position)
    return Matrix(matrix.tolist())


def towards(position: np.ndarray, aim: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of a lamp at ``position`` that shines at ``aim``."""
    back = (position - aim) / np.linalg.norm(position - aim)
    right = np.cross([0.0, 1.0, 1e-3], back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back], 1)


def add(kind: str, data: bpy.types.ID, matrix: Matrix | None = None) -> bpy.types.Object:
    """A new object in the scene."""
    item = bpy.data.objects.new(kind, data)
    if matrix is not None:
        item.matrix_world = matrix
    bpy.context.collection.objects.link(item)
    return item


def material(part: dict) -> bpy.types.Material:
    """The material of a part: colours of its picture or of its vertices."""
    made = bpy.data.materials.new(part["material"])
    made.use_nodes = True
    nodes, links = made.node_tree.nodes, made.node_tree.links
    shader = nodes["Principled BSDF"]
    for name, value in MATERIALS[part["material"]].items():
        shader.inputs[name].default_value = value
    shader.inputs["Subsurface Radius"].default_value = SCATTER
    if part["texture"]:
        colour = nodes.new("ShaderNodeTexImage")
        colour.image = bpy.data.images.load(part["texture"], check_existing=True)
        if part["transparent"]:
            links.new(colour.outputs["Alpha"], shader.inputs["Alpha"])
    else:
        colour = nodes.new("ShaderNodeAttribute")
        colour.attribute_name = "colour"
    tint = nodes.new("ShaderNodeMix")
    tint.data_type, tint.blend_type = "RGBA", "MULTIPLY"
    tint.inputs["Factor"].default_value = 1.0
    tint.inputs["B"].default_value = (*part["tint"], 1.0)
    links.new(colour.outputs["Color"], tint.inputs["A"])
    links.new(tint.outputs["Result"], shader.inputs["Base Color"])
    if part["material"] == "skin":
        noise, bump = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeBump")
        noise.inputs["Scale"].default_value = PORES["Scale"]
        bump.inputs["Distance"].default_value = PORES["Distance"]
        bump.inputs["Strength"].default_value = PORES["Strength"]
        links.new(noise.outputs[0], bump.inputs["Height"])
        if part["relief"]:
            heights = nodes.new("ShaderNodeTexImage")
            heights.image = bpy.data.images.load(part["relief"][0])
            heights.image.colorspace_settings.name = "Non-Color"
            bump.inputs["Distance"].default_value, bump.inputs["Strength"].default_value = part["relief"][1], 1.0
            links.new(heights.outputs["Color"], bump.inputs["Height"])
        links.new(bump.outputs["Normal"], shader.inputs["Normal"])
    return made


def add_part(part: dict, points: np.ndarray, faces: np.ndarray, values: np.ndarray) -> None:
    """Add a mesh; values : colours (V, 3), linear, or texture coordinates (F, K, 2)."""
    mesh = bpy.data.meshes.new(part["material"])
    mesh.from_pydata(turned(points).tolist(), [], [list(dict.fromkeys(face)) for face in faces.tolist()])
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    if part["texture"]:
        corners = np.zeros(len(mesh.loops), np.int32)
        mesh.loops.foreach_get("vertex_index", corners)
        kept = np.concatenate([[list(face).index(v) for v in dict.fromkeys(face)] for face in faces.tolist()])
        rows = np.repeat(np.arange(len(faces)), [len(set(face)) for face in faces.tolist()])
        mesh.uv_layers.new().data.foreach_set("uv", values[rows, kept].astype(np.float32).ravel())
    else:
        layer = mesh.color_attributes.new("colour", "FLOAT_COLOR", "POINT")
        layer.data.foreach_set("color", np.column_stack([values, np.ones(len(values))]).astype(np.float32).ravel())
    mesh.materials.append(material(part))
    item = add(part["material"], mesh)
    if part["levels"]:
        smooth = item.modifiers.new("smooth", "SUBSURF")
        smooth.levels = smooth.render_levels = part["levels"]


def set_light(light: dict, middle: np.ndarray) -> list[bpy.types.Object]:
    """Sky and lamps about a face at ``middle``; returns the lamps."""
    world = bpy.data.worlds.new("world")
    bpy.context.scene.world = world
    world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    back, wall = nodes["Background"], nodes.new("ShaderNodeBackground")
    back.inputs["Color"].default_value = (*light["sky"], 1.0)
    noise, tint = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeMix")
    noise.noise_dimensions, noise.inputs["W"].default_value = "4D", light["wall_seed"]
    noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = 2.0, 0.5
    tint.data_type = "RGBA"
    tint.inputs["A"].default_value, tint.inputs["B"].default_value = ((*c, 1.0) for c in light["wall"])
    links.new(noise.outputs[0], tint.inputs["Factor"])
    links.new(tint.outputs["Result"], wall.inputs["Color"])
    path, mix = nodes.new("ShaderNodeLightPath"), nodes.new("ShaderNodeMixShader")
    links.new(path.outputs["Is Camera Ray"], mix.inputs[0])
    links.new(back.outputs[0], mix.inputs[1])
    links.new(wall.outputs[0], mix.inputs[2])
    links.new(mix.outputs[0], nodes["World Output"].inputs["Surface"])
    lamps = []
    for offset, size, watts, colour in light["lamps"]:
        lamp = bpy.data.lights.new("lamp", "AREA")
        lamp.size, lamp.energy, lamp.color = size, watts, colour
        position = middle + np.array(offset)
        lamps.append(add("lamp", lamp, placed(towards(position, middle), position)))
    return lamps


def draw(picture: dict, middle: np.ndarray) -> None:
    """Take one picture; its camera follows OpenCV's convention."""
    scene, target = bpy.context.scene, Path(picture["file"])
    lamps = set_light(picture["light"], middle)
    width, height = picture["size"]
    intrinsics, pose = np.array(picture["intrinsics"]), np.array(picture["camera_from_head"])
    camera = bpy.data.cameras.new("camera")
    camera.sensor_fit, camera.sensor_width, camera.clip_start = "HORIZONTAL", 36.0, 0.01
    camera.lens = intrinsics[0, 0] / width * camera.sensor_width
    camera.shift_x, camera.shift_y = 0.5 - intrinsics[0, 2] / width, (intrinsics[1, 2] - height / 2) / width
    camera.dof.use_dof, camera.dof.aperture_fstop = True, picture["aperture"]
    camera.dof.focus_distance = picture["focus"]
    rotation = (pose[:3, :3] * [[1.0], [-1.0], [-1.0]]).T
    scene.camera = add("camera", camera, placed(rotation, -pose[:3, :3].T @ pose[:3, 3]))
    render, cycles = scene.render, scene.cycles
    render.engine, render.use_persistent_data = "CYCLES", True
    render.threads_mode, render.threads = "FIXED", 1
    cycles.samples, cycles.use_adaptive_sampling, cycles.use_denoising = picture["samples"], False, True
    cycles.max_bounces, cycles.transparent_max_bounces, cycles.seed = BOUNCES, THROUGH, picture["seed"]
    render.resolution_x, render.resolution_y = width, height
    scene.view_settings.view_transform, scene.view_settings.exposure = picture["view"], picture["exposure"]
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGB"
    render.filepath = str(target.with_suffix(".part.png"))
    bpy.ops.render.render(write_still=True)
    Path(render.filepath).replace(target)
    for item in (scene.camera, *lamps):
        bpy.data.objects.remove(item)


def main(files: list[str]) -> None:
    """Draw the missing pictures of each scene."""
    for file in files:
        with np.load(file, allow_pickle=False) as data:
            scene = json.loads(str(data["scene"]))
            bpy.ops.wm.read_factory_settings(use_empty=True)
            for number, part in enumerate(scene["parts"]):
                add_part(part, *(data[f"{number}.{name}"] for name in ("points", "faces", "values")))
        for picture in scene["pictures"]:
            if not Path(picture["file"]).exists():
                draw(picture, np.array(scene["middle"]))


if __name__ == "__main__":
    main(sys.argv[1:])
