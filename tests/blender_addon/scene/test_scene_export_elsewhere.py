"""Exported files elsewhere: in three.js, beside the backend's own file, with what is written beside them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blender_addon.shared.names import ARKIT_NAMES, EYE_PART_NAMES
from head_message import made_up_asset
from scene_helpers import coordinates, image_pixels, import_head, points_of
from test_scene_export import COARSE, imported

from blender_addon.errors import AddonError
from blender_addon.export.presets import BY_NAME
from blender_addon.export.write import ExportSettings, export_head, export_strands
from blender_addon.objects import tags
from blender_addon.objects.meshes import search_tree
from blender_addon.protocol.result import HeadResult
from blender_addon.scene import materials
from blender_addon.scene.hair import set_inputs

TESTS = Path(__file__).parents[2]
FACE_GLB_METRES = 1e-5


def gltf_header(path: Path) -> dict:
    """The JSON of a .glb file."""
    data = path.read_bytes()
    return json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])


def in_three(path: Path, picture: Path, weights: Mapping[str, float]) -> dict[str, dict]:
    """What three.js has loaded of a file, by mesh; its picture is written. Skips without Chromium or three.js."""
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    if shutil.which("node") is None or not Path(chromium).exists():
        pytest.skip("needs Node and Chromium")
    if not all((TESTS.parent / "node_modules" / name).is_dir() for name in ("three", "playwright-core")):
        pytest.skip("needs three.js: npm ci")
    command = ["node", str(TESTS / "three_view.mjs"), str(path), str(picture), json.dumps(weights)]
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)
    assert "error" not in done, done
    return {name.removeprefix("Likeness_"): mesh for name, mesh in done["meshes"].items()}


def test_threejs_shows_the_head_and_moves_its_keys(bpy, result: HeadResult, tmp_path: Path) -> None:
    path = tmp_path / "head.glb"
    export_head(bpy.context, import_head(result, bpy.context), BY_NAME["GLTF"], path)
    shots = []
    for name, weights in (("rest", {}), ("open", {"jawOpen": 1.0})):
        meshes = in_three(path, tmp_path / f"{name}.png", weights)
        shots.append(image_pixels(bpy.data.images.load(str(tmp_path / f"{name}.png")))[::-1, :, :3])
    head, cornea, eye = meshes["head"], meshes["cornea_left"], meshes["eye_left"]
    assert head["keys"] == 52 and head["bones"] == 8 and head["map"] and head["normalMap"] and head["roughnessMap"]
    assert cornea["transmission"] == 1 and cornea["ior"] == pytest.approx(1.376) and cornea["opacity"] < 0.2
    assert eye["clearcoat"] == 1 and meshes["hair"]["normalMap"] and meshes["lashes"]["map"]
    assert not any(mesh["emissive"] for mesh in meshes.values())
    moved = np.abs(shots[1] - shots[0]).mean(axis=-1)
    assert moved[300:450, 150:360].mean() > 0.02 > 0.002 > moved[60:180, 200:310].mean()  # the chin, not the forehead
    eye_rows = shots[0][210:250, 180:240]
    assert eye_rows.max() - eye_rows.min() > 0.4  # dark pupils or bright balls, not one white mask


def in_godot(path: Path, project: Path) -> dict:
    """What Godot's importer has made of a file. Skips without Godot 4, which ``GODOT`` names."""
    godot = os.environ.get("GODOT") or shutil.which("godot")
    if godot is None:
        pytest.skip("needs Godot 4")
    project.mkdir()
    (project / "project.godot").write_text("config_version=5\n")
    shutil.copy2(path, project / "head.glb")
    shutil.copy2(TESTS / "godot_view.gd", project)
    run = {"capture_output": True, "text": True, "timeout": 300}
    subprocess.run([godot, "--headless", "--path", str(project), "--import"], check=True, **run)
    said = subprocess.run([godot, "--headless", "--path", str(project), "--script", "godot_view.gd"], **run).stdout
    return json.loads(next(line for line in said.splitlines() if line.startswith("FOUND ")).removeprefix("FOUND "))


