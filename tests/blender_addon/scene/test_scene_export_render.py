"""A file of each preset, imported again and rendered beside the scene: the same head, region by region."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from blender_addon.shared.message import CARD_LEVELS
from mathutils import Euler, Vector
from scene_helpers import image_pixels, import_head
from test_scene_export_look import imported

from blender_addon.export.presets import PRESETS, ExportPreset
from blender_addon.export.surfaces import ExportMaterials
from blender_addon.export.write import ONE_MESH_PARTS, export_head, export_parts
from blender_addon.objects import tags
from blender_addon.protocol.result import HeadResult
from blender_addon.scene.hair import hair_cards, shape_hair

SIDE, SAMPLES = 256, 16
POSE = {"jawOpen": 0.5}
"""The mouth shows."""
REGIONS: Mapping[str, tuple[str, ...]] = {
    "skin": ("head",),
    "irises": ("eye_left", "eye_right"),
    "mouth": ("teeth_upper", "teeth_lower", "tongue"),
    "lashes": ("lashes",),
    "hair": ("hair",),
}
WORST = {"skin": 0.015, "irises": 0.04, "mouth": 0.11, "lashes": 0.03, "hair": 0.05}
"""Mean difference of display values, 0 to 1. FBX has one colour from root to tip. The scene's mouth has a little light
of its own, which no file has: it would glow in the dark."""


def light_and_camera(bpy, head) -> None:
    """Grey light, a sun from one side, and a camera before the face."""
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.device, scene.cycles.samples, scene.cycles.seed = "CYCLES", "CPU", SAMPLES, 1
    scene.cycles.use_denoising = False
    scene.render.resolution_x = scene.render.resolution_y = SIDE
    scene.view_settings.view_transform = "Raw"
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.world = bpy.data.worlds.new("grey")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.4, 0.4, 0.4, 1.0)
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy, sun.data.angle, sun.rotation_euler = 2.0, 0.3, Euler((0.87, 0.0, -0.44))
    scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.camera.data.lens = 100.0
    for obj in (sun, scene.camera):
        scene.collection.objects.link(obj)
    corners = np.array([head.matrix_world @ Vector(corner) for corner in head.bound_box])
    scene.camera.location = (corners.min(0) + corners.max(0)) / 2 - [0.0, 1.0, 0.0]
    scene.camera.rotation_euler = (np.pi / 2, 0.0, 0.0)


def rendered(bpy, path: Path) -> np.ndarray:
    """(SIDE, SIDE, 3) linear light."""
    bpy.context.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    light = image_pixels(image)[..., :3]
    bpy.data.images.remove(image)
    return light


def shown(linear: np.ndarray) -> np.ndarray:
    """Display values, each the mean of 5 by 5 pixels, because 16 samples are noisy."""
    light = np.clip(linear, 0.0, 1.0)
    display = np.where(light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    padded = np.pad(display, ((2, 2), (2, 2), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(0, 1))
    return windows.mean(axis=(-2, -1))


def masks(bpy, parts: Mapping[str, object], path: Path) -> dict[str, np.ndarray]:
    """(SIDE, SIDE) bool of each region: every part glows in the colour of its own region."""
    colours = {region: np.array([(n + 1) & 1, (n + 1) >> 1 & 1, (n + 1) >> 2]) for n, region in enumerate(REGIONS)}
    region_of = {part: region for region, own in REGIONS.items() for part in own}
    scene, before = bpy.context.scene, {part: obj.active_material for part, obj in parts.items()}
    world, scene.world, scene.cycles.samples = scene.world, None, 1
    scene.cycles.filter_width = 0.01
    for part, obj in parts.items():
        obj.hide_render = part not in region_of
        glow = bpy.data.materials.new("glow")
        glow.use_nodes = True
        tree = glow.node_tree
        tree.nodes.clear()
        shader, output = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeOutputMaterial")
        shader.inputs["Color"].default_value = (*colours[region_of.get(part, "skin")], 1.0)
        tree.links.new(shader.outputs[0], output.inputs[0])
        obj.active_material = glow
    found = rendered(bpy, path) > 0.5
    for part, obj in parts.items():
        obj.hide_render, obj.active_material = False, before[part]
    scene.world, scene.cycles.samples, scene.cycles.filter_width = world, SAMPLES, 1.5
    return {region: (found == colour.astype(bool)).all(axis=-1) for region, colour in colours.items()}


def pose(bpy, head) -> None:
    for name, value in POSE.items():
        if name in head.data.shape_keys.key_blocks:
            head.data.shape_keys.key_blocks[name].value = value
    bpy.context.view_layer.update()


@pytest.mark.parametrize("preset", [one for one in PRESETS if one.name != "UNITY"], ids=lambda preset: preset.name)
def test_a_file_looks_like_the_scene(bpy, result: HeadResult, tmp_path: Path, preset: ExportPreset) -> None:
    """Unity's file is Unreal's but for the unit."""
    collection = import_head(result, bpy.context)
    shape_hair(collection, {"hair_length": 0.3})  # above the eyes
    path = tmp_path / f"head{preset.suffix}"
    export_head(bpy.context, collection, preset, path)
    strands, parts = tags.hair_object(collection), {obj[tags.PART]: obj for obj in export_parts(collection)}
    strands.hide_render, parts["hair"] = True, hair_cards(strands, parts["head"], CARD_LEVELS[0])
    collection.objects.link(parts["hair"])
    materials = ExportMaterials("scene", collection, list(parts.values()), exporter="gltf")
    materials.put_on(parts["hair"], parts["hair"], one_mesh=False)
    for part, obj in parts.items():
        obj.hide_render = preset.one_mesh and part not in ONE_MESH_PARTS
        if "Subdivision" in obj.modifiers:
            obj.modifiers["Subdivision"].render_levels = preset.subdivision
    parts = {part: obj for part, obj in parts.items() if not obj.hide_render}
    pose(bpy, parts["head"])
    light_and_camera(bpy, parts["head"])
    where = masks(bpy, parts, tmp_path / "regions.exr")
    scene = shown(rendered(bpy, tmp_path / "scene.exr"))
    again = imported(bpy, path)
    for obj in again.values():
        if obj.data.shape_keys is not None:
            pose(bpy, obj)
    light_and_camera(bpy, again["head"])
    difference = np.abs(shown(rendered(bpy, tmp_path / "file.exr")) - scene).mean(axis=-1)
    found = {region: float(difference[mask].mean()) for region, mask in where.items() if mask.sum() > 20}
    print(preset.name, {region: round(value, 4) for region, value in found.items()})
    if preset.one_mesh:  # its irises are in the albedo, which is a ramp in this test
        del found["irises"]
    assert set(found) == ({"skin", "mouth"} if preset.one_mesh else set(REGIONS))
    assert not {region: value for region, value in found.items() if value > WORST[region]}
