"""Blender with the extension enabled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from blender_addon.backend_process.folders import BackendFolder


@pytest.fixture
def own(tmp_path: Path) -> BackendFolder:
    return BackendFolder(tmp_path / "own")


@pytest.fixture
def bpy(own: BackendFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Blender with the extension enabled, whose own folder is ``own``, on a machine that may be busy."""
    bpy = pytest.importorskip("bpy")
    import addon_utils

    from blender_addon import installer
    from blender_addon.backend_process import looks

    monkeypatch.setattr(looks, "DRAWING_SECONDS", 10.0)
    monkeypatch.setenv("LIKENESS_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setattr(installer, "own_folder", lambda: own)
    monkeypatch.setattr(installer, "cuda_card", lambda: False)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon_utils.enable("blender_addon", default_set=True)
    yield bpy
    addon_utils.disable("blender_addon", default_set=True)
