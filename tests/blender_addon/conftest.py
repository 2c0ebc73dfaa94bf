"""Blender with the extension enabled."""

from __future__ import annotations

import gc
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from blender_addon.backend_process.folders import BackendFolder
from blender_addon.protocol.result import HeadResult, decode_result
from blender_addon.runner import Runner

if TYPE_CHECKING:
    from head_message import HeadMessage

FULL_HAIR = ("test_scene_hair", "test_scene_import", "test_scene_body_skin", "test_addon_export", "test_addon_features")
"""Tests that count hairs or measure time."""
BLENDER = importlib.util.find_spec("bpy") is not None
if BLENDER:
    import bpy

    sys.path += map(str, Path(bpy.utils.resource_path("LOCAL")).glob("python/lib/*/site-packages"))  # as in the program


class _WithoutBlender(pytest.Module):
    def collect(self) -> list:
        pytest.skip(f"{self.path.name} needs Blender")  # xdist reports two of one reason as one


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """A file that needs Blender, which is not here, is skipped by its name, so that CI runs it where Blender is."""
    return _WithoutBlender.from_parent(parent, path=module_path) if not BLENDER and needs_blender(module_path) else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests of files that need Blender."""
    if needs_blender(item.path):
        item.add_marker("blender")


@cache
def needs_blender(path: Path) -> bool:
    """Whether a test file names Blender's module."""
    return path.suffix == ".py" and re.search(r"\bbpy\b", path.read_text("utf-8")) is not None


sys.path[:0] = [str(Path(__file__).parent / "scene"), str(Path(__file__).parent)]


@pytest.fixture(autouse=True)
def _armatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``LIKENESS_TEST_ARMATURE`` in the environment every imported head has bones, as with the preference on."""
    if "LIKENESS_TEST_ARMATURE" in os.environ:
        from blender_addon.scene import importing

        *others, last = importing.import_steps.__defaults__
        assert last is False
        monkeypatch.setattr(importing.import_steps, "__defaults__", (*others, True))


@pytest.fixture
def only_new_garbage() -> Iterator[None]:
    """Python looks for garbage only among what the test makes, because its pauses count in a time that is measured.

    Objects of pytest and of the libraries that other tests have loaded make a pause 0.14 s long.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's configuration folder."""
    monkeypatch.setenv("LIKENESS_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def runner(config: Path) -> Iterator[Runner]:
    made = Runner("test 1", config)
    yield made
    made.stop(wait=True)


@pytest.fixture
def own(tmp_path: Path) -> BackendFolder:
    return BackendFolder(tmp_path / "own")


@pytest.fixture
def bpy(own: BackendFolder, config: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Blender with the extension enabled, whose own folder is ``own``, on a machine that may be busy."""
    bpy = pytest.importorskip("bpy")
    import addon_utils

    from blender_addon import installer
    from blender_addon.backend_process import folders

    monkeypatch.setattr(folders, "DRAWING_SECONDS", 10.0)
    monkeypatch.setenv("BLENDER_USER_DATAFILES", str(config.parent / "datafiles"))
    monkeypatch.setattr(installer, "own_folder", lambda: own)
    monkeypatch.setattr(installer, "cuda_card", lambda: False)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon_utils.enable("blender_addon", default_set=True)
    yield bpy
    addon_utils.disable("blender_addon", default_set=True)


@pytest.fixture(scope="session")
def message() -> HeadMessage:
    """A head as it comes from the backend."""
    from head_message import load_or_make

    return load_or_make()


@pytest.fixture(scope="module")
def result(message: HeadMessage, request: pytest.FixtureRequest) -> HeadResult:
    """The same, taken apart, with a tenth of the hairs, all of which Blender draws again after a change of a key; where
    hairs are counted or time is measured with all."""
    result = decode_result(message.header, message.buffers)
    sparse = {**result.hair.chain, "density": 0.1 * result.hair.chain["density"]}
    return result if request.path.stem in FULL_HAIR else replace(result, hair=replace(result.hair, chain=sparse))


@pytest.fixture
def backend(
    message: HeadMessage, result: HeadResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[object]:
    """``instant_backend.Backend`` with ``result``, and the extension enabled."""
    from instant_backend import enabled_backend

    yield from enabled_backend(message, result, tmp_path, monkeypatch)


@pytest.fixture
def collection(backend: object, result: HeadResult) -> object:
    """A head in the scene, with the extension enabled: its collection."""
    import bpy
    from scene_helpers import import_head

    return import_head(result, bpy.context)


@pytest.fixture
def head(collection: object) -> object:
    """That head's mesh."""
    from blender_addon.objects import tags

    return tags.part_object(collection, "head")


@pytest.fixture
def folder(backend: object, tmp_path: Path) -> Path:
    """Where heads that wait are kept, with the extension enabled."""
    return tmp_path / "datafiles" / "likeness" / "waiting_heads"
