"""face.glb as Blender's own importer sees it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "hair"))
from made_strands import made_strands

from backend.exchange.face_asset import FaceAsset
from backend.exchange.gltf import write_glb
from backend.hair.draw import hair_cards
from protocol.names import ARKIT_NAMES, PART_NAMES

bpy = pytest.importorskip("bpy")
pytestmark = pytest.mark.blender


@pytest.fixture
def objects(hand_made_asset: FaceAsset, tmp_path: Path) -> dict:
    write_glb(hand_made_asset, tmp_path / "face.glb")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(tmp_path / "face.glb"))
    return {obj.name: obj for obj in bpy.data.objects if obj.type == "MESH"}


def test_parts_keys_and_maps_arrive(objects: dict, hand_made_asset: FaceAsset) -> None:
    assert set(PART_NAMES) <= set(objects)
    keys = objects["head"].data.shape_keys.key_blocks
    assert tuple(key.name for key in keys)[1:] == ARKIT_NAMES
    assert all(key.value == 0 for key in keys[1:])
    assert len(objects["head"].data.uv_layers) == 2
    assert objects["teeth_upper"].data.shape_keys is None
    assert [image.size[:] for image in bpy.data.images if image.name == "albedo"] == [(64, 64)]


def test_the_face_looks_along_minus_y_in_metres(objects: dict, hand_made_asset: FaceAsset) -> None:
    expected = hand_made_asset.part("eye_left").vertices.mean(axis=0)
    obj = objects["eye_left"]
    points = np.array([obj.matrix_world @ vertex.co for vertex in obj.data.vertices])
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    np.testing.assert_allclose(middle, [expected[0], -expected[2], expected[1]], atol=1e-4)


def test_a_key_moves_what_it_should(objects: dict, hand_made_asset: FaceAsset) -> None:
    part = hand_made_asset.part("tongue")
    mesh = objects["tongue"].data
    for name, offsets in part.keys.items():
        moved = np.empty((len(mesh.vertices), 3), np.float32)
        rest = np.empty_like(moved)
        mesh.shape_keys.key_blocks[name].points.foreach_get("co", moved.ravel())
        mesh.vertices.foreach_get("co", rest.ravel())
        offsets_seen = (moved - rest)[:, [0, 2, 1]] * [1, 1, -1]
        assert np.abs(offsets_seen).max(axis=0) == pytest.approx(np.abs(offsets).max(axis=0), abs=1e-6)


def test_layers_of_cards_are_as_light_as_their_hair(hand_made_asset: FaceAsset, tmp_path: Path) -> None:
    """In Cycles, with its defaults, under a uniform white sky: twelve layers, through which a ray passes."""
    albedo, ring = np.float32([0.3, 0.2, 0.1]), made_strands(points=8)
    layers = np.linspace(1.0, 0.75, 12, dtype=np.float32)[:, None, None, None] * np.float32([1, 0, 1])
    points = (ring.points * (layers + np.float32([0, 1, 0]))).reshape(-1, 8, 3)
    colour = np.tile(albedo, (len(points), 1))
    strands = replace(
        ring, points=points, root_uv=np.tile(ring.root_uv, (12, 1)), width=np.tile(ring.width, 12), root_colour=colour,
        tip_colour=colour,
    )  # fmt: skip
    write_glb(replace(hand_made_asset, hair_strands=strands, hair_cards=hair_cards(strands)), tmp_path / "face.glb")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(tmp_path / "face.glb"))
    scene = bpy.context.scene
    shown = {obj.name for obj in bpy.context.view_layer.objects}
    assert "hair" in shown and not {"hair_lod1", "hair_lod2"} & shown, "coarser levels would lie over the finest"
    for obj in scene.objects:
        obj.hide_render = obj.name != "hair"
    scene.render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", 16
    scene.cycles.use_denoising = False
    scene.render.resolution_x = scene.render.resolution_y = 64
    scene.view_settings.view_transform, scene.render.image_settings.file_format = "Raw", "OPEN_EXR"
    scene.render.film_transparent = True
    scene.world = bpy.data.worlds.new("sky")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.camera.data.type, scene.camera.data.ortho_scale = "ORTHO", 0.16
    scene.camera.location, scene.camera.rotation_euler = (0.0, -1.0, 0.7), (np.pi / 2, 0.0, 0.0)
    scene.collection.objects.link(scene.camera)
    scene.render.filepath = str(tmp_path / "hair.exr")
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    image.colorspace_settings.name = "Non-Color"
    shown = np.array(image.pixels[:]).reshape(-1, 4)
    hair = shown[shown[:, 3] > 0.99, :3] / albedo
    assert len(hair) > 3000
    assert (np.abs(np.log(np.median(hair, axis=0))) < 0.225).all()
