"""Hair in files: cards in face.glb and face.obj, guides in hair.json."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pygltflib
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "hair"))
from made_strands import made_strands

from backend.exchange.asset_mesh import asset_mesh
from backend.exchange.folder import hair_picture, write_hair, write_obj
from backend.exchange.gltf import write_glb
from backend.hair.draw import hair_cards
from backend.hair.hair_strands import FACIAL_GUIDES
from protocol.hair_cards import ATLAS_SIDE
from protocol.message import CARD_LEVELS


def test_glb_has_the_cards_as_a_part_of_their_own(hand_made_asset, tmp_path: Path) -> None:
    strands = made_strands()
    asset = replace(hand_made_asset, hair_strands=strands, hair_cards=hair_cards(strands))
    write_glb(asset, tmp_path / "face.glb")
    gltf = pygltflib.GLTF2().load(str(tmp_path / "face.glb"))
    node = next(node for node in gltf.nodes if node.name == "hair")
    primitive = gltf.meshes[node.mesh].primitives[0]
    material = gltf.materials[primitive.material]
    assert (material.alphaMode, material.doubleSided) == ("MASK", True)
    assert gltf.accessors[primitive.indices].count == 3 * len(asset.hair_cards.triangles)
    image = gltf.images[gltf.textures[material.pbrMetallicRoughness.baseColorTexture.index].source]
    view = gltf.bufferViews[image.bufferView]
    data = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    assert Image.open(io.BytesIO(data)).mode == "RGBA"
    picture = gltf.images[gltf.textures[material.extras["strandMap"]].source]
    assert picture.name == "hair_strand_map" and "MSFT_lod" in gltf.extensionsUsed
    lower = [gltf.nodes[number] for number in node.extensions["MSFT_lod"]["ids"]]
    assert [one.name for one in lower] == ["hair_lod1", "hair_lod2"]
    of_scene = gltf.nodes[gltf.scenes[0].nodes[0]].children
    for one, most in zip(lower, CARD_LEVELS[1:], strict=True):
        shown = gltf.meshes[one.mesh].primitives[0]
        assert gltf.accessors[shown.indices].count <= 3 * most and shown.material == primitive.material
        assert gltf.nodes.index(one) not in of_scene, "programs without MSFT_lod would draw all levels at once"
    write_glb(replace(asset, hair_cards=None), tmp_path / "bare.glb")
    assert all(node.name != "hair" for node in pygltflib.GLTF2().load(str(tmp_path / "bare.glb")).nodes)


def test_cards_of_a_beard_follow_the_keys_of_the_skin_below(hand_made_asset, tmp_path: Path) -> None:
    strands, head = made_strands(), hand_made_asset.parts[0]
    key = max(head.keys, key=lambda name: np.abs(head.keys[name]).max())
    vertex = int(np.linalg.norm(head.keys[key], axis=1).argmax())
    points = strands.points - strands.points[:, :1] + head.vertices[vertex]
    bearded = replace(strands, points=points, parameters={**strands.parameters, FACIAL_GUIDES: 1.0 * len(points)})
    for hair, named in ((replace(bearded, parameters={}), False), (bearded, True)):
        asset = replace(hand_made_asset, hair_strands=hair, hair_cards=hair_cards(hair))
        write_glb(asset, tmp_path / "face.glb")
        gltf = pygltflib.GLTF2().load(str(tmp_path / "face.glb"))
        mesh = gltf.meshes[next(node for node in gltf.nodes if node.name == "hair").mesh]
        assert (key in mesh.extras.get("targetNames", [])) == named
    target = mesh.primitives[0].targets[mesh.extras["targetNames"].index(key)]
    moved = gltf.accessors[target["POSITION"] if isinstance(target, dict) else target.POSITION]
    np.testing.assert_allclose(np.abs([moved.min, moved.max]).max(0), np.abs(head.keys[key][vertex]), atol=1e-5)


def test_hair_json_holds_the_guides_and_nothing_without_hair(tmp_path: Path) -> None:
    strands = made_strands()
    write_hair(strands, tmp_path / "hair.json")
    content = json.loads((tmp_path / "hair.json").read_text())
    assert content["style"] == "bob" and content["unit"] == "metre"
    points = np.array([guide["points"] for guide in content["guides"]])
    np.testing.assert_allclose(points, strands.points, atol=1e-5)
    write_hair(None, tmp_path / "hair.json")
    assert json.loads((tmp_path / "hair.json").read_text())["guides"] == []
    assert hair_picture(None).shape == (1, 1, 4) and hair_picture(hair_cards(strands)).shape[1] == ATLAS_SIDE


def test_obj_has_the_cards_with_their_own_picture(hand_made_asset, tmp_path: Path) -> None:
    strands = made_strands()
    write_obj(replace(hand_made_asset, hair_cards=hair_cards(strands)), tmp_path)
    lines = (tmp_path / "face.obj").read_text().splitlines()
    start = lines.index("o hair")
    vertices = sum(line.startswith("v ") for line in lines)
    corners = [
        int(corner.split("/")[0]) for line in lines[start:] if line.startswith("f ") for corner in line.split()[1:]
    ]
    assert max(corners) == vertices and min(corners) == sum(line.startswith("v ") for line in lines[:start]) + 1
    assert "map_Kd hair.png" in (tmp_path / "face.mtl").read_text()
    write_obj(hand_made_asset, tmp_path)
    assert "hair" not in (tmp_path / "face.mtl").read_text()


def test_the_preview_moves_a_beard_with_the_skin_below_it(hand_made_asset) -> None:
    strands = made_strands()
    bearded = replace(strands, parameters={**strands.parameters, FACIAL_GUIDES: 3.0})
    mesh = asset_mesh(replace(hand_made_asset, hair_strands=bearded))
    rest = mesh.positions()
    posed = mesh.posed_hair(rest + np.float32([0.0, -0.02, 0.01])).points
    moved, facial = posed - mesh.hair.points, mesh.hair.facial
    assert 0 < facial.sum() < 0.1 * len(facial)
    np.testing.assert_allclose(moved[facial] - [0.0, -0.02, 0.01], 0.0, atol=1e-6)
    np.testing.assert_array_equal(moved[~facial], 0.0)
