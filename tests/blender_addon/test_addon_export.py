"""The button that writes a head for another program."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock

import bpy
import numpy as np
import pytest
from blender_addon.shared.names import ARKIT_NAMES
from instant_backend import Backend
from scene_helpers import import_head

from blender_addon.export.presets import BY_NAME
from blender_addon.objects import tags
from blender_addon.objects.meshes import array_of
from blender_addon.operators.head import ExportHead
from blender_addon.protocol.result import HeadResult


def test_it_writes_the_kinds_suffix_and_cuts_no_name(backend: Backend, result: HeadResult, tmp_path: Path) -> None:
    import_head(result, bpy.context, name="Anna")
    assert bpy.ops.likeness.export(preset="GAME", filepath=str(tmp_path / "head.fbx")) == {"FINISHED"}
    assert b"Anna_head" in (tmp_path / "head.glb").read_bytes()
    assert all(len(one.name) < 9 for one in bpy.ops.likeness.export.get_rna_type().properties if one.type == "ENUM")


@pytest.mark.parametrize("preset, asked, bones", [("UNITY", {}, True), ("GAME", {"skeleton": False}, False)])
def test_bones_are_in_the_file_where_they_are_wanted(
    backend: Backend, result: HeadResult, tmp_path: Path, preset: str, asked: dict, bones: bool
) -> None:
    import_head(result, bpy.context)
    bpy.ops.likeness.export(preset=preset, filepath=str(tmp_path / "head"), **asked)
    (path,) = (path for path in tmp_path.glob("head.*") if path.suffix != ".txt")
    assert (b"tongue.02" in path.read_bytes()) is bones


@pytest.mark.parametrize("preset", ["GLTF", "UNREAL", "USD"])
def test_a_default_head_leaves_with_its_hair_and_the_scene_stays(
    backend: Backend, result: HeadResult, tmp_path: Path, capfd: pytest.CaptureFixture, preset: str
) -> None:
    """Strands are the default, glTF and FBX have none: files were bald."""
    collection = import_head(result, bpy.context)
    hairs = tags.hair_object(collection).evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    shown = np.ptp(array_of(hairs.position_data, "vector", 3, np.float32), axis=0)
    kinds = ("objects", "meshes", "materials", "images", "actions", "hair_curves", "armatures")
    before = {kind: {one.name for one in getattr(bpy.data, kind)} for kind in kinds}
    asked = MagicMock(preset=preset)
    ExportHead.draw(asked, bpy.context)
    labels = " ".join(call.kwargs["text"] for call in asked.layout.mock_calls if call[0].endswith("label"))
    bpy.ops.likeness.export(preset=preset, filepath=str(tmp_path / "head"), hair_detail="4000")
    suffix, what = BY_NAME[preset].suffix, "hair and its strands" if preset == "USD" else "hair as cards"
    assert what in " ".join(labels.split()) and f"Wrote head{suffix} with {what}, lashes" in capfd.readouterr().out
    assert before == {kind: {one.name for one in getattr(bpy.data, kind)} for kind in kinds}
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    read = {".glb": bpy.ops.import_scene.gltf, ".fbx": bpy.ops.import_scene.fbx, ".usdc": bpy.ops.wm.usd_import}[suffix]
    read(filepath=str(tmp_path / f"head{suffix}"))
    meshes = [obj for obj in bpy.data.objects if obj.type == "MESH"]
    head = next(obj for obj in meshes if obj.name.endswith("_head"))
    keys = {obj.name: obj.data.shape_keys.key_blocks.keys()[1:] for obj in meshes if obj.data.shape_keys}
    assert len(keys) > 3 and {*ARKIT_NAMES} == {*keys[head.name]} == set().union(*keys.values()), "USD's were numbered"
    assert head.find_armature() is not None and head.vertex_groups
    pictures = {node.image for node in head.data.materials[0].node_tree.nodes if node.type == "TEX_IMAGE"}
    assert len(pictures) == 3 and all(image is not None and image.size[0] > 1 for image in pictures), "USD's were lost"
    if preset == "USD":
        hair = next(obj for obj in bpy.data.objects if obj.type == "CURVES" and "_hair" in obj.name)
        assert len(hair.data.curves) > 1000 and not hair.modifiers, "hairs, still: no frame holds them again"
        assert bpy.data.materials["cornea"].node_tree.nodes["Principled BSDF"].inputs[0].default_value[0] == 1.0
        points = array_of(hair.data.position_data, "vector", 3, np.float32)
        assert "tip_colour" in hair.data.materials[0].node_tree.nodes, "white: Blender reads curves without materials"
        albedo = 0.5 * (result.hair.root_colour + result.hair.tip_colour).mean(0)
        colours = array_of(hair.data.attributes["displayColor"].data, "color", 4, np.float32)[:, :3]
        np.testing.assert_allclose(colours.mean(0), albedo, rtol=0.1)
    else:
        hair = next(obj for obj in meshes if "_hair" in obj.name)
        points = array_of(hair.data.vertices, "co", 3, np.float32)
        assert 2400 < len(hair.data.polygons) <= 4000 and len(hair.data.materials[0].node_tree.nodes) > 3
    size = np.ptp(points @ np.array(hair.matrix_world.to_3x3()).T, axis=0)
    np.testing.assert_allclose(np.sort(size), np.sort(shown), rtol=0.15)


def test_a_folder_as_file_is_refused_with_a_sentence(backend: Backend, result: HeadResult, tmp_path: Path) -> None:
    import_head(result, bpy.context)
    with pytest.raises(RuntimeError, match="Choose a file"):
        bpy.ops.likeness.export(preset="UNITY", filepath=str(tmp_path))
