"""face.glb: what other programs read out of it."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pygltflib
import pytest
from gltf_validator import validated
from hand_made import waves
from PIL import Image

from backend.exchange.asset_mesh import split_at_seams
from backend.exchange.face_asset import FaceAsset
from backend.exchange.gltf import ROOT_NODE, glb_bytes, vertex_tangents, write_glb
from backend.hair.draw import hair_cards
from protocol.names import ARKIT_NAMES, PART_NAMES


@pytest.fixture
def glb(hand_made_asset: FaceAsset, tmp_path: Path) -> Path:
    path = tmp_path / "face.glb"
    write_glb(hand_made_asset, path)
    return path


def accessor_values(gltf: pygltflib.GLTF2, index: int) -> np.ndarray:
    """An accessor's values as the glTF specification defines them, sparse ones filled in."""
    accessor = gltf.accessors[index]
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor.type]
    kinds = {pygltflib.FLOAT: "<f4", pygltflib.UNSIGNED_SHORT: "<u2", pygltflib.UNSIGNED_INT: "<u4"}

    def read(view_index: int, kind: int, count: int) -> np.ndarray:
        view = gltf.bufferViews[view_index]
        return np.frombuffer(gltf.binary_blob(), kinds[kind], count, view.byteOffset)

    values = np.zeros((accessor.count, width), kinds[accessor.componentType])
    if accessor.bufferView is not None:
        values = read(accessor.bufferView, accessor.componentType, accessor.count * width).reshape(-1, width).copy()
    if accessor.sparse is not None:
        sparse = accessor.sparse
        rows = read(sparse.indices.bufferView, sparse.indices.componentType, sparse.count)
        assert (np.diff(rows.astype(int)) > 0).all()
        values[rows] = read(sparse.values.bufferView, pygltflib.FLOAT, sparse.count * width).reshape(-1, width)
    return values


def mesh_of(gltf: pygltflib.GLTF2, name: str) -> pygltflib.Mesh:
    return gltf.meshes[next(node.mesh for node in gltf.nodes if node.name == name)]


def test_one_named_node_per_part_under_one_root(glb: Path) -> None:
    gltf = pygltflib.GLTF2().load(str(glb))
    (root,) = gltf.scenes[0].nodes
    assert gltf.nodes[root].name == ROOT_NODE
    assert tuple(gltf.nodes[child].name for child in gltf.nodes[root].children) == PART_NAMES


def test_each_mesh_has_exactly_the_targets_that_move_it(glb: Path, hand_made_asset: FaceAsset) -> None:
    gltf = pygltflib.GLTF2().load(str(glb))
    assert tuple(mesh_of(gltf, "head").extras["targetNames"]) == ARKIT_NAMES
    for part in hand_made_asset.parts:
        mesh = mesh_of(gltf, part.name)
        names = mesh.extras.get("targetNames", [])
        assert sorted(names) == sorted(part.keys)
        assert len(mesh.primitives[0].targets or []) == len(names)
        assert (mesh.weights or []) == [0.0] * len(names)


def test_positions_and_offsets_survive(glb: Path, hand_made_asset: FaceAsset) -> None:
    gltf = pygltflib.GLTF2().load(str(glb))
    for part in hand_made_asset.parts:
        mesh = mesh_of(gltf, part.name)
        primitive = mesh.primitives[0]
        positions = accessor_values(gltf, primitive.attributes.POSITION)
        distance = np.linalg.norm(positions[:, None] - part.vertices[None], axis=-1)
        source = distance.argmin(axis=1)
        assert distance.min(axis=1).max() < 1e-7
        assert set(source) == set(range(len(part.vertices)))
        for name, target in zip(mesh.extras.get("targetNames", []), primitive.targets or [], strict=True):
            offsets = accessor_values(gltf, target["POSITION"])
            np.testing.assert_allclose(offsets, part.keys[name][source], atol=1e-7)


def test_normals_are_unit_length_and_point_outwards(glb: Path) -> None:
    gltf = pygltflib.GLTF2().load(str(glb))
    primitive = mesh_of(gltf, "head").primitives[0]
    normals = accessor_values(gltf, primitive.attributes.NORMAL)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    positions = accessor_values(gltf, primitive.attributes.POSITION)  # a sphere about the origin
    assert ((normals * positions).sum(axis=1) > 0.9 * np.linalg.norm(positions, axis=1)).all()
    triangles = accessor_values(gltf, primitive.indices).reshape(-1, 3)
    a, b, c = (positions[triangles[:, i]] for i in range(3))
    assert ((np.cross(b - a, c - a) * (a + b + c)).sum(axis=1) > 0).all()


