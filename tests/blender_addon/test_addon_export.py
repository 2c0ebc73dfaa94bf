"""The button that writes a head for another program."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock

import pytest

bpy = pytest.importorskip("bpy")
from instant_backend import Backend  # noqa: E402

from blender_addon.export.presets import BY_NAME  # noqa: E402
from blender_addon.objects import tags  # noqa: E402
from blender_addon.operators.head import BALD, ExportHead, left_bald  # noqa: E402
from blender_addon.protocol.result import HeadResult  # noqa: E402
from blender_addon.scene.importing import import_head  # noqa: E402

pytestmark = pytest.mark.blender


def test_without_a_head_it_is_grey_and_says_why(backend: Backend) -> None:
    with pytest.raises(RuntimeError, match="Select a head"):
        bpy.ops.likeness.export(preset="GAME", filepath="x.glb")


def test_it_writes_the_file_with_the_kinds_suffix(backend: Backend, result: HeadResult, tmp_path: Path) -> None:
    import_head(result, bpy.context, name="Anna")
    assert bpy.ops.likeness.export(preset="GAME", filepath=str(tmp_path / "head.fbx")) == {"FINISHED"}
    assert not (tmp_path / "head.fbx").exists()
    assert b"Anna_head" in (tmp_path / "head.glb").read_bytes()


@pytest.mark.parametrize(
    ("preset", "asked", "bones"), [("UNITY", {}, True), ("GAME", {}, True), ("GAME", {"skeleton": False}, False)]
)
def test_bones_are_in_the_file_where_they_are_wanted(
    backend: Backend, result: HeadResult, tmp_path: Path, preset: str, asked: dict, bones: bool
) -> None:
    import_head(result, bpy.context)
    bpy.ops.likeness.export(preset=preset, filepath=str(tmp_path / "head"), **asked)
    (path,) = (path for path in tmp_path.glob("head.*") if path.suffix != ".txt")
    assert (b"tongue.02" in path.read_bytes()) is bones


@pytest.mark.parametrize(("preset", "warned"), [("GLTF", True), ("UNITY", True), ("GAME", False), ("STRANDS", False)])
def test_a_file_without_the_heads_strands_says_so_and_how_to_get_hair(
    backend: Backend, result: HeadResult, tmp_path: Path, capfd: pytest.CaptureFixture, preset: str, warned: bool
) -> None:
    import_head(result, bpy.context)
    asked = MagicMock(preset=preset)
    ExportHead.draw(asked, bpy.context)
    labels = " ".join(call.kwargs["text"] for call in asked.layout.mock_calls if call[0].endswith("label"))
    bpy.ops.likeness.export(preset=preset, filepath=str(tmp_path / "head"))
    assert (f"Warning: Wrote head{BY_NAME[preset].suffix}. {BALD}" in capfd.readouterr().out) is warned
    assert (" ".join(labels.split()) == BALD) is warned and "Cards" in BALD


def test_cards_are_in_the_file_so_that_nothing_is_said(backend: Backend, result: HeadResult) -> None:
    collection = import_head(result, bpy.context)
    cards = bpy.data.objects.new("hair", bpy.data.meshes.new("hair"))
    collection.objects.link(cards)
    assert left_bald(collection, BY_NAME["GLTF"])
    cards[tags.HAIR] = "as made"
    assert not left_bald(collection, BY_NAME["GLTF"])


def test_a_folder_as_file_is_refused_with_a_sentence(backend: Backend, result: HeadResult, tmp_path: Path) -> None:
    import_head(result, bpy.context)
    with pytest.raises(RuntimeError, match="Choose a file"):
        bpy.ops.likeness.export(preset="UNITY", filepath=str(tmp_path))