def test_godot_imports_the_head_with_keys_bones_and_surfaces(bpy, result: HeadResult, tmp_path: Path) -> None:
    path = tmp_path / "head.glb"
    collection = import_head(result, bpy.context)
    key = tags.part_object(collection, "head").data.shape_keys.key_blocks["jawOpen"]
    for frame in (1, 4):
        key.value = frame / 4
        key.keyframe_insert("value", frame=frame)
    bpy.context.scene.frame_end = 4
    jaw = tags.part_object(collection, "head").data.shape_keys.key_blocks["jawOpen"]
    offsets = coordinates(jaw.points) - coordinates(jaw.relative_key.points)
    export_head(bpy.context, collection, BY_NAME["GLTF"], path)
    found = in_godot(path, tmp_path / "project")
    meshes = {name.removeprefix("Likeness_"): mesh for name, mesh in found["meshes"].items()}
    assert found["bones"] == 8 and len(found["animations"]) == 1 and all(one["skinned"] for one in meshes.values())
    head = meshes["head"]
    assert set(head["keys"]) == set(ARKIT_NAMES) and head["map"] and head["normal"] and head["roughness"]
    assert head["jaw_moves"] == pytest.approx(np.linalg.norm(offsets, axis=1).max(), rel=0.1)  # subdivision smooths
    assert (
        meshes["cornea_left"]["transparent"] and meshes["lashes"]["transparent"] and not meshes["head"]["transparent"]
    )
    assert meshes["hair"]["map"] and meshes["hair"]["normal"] and not any(one["glows"] for one in meshes.values())


def test_the_button_and_the_terminal_write_the_same_head(bpy, result: HeadResult, tmp_path: Path) -> None:
    """Neutral vertices and keys of every part, of the mesh before any subdivision."""
    write_glb = pytest.importorskip("backend.exchange.gltf", exc_type=ImportError).write_glb
    shapes = []
    write_glb(made_up_asset()[0], tmp_path / "face.glb")
    collection = import_head(result, bpy.context)
    export_head(bpy.context, collection, replace(COARSE["GLTF"], skeleton=False), tmp_path / "head.glb")
    for name in ("face.glb", "head.glb"):
        found = {}
        for part, obj in imported(bpy, tmp_path / name).items():
            matrix = np.array(obj.matrix_world)
            blocks = obj.data.shape_keys.key_blocks if obj.data.shape_keys else ()
            for key in ("Basis", *sorted(ARKIT_NAMES)):
                if key in blocks or key == "Basis":
                    points = coordinates(blocks[key].points if blocks else obj.data.vertices)
                    found[part, key] = points @ matrix[:3, :3].T + matrix[:3, 3]
        shapes.append(found)
    terminal, button = shapes
    assert terminal.keys() <= button.keys() and len(terminal) > 150
    assert {part for part, _ in button.keys() - terminal.keys()} <= {"hair"}, "cards of strands follow the skin's keys"
    worst = {}
    for key, points in terminal.items():
        tree = search_tree(button[key])
        worst[key] = max(tree.find(point)[2] for point in points)
    assert max(worst.values()) < FACE_GLB_METRES, max(worst, key=worst.get)


@pytest.mark.parametrize("name", ["UNREAL", "UNITY", "GLTF"])
def test_wrinkle_maps_and_settings_are_beside_the_file(bpy, result: HeadResult, tmp_path: Path, name: str) -> None:
    preset = COARSE[name]
    path = tmp_path / f"Anna{preset.suffix}"
    collection = import_head(result, bpy.context)
    export_head(bpy.context, collection, preset, path)
    text = (tmp_path / "Anna.txt").read_text("utf-8")
    for number, png in enumerate(result.detail.pictures):
        assert (tmp_path / f"Anna_wrinkles_{number + 1}.png").read_bytes() == png
    for one in result.detail.wrinkles:
        assert f"- {one.name}: Anna_wrinkles_{one.picture + 1}.png" in text and all(key in text for key in one.keys)
    assert f"{2 * result.detail.wrinkle_reach:.4g}" in text
    assert all(sentence in text for sentence in preset.advice) and (len(preset.advice) > 5) == (name != "GLTF")
    materials.strength_socket(
        materials.skin_material(tags.part_object(collection, "head")), materials.TYPICAL
    ).default_value = 1.0
    export_head(bpy.context, collection, preset, path)
    lined = image_pixels(bpy.data.images.load(str(tmp_path / "Anna_wrinkles_1.png")))[..., :3]
    own = image_pixels(materials.packed_image("own", result.detail.pictures[0]))[..., :3]
    assert -0.13 < (lined - own).min() < -0.02 and (lined - own).max() < 1e-3, "typical lines are in the file"