def test_a_normal_offset_leads_to_the_moved_surface(glb: Path, hand_made_asset: FaceAsset) -> None:
    """Reference: normals of the moved faces, summed vertex by vertex."""
    gltf = pygltflib.GLTF2().load(str(glb))
    mesh = mesh_of(gltf, "tongue")
    primitive = mesh.primitives[0]
    number = mesh.extras["targetNames"].index("tongueOut")
    normals = accessor_values(gltf, primitive.attributes.NORMAL)
    normals = normals + accessor_values(gltf, primitive.targets[number]["NORMAL"])
    part = hand_made_asset.part("tongue")
    moved = part.vertices + part.keys["tongueOut"]
    expected = np.zeros((len(moved), 3))
    for quad in part.quads:
        for corners in ((0, 1, 2), (0, 2, 3)):
            a, b, c = moved[quad[list(corners)]].astype(float)
            for corner in corners:
                expected[quad[corner]] += np.cross(b - a, c - a)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    positions = accessor_values(gltf, primitive.attributes.POSITION)
    source = np.linalg.norm(positions[:, None] - part.vertices[None], axis=-1).argmin(axis=1)
    np.testing.assert_allclose(normals, expected[source], atol=4e-3)


def test_a_coloured_texel_ends_up_at_its_vertex(hand_made_asset: FaceAsset, tmp_path: Path) -> None:
    """Paint a mark around one vertex's UV coordinates (v up) and find it where glTF (v down) says that vertex looks."""
    part = hand_made_asset.part("head")
    face = len(part.quads) // 3
    vertex, texel = part.quads[face, 0], part.uv_quads[face, 0]
    u, v = part.uv[texel]
    size = 512
    albedo = np.full((size, size, 3), 128, np.uint8)
    row, column = int((1 - v) * size), int(u * size)
    albedo[row - 6 : row + 7, column - 6 : column + 7] = [255, 0, 0]
    path = tmp_path / "mark.glb"
    write_glb(replace(hand_made_asset, albedo=albedo), path)
    gltf = pygltflib.GLTF2().load(str(path))
    primitive = mesh_of(gltf, "head").primitives[0]
    view = gltf.bufferViews[gltf.images[0].bufferView]
    encoded = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    picture = np.asarray(Image.open(io.BytesIO(encoded)))
    positions = accessor_values(gltf, primitive.attributes.POSITION)
    uv = accessor_values(gltf, primitive.attributes.TEXCOORD_0)
    seen = picture[(uv[:, 1] * size).astype(int).clip(0, size - 1), (uv[:, 0] * size).astype(int).clip(0, size - 1)]
    red = (seen[:, 0] > 200) & (seen[:, 1] < 60)
    assert red.any()
    assert np.linalg.norm(positions[red] - part.vertices[vertex], axis=1).max() < 1e-6


def test_both_uv_maps_of_every_corner_survive(glb: Path, hand_made_asset: FaceAsset) -> None:
    gltf = pygltflib.GLTF2().load(str(glb))
    for part in hand_made_asset.parts:
        primitive = mesh_of(gltf, part.name).primitives[0]
        rows = np.hstack(
            [
                accessor_values(gltf, primitive.attributes.POSITION),
                accessor_values(gltf, primitive.attributes.TEXCOORD_0),
                accessor_values(gltf, primitive.attributes.TEXCOORD_1),
            ]
        )
        quads, uv_quads, other = (a.ravel() for a in (part.quads, part.uv_quads, part.uv_makehuman_quads))
        corners = np.hstack([part.vertices[quads], part.uv[uv_quads], part.uv_makehuman[other]])
        corners[:, [4, 6]] = 1 - corners[:, [4, 6]]
        assert {tuple(r) for r in rows.round(5).tolist()} == {tuple(r) for r in corners.round(5).tolist()}


def test_keys_that_move_little_are_stored_sparsely(hand_made_asset: FaceAsset) -> None:
    head = hand_made_asset.parts[0]
    everywhere = {name: np.full_like(head.vertices, 0.001) for name in head.keys}
    nowhere = {name: np.zeros_like(head.vertices) for name in head.keys}
    sizes = [
        len(glb_bytes(replace(hand_made_asset, parts=(replace(head, keys=keys), *hand_made_asset.parts[1:]))))
        for keys in (everywhere, nowhere)
    ]
    assert sizes[0] - sizes[1] > 0.8 * 52 * 12 * len(head.vertices)


def test_trimesh_reads_it(glb: Path, hand_made_asset: FaceAsset) -> None:
    trimesh = pytest.importorskip("trimesh")
    scene = trimesh.load(str(glb))
    assert set(scene.geometry) == set(PART_NAMES)
    head = scene.geometry["head"]
    np.testing.assert_allclose(head.bounds[1], hand_made_asset.parts[0].vertices.max(axis=0), atol=1e-6)
    assert head.visual.material.baseColorTexture.size == (64, 64)


def picture_in(gltf: pygltflib.GLTF2, texture: int) -> np.ndarray:
    view = gltf.bufferViews[gltf.images[gltf.textures[texture].source].bufferView]
    return np.asarray(Image.open(io.BytesIO(gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength])))


