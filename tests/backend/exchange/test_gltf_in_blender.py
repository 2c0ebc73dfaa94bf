"""face.glb as Blender's own importer sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.exchange.face_asset import PART_NAMES, FaceAsset
from backend.exchange.gltf import write_glb
from protocol.names import ARKIT_NAMES

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
