"""Fixtures of the tests of the scene: a result message, an empty Blender file, an imported head."""

from __future__ import annotations

from collections.abc import Sequence

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


@pytest.fixture
def collection(bpy, result: HeadResult, photo_files: Sequence):
    """A head in the scene: its collection."""
    from scene_helpers import import_head

    return import_head(result, bpy.context, photo_files)