def test_webp_and_simple_eyes_by_choice(bpy, result: HeadResult, tmp_path: Path) -> None:
    collection = import_head(result, bpy.context)
    for name, choices in (("plain", {}), ("small", {"webp": True, "simple_eyes": True})):
        export_head(bpy.context, collection, COARSE["GLTF"], tmp_path / f"{name}.glb", ExportSettings(**choices))
    plain, small = (gltf_header(tmp_path / f"{name}.glb") for name in ("plain", "small"))
    assert {"KHR_materials_transmission", "KHR_materials_ior", "KHR_materials_clearcoat"} <= set(
        plain["extensionsUsed"]
    )
    clear = next(material for material in plain["materials"] if material["name"] == "cornea")
    assert clear["alphaMode"] == "BLEND" and clear["pbrMetallicRoughness"]["baseColorFactor"][3] < 0.2
    assert {image["mimeType"] for image in small["images"]} == {"image/webp"}
    names = {node["name"].removeprefix("Likeness_") for node in small["nodes"]}
    assert not names & set(EYE_PART_NAMES) and {"eye_left", "eye_right"} <= names


def strands_of(obj) -> np.ndarray:
    """(N, 3) world places of all points of a Curves object."""
    matrix = np.array(obj.matrix_world)
    return points_of(obj.data) @ matrix[:3, :3].T + matrix[:3, 3]


@pytest.mark.parametrize("hidden", [False, True])
def test_strands_come_back_from_alembic_as_a_render_has_them(bpy, result, tmp_path: Path, hidden: bool) -> None:
    collection = import_head(result, bpy.context)
    hair = tags.hair_object(collection)
    head = tags.part_object(collection, "head")
    head.data.shape_keys.key_blocks["browInnerUp"].value = 1.0
    head.modifiers["Subdivision"].levels = head.modifiers["Subdivision"].render_levels
    (modifier,) = (one for one in hair.modifiers if one.type == "NODES")
    set_inputs(modifier, {"viewport": 1.0, "density": 2e4}, {})
    hair.update_tag()
    wanted = strands_of(hair.evaluated_get(bpy.context.evaluated_depsgraph_get()))
    hair.hide_viewport = hidden
    export_strands(bpy.context, collection, tmp_path / "hair.abc")
    assert "likeness export" not in bpy.data.collections and hair.hide_viewport == hidden
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.alembic_import(filepath=str(tmp_path / "hair.abc"), as_background_job=False)
    (found,) = bpy.data.objects
    assert found.type == "CURVES" and len(found.data.curves) > 500
    np.testing.assert_allclose(strands_of(found), wanted, atol=1e-5)
    width = np.empty(len(found.data.points), np.float32)
    found.data.attributes["radius"].data.foreach_get("value", width)
    assert 0 < width.max() < 0.001


def test_strands_that_cannot_be_written_are_a_sentence(bpy, result, tmp_path: Path) -> None:
    collection = import_head(result, bpy.context)
    with pytest.raises(AddonError, match="could not be written"):
        export_strands(bpy.context, collection, tmp_path / "not there" / "hair.abc")
    bpy.data.objects.remove(tags.hair_object(collection))
    with pytest.raises(AddonError, match="no strands"):
        export_strands(bpy.context, collection, tmp_path / "hair.abc")
