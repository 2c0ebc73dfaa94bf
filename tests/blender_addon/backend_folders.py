"""Folders with something that counts as a backend, and what the preferences say of them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

from blender_addon.backend_process.folders import BackendFolder, Installed
from blender_addon.backend_process.install import Installation
from blender_addon.identity import version


def entered(path: Path) -> BackendFolder:
    return BackendFolder(path, str(path))


def fill(folder: BackendFolder, of_version: str = "") -> BackendFolder:
    """Something that counts as installed."""
    for path in (folder.python, folder.source / "backend" / "__init__.py"):
        path.parent.mkdir(parents=True)
        path.write_text("")
    folder.make()
    folder.mark_installed(Installed(of_version or version(), "Python 3.12.1", "2", False, 2_200_000_000))
    return folder


def finished(run: Installation, seconds: float = 30.0) -> Installation:
    """An installation, or a removal, run to its end."""
    run.start()
    run.join(seconds)
    assert run.view.finished
    return run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def name_folder(bpy: ModuleType, text: Path | str) -> None:
    bpy.context.preferences.addons["blender_addon"].preferences.backend_folder = str(text)


def drawn(bpy: ModuleType) -> tuple[str, list[str]]:
    """What the preferences say, and the texts of their buttons, wherever lines are broken."""
    layout = MagicMock()
    bpy.context.preferences.addons["blender_addon"].preferences._draw_own(layout)
    calls = layout.mock_calls
    said = "".join(call.kwargs["text"].replace(" ", "") for call in calls if call[0].endswith("label"))
    return said, [call.kwargs.get("text", "") for call in calls if call[0].endswith("operator")]
