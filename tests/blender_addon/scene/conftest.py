"""Fixtures of the tests of the scene: a result message, an empty Blender file, an imported head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from head_message import HeadMessage

from blender_addon.protocol.result import HeadResult

FULL_HAIR = ("test_scene_hair", "test_scene_import", "test_scene_body_skin")
"""Tests that count hairs or measure time."""


@pytest.fixture(scope="module")
def result(result: HeadResult, request: pytest.FixtureRequest) -> HeadResult:
    """A head with a tenth of the hairs, all of which Blender draws again after a change of a key; else with all."""
    sparse = {**result.hair.chain, "density": 0.1 * result.hair.chain["density"]}
    return result if request.path.stem in FULL_HAIR else replace(result, hair=replace(result.hair, chain=sparse))


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
