"""face.obj and face.mtl."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hand_made import waves
from lash_strip import asset_with_strip
from PIL import Image

from backend.exchange.face_asset import FaceAsset
from backend.exchange.folder import write_obj
from protocol.names import PART_NAMES


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, list[list[tuple[int, int]]]]]:
    """Vertices, texture coordinates and, per object, faces of (vertex, texture coordinate) counted from 0."""
    vertices, uvs, objects = [], [], {}
    for line in path.read_text("utf-8").splitlines():
        kind, *rest = line.split()
        if kind == "v":
            vertices.append([float(x) for x in rest])
        elif kind == "vt":
            uvs.append([float(x) for x in rest])
        elif kind == "o":
            objects[rest[0]] = faces = []
        elif kind == "f":
            faces.append([tuple(int(n) - 1 for n in corner.split("/")) for corner in rest])
    return np.array(vertices), np.array(uvs), objects


def test_parts_are_objects_and_faces_stay_outside_in_order(hand_made_asset: FaceAsset, tmp_path: Path) -> None:
    write_obj(hand_made_asset, tmp_path)
    vertices, uvs, objects = read_obj(tmp_path / "face.obj")
    assert tuple(objects) == PART_NAMES
    for part in hand_made_asset.parts:
        centre = part.vertices.mean(axis=0)
        for face in objects[part.name]:
            corners = vertices[[v for v, _ in face]]
            normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
            assert normal @ (corners.mean(axis=0) - centre) > 0
    assert uvs.min() >= 0 and uvs.max() <= 1


def test_trimesh_finds_the_texture(hand_made_asset: FaceAsset, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    write_obj(hand_made_asset, tmp_path)
    Image.fromarray(hand_made_asset.albedo).save(tmp_path / "albedo.png")
    scene = trimesh.load(str(tmp_path / "face.obj"), split_object=True)
    assert len(scene.geometry) == len(PART_NAMES)
    for mesh in scene.geometry.values():
        assert mesh.visual.material.image.size == (64, 64)


def test_quads_are_subdivided_once_and_keep_their_texture(tmp_path: Path) -> None:
    asset, _ = asset_with_strip(0.4, False)
    write_obj(asset, tmp_path)
    vertices, uvs, objects = read_obj(tmp_path / "face.obj")
    cage = asset.part("lashes")
    faces = objects["lashes"]
    assert len(faces) == 4 * len(cage.quads)
    used = np.unique([v for face in faces for v, _ in face])
    edges = {frozenset((face[i], face[(i + 1) % 4])) for face in cage.quads.tolist() for i in range(4)}
    assert len(used) == len(cage.vertices) + len(edges) + len(cage.quads)
    assert (vertices[used].min(axis=0) >= cage.vertices.min(axis=0) - 1e-6).all()
    assert (vertices[used].max(axis=0) <= cage.vertices.max(axis=0) + 1e-6).all()
    # The strip's texture coordinates are its row and column: after the split they lie between those of the cage.
    np.testing.assert_allclose(
        uvs[[t for face in faces for _, t in face]].mean(axis=0), cage.uv.mean(axis=0), atol=0.02
    )


def materials_of(path: Path) -> dict[str, list[str]]:
    """The statements of each material of a ``.mtl`` file."""
    materials: dict[str, list[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("newmtl "):
            statements = materials[line.split()[1]] = []
        else:
            statements.append(line)
    return materials


def test_skin_with_relief_names_its_normal_map_and_no_other_part_does(
    hand_made_asset: FaceAsset, tmp_path: Path
) -> None:
    write_obj(replace(hand_made_asset, detail=waves()), tmp_path)
    materials = materials_of(tmp_path / "face.mtl")
    assert {"norm normal.png", "map_Bump normal.png"} <= set(materials.pop("head"))
    assert len(materials) == len(PART_NAMES) - 1
    assert not any("normal.png" in statement for statements in materials.values() for statement in statements)


def test_skin_without_relief_names_no_normal_map(hand_made_asset: FaceAsset, tmp_path: Path) -> None:
    write_obj(hand_made_asset, tmp_path)
    assert "map_Kd albedo.png" in materials_of(tmp_path / "face.mtl")["head"]
    assert "normal.png" not in (tmp_path / "face.mtl").read_text("utf-8")


@pytest.mark.blender
def test_blender_shows_the_normal_map_of_the_skin(hand_made_asset: FaceAsset, tmp_path: Path) -> None:
    bpy = pytest.importorskip("bpy")
    asset = replace(hand_made_asset, detail=waves())
    write_obj(asset, tmp_path)
    for name in ("albedo.png", "normal.png"):
        Image.fromarray(asset.albedo).save(tmp_path / name)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.obj_import(filepath=str(tmp_path / "face.obj"))
    for name, expected in (("head", True), ("tongue", False)):
        nodes = bpy.data.materials[name].node_tree.nodes
        shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
        assert shader.inputs["Normal"].is_linked == expected
    relief = bpy.data.materials["head"].node_tree.nodes
    normal_map = next(node for node in relief if node.type == "NORMAL_MAP")
    assert normal_map.inputs["Color"].links[0].from_node.image.name == "normal.png"