def test_skin_looks_up_the_roughness_of_its_vertices(hand_made_asset: FaceAsset, tmp_path: Path) -> None:
    """Rough at the top, smooth below: read where glTF says that each vertex looks."""
    heights = hand_made_asset.parts[0].vertices[:, 1]
    rough = (0.45 + 1.5 * heights).astype(np.float32)  # 0.3 to 0.6
    write_glb(replace(hand_made_asset, skin_roughness=rough), tmp_path / "rough.glb")
    gltf = pygltflib.GLTF2().load(str(tmp_path / "rough.glb"))
    material = next(material for material in gltf.materials if material.name == "skin").pbrMetallicRoughness
    assert material.roughnessFactor == 1.0 and material.metallicRoughnessTexture.texCoord == 0
    picture = picture_in(gltf, material.metallicRoughnessTexture.index)
    assert picture.shape == (256, 256, 3) and (picture[..., 2] == 0).all()  # no metal
    attributes = mesh_of(gltf, "head").primitives[0].attributes
    positions, uv = (accessor_values(gltf, index) for index in (attributes.POSITION, attributes.TEXCOORD_0))
    column, row = (256 * uv).astype(int).clip(0, 255).T
    np.testing.assert_allclose(picture[row, column, 1] / 255, 0.45 + 1.5 * positions[:, 1], atol=0.02)
    others = [m.pbrMetallicRoughness for m in gltf.materials if m.name != "skin"]
    assert others and all(other.metallicRoughnessTexture is None for other in others)
    issues = validated(tmp_path / "rough.glb")["issues"]["messages"]
    assert [issue for issue in issues if not issue["pointer"].endswith("TEXCOORD_1")] == []


def test_the_khronos_validator_finds_nothing(glb: Path) -> None:
    report = validated(glb)
    issues = [m for m in report["issues"]["messages"] if not m["pointer"].endswith("TEXCOORD_1")]
    assert report["info"]["hasMorphTargets"]
    assert issues == []  # that the material leaves the second UV map alone is meant


def test_tangents_run_along_growing_u(hand_made_asset: FaceAsset) -> None:
    """On a sphere, whose u runs round it from the back over its right side: eastwards."""
    part = hand_made_asset.parts[0]
    mesh = split_at_seams(part)
    positions = part.vertices[mesh.source]
    normals = (positions / np.linalg.norm(positions, axis=1, keepdims=True)).astype(np.float32)
    tangents = vertex_tangents(positions, normals, mesh.uv, mesh.triangles)
    np.testing.assert_allclose(np.linalg.norm(tangents[:, :3], axis=1), 1, atol=1e-6)
    assert np.abs((tangents[:, :3] * normals).sum(1)).max() < 1e-6
    away = np.abs(normals[:, 1]) < 0.9  # from the poles, where there is no east
    east = np.cross([0.0, 1.0, 0.0], normals[away])
    east /= np.linalg.norm(east, axis=1, keepdims=True)
    assert ((tangents[away, :3] * east).sum(1) > 0.97).all()
    up = np.cross(normals[away], tangents[away, :3]) * tangents[away, 3:]
    assert (up[:, 1] > 0).all()  # v grows to the north


def test_a_mirrored_map_turns_the_sign() -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    normals, triangles = np.tile([0, 0, 1], (4, 1)).astype(np.float32), np.array([[0, 1, 2], [0, 2, 3]])
    plain = vertex_tangents(square, normals, square[:, :2], triangles)
    np.testing.assert_allclose(plain, np.tile([1, 0, 0, 1], (4, 1)), atol=1e-7)
    mirrored = vertex_tangents(square, normals, square[:, :2] * [-1, 1], triangles)
    np.testing.assert_allclose(mirrored, np.tile([-1, 0, 0, -1], (4, 1)), atol=1e-7)


def test_a_map_without_area_has_some_tangent() -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]], np.float32)
    normals = np.tile([0, 0, 1], (3, 1)).astype(np.float32)
    tangents = vertex_tangents(square, normals, np.zeros((3, 2), np.float32), np.array([[0, 1, 2]]))
    np.testing.assert_allclose(np.linalg.norm(tangents[:, :3], axis=1), 1, atol=1e-6)
    assert np.abs(tangents[:, 2]).max() < 1e-6


def test_the_validator_finds_tangents_under_every_normal_map(hand_made_asset: FaceAsset, tmp_path: Path) -> None:
    dressed = replace(hand_made_asset, detail=waves(), hair_cards=hair_cards(hand_made_asset.hair_strands))
    write_glb(dressed, tmp_path / "face.glb")
    report = validated(tmp_path / "face.glb")
    assert [m["code"] for m in report["issues"]["messages"] if m["severity"] < 2] == []
