"""Fixtures of the tests of the scene: a result message, an empty Blender file, an imported head."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from head_message import HeadMessage, load_or_make

from blender_addon.protocol.result import HeadResult, decode_result


@pytest.fixture(scope="session")
def message() -> HeadMessage:
    """A result with the template's face, as it comes over the wire."""
    return load_or_make()


@pytest.fixture(scope="session")
def result(message: HeadMessage) -> HeadResult:
    """The same, taken apart."""
    return decode_result(message.header, message.buffers)


@pytest.fixture
def bpy():
    """Blender with an empty file."""
    bpy = pytest.importorskip("bpy")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy


@pytest.fixture
def photo_files(message: HeadMessage) -> Sequence:
    """The photos that were submitted, one of them not used."""
    from blender_addon.scene.cameras import PhotoFile

    return [PhotoFile(name, data) for name, data in message.photos.items()]


@pytest.fixture
def collection(bpy, result: HeadResult, photo_files: Sequence):
    """A head in the scene: its collection."""
    from blender_addon.scene.importing import import_head

    return import_head(result, bpy.context, photo_files)
