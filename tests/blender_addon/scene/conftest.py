"""Fixtures of the tests of the scene: a result message, an empty Blender file, an imported head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from head_message import HeadMessage

from blender_addon.protocol.result import HeadResult


@pytest.fixture
def bpy():
    """Blender with an empty file."""
    bpy = pytest.importorskip("bpy")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy


@pytest.fixture
def photo_files(message: HeadMessage) -> Sequence:
    """The photos that were submitted, one of them not used."""
    from blender_addon.client.submissions import PhotoFile

    return [PhotoFile(name, None, data) for name, data in message.photos.items()]


@pytest.fixture(scope="module")
def saved_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the file's first imported head is saved: opening it takes a third of importing."""
    return tmp_path_factory.mktemp("saved") / "head.blend"


@pytest.fixture
def collection(bpy, result: HeadResult, photo_files: Sequence, saved_head: Path):
    """A head in the scene: its collection."""
    from scene_helpers import import_head

    from blender_addon.objects import tags

    if saved_head.is_file():
        bpy.ops.wm.open_mainfile(filepath=str(saved_head))
        return tags.head_collections()[0]
    head = import_head(result, bpy.context, photo_files)
    bpy.ops.wm.save_as_mainfile(filepath=str(saved_head), copy=True)
    return head
