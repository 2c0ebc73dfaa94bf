"""Skin tone: even steps of lightness, of skin, neck and bust alone, live and in files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blender_addon.shared.photo_folder import png_bytes
from scene_helpers import image_pixels, import_head
from test_scene_export import COARSE, imported
from test_scene_export_look import Surface

from blender_addon.export.write import export_head
from blender_addon.objects import tags
from blender_addon.protocol.result import HeadResult
from blender_addon.scene.materials import (
    LIGHTNESS,
    TONE_NODE,
    lightness,
    linear,
    picture_pixels,
    put_tone,
    skin_material,
    tone_factor,
    tone_of,
)


@pytest.mark.parametrize("skin", [(0.28, 0.14, 0.09), (0.2, 0.1, 0.06)])
def test_steps_look_equal_and_redness_keeps_lightness(skin: tuple[float, ...]) -> None:
    colour = np.array(skin)
    steps = [lightness(colour * tone_factor(colour, tone, 0.0)) for tone in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    np.testing.assert_allclose(np.diff(steps), LIGHTNESS / 2, atol=0.1)
    red = colour * tone_factor(colour, 0.0, 1.0)
    assert lightness(red) == pytest.approx(lightness(colour), abs=0.1)
    assert red[0] / red[1] > 1.1 * colour[0] / colour[1]
    assert lightness(colour * tone_factor(colour, 100.0, 0.0)) < 76
    np.testing.assert_array_equal(tone_factor(colour, 0.0, 0.0), 1.0)


def test_the_material_shows_the_tone_and_comes_back(bpy, result: HeadResult) -> None:
    collection = import_head(result, bpy.context)
    head = tags.part_object(collection, "head")
    assert TONE_NODE not in skin_material(head).node_tree.nodes and tone_of(head) is None
    put_tone(collection, -0.5, 0.3)
    tree, light = skin_material(head).node_tree, tone_of(head)
    assert (light < 1).all() and light[0] > light[2]
    shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    assert {shader.inputs[name].links[0].from_node.name for name in ("Base Color", "Emission Color")} == {TONE_NODE}
    count = len(tree.nodes)
    put_tone(collection, 0.0, 0.0)
    assert tone_of(head) is None and len(tree.nodes) == count
    put_tone(collection, -0.5, 0.3)
    head.data.materials.clear()
    grey = replace(result, albedo_png=png_bytes(np.full((64, 64, 3), 128, np.uint8)))
    import_head(grey, bpy.context, into=collection[tags.HEAD_ID])
    np.testing.assert_allclose(tone_of(head), tone_factor(np.full(3, 0.216), -0.5, 0.3), atol=0.01)


@pytest.mark.parametrize("name", ["GLTF", "GAME"])
def test_a_file_has_the_tone_in_its_albedo(bpy, result: HeadResult, tmp_path: Path, name: str) -> None:
    collection = import_head(result, bpy.context)
    before = linear(picture_pixels(collection[tags.ALBEDO]))
    put_tone(collection, -1.0, 0.0)
    light, images = tone_of(tags.part_object(collection, "head")), len(bpy.data.images)
    uv = {part: tags.part_object(collection, part).data.uv_layers["Head"].uv for part in ("head", "teeth_upper")}
    places = {part: np.array([one.vector[:] for one in layer])[::50] for part, layer in uv.items()}
    path = tmp_path / "head.glb"
    export_head(bpy.context, collection, COARSE[name], path)
    assert len(bpy.data.images) == images
    after = linear(image_pixels(Surface(imported(bpy, path)["head"].data.materials[0]).image("Base Color"))[..., :3])
    for part, spots in places.items():
        x, y = (spots * (before.shape[0] - 1)).astype(int).T
        seen = before[y, x].min(axis=1) > 0.02
        ratio = np.median(after[y, x][seen] / before[y, x][seen], axis=0)
        np.testing.assert_allclose(ratio, light if part == "head" else 1.0, atol=0.05)
