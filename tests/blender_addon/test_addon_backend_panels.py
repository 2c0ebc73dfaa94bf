"""What panels offer of the backend: nothing that would be refused, and without waiting for a drive."""

from __future__ import annotations

import pytest

pytest.importorskip("bpy")

import threading
import time
from pathlib import Path
from types import ModuleType

import pytest
from backend_folders import drawn, entered, fill, name_folder

from blender_addon.backend_process import looks
from blender_addon.backend_process.folders import BackendFolder, Installed, remember
from blender_addon.backend_process.looks import Looks
from blender_addon.errors import AddonError


@pytest.fixture
def stops(bpy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often the backend that runs was stopped."""
    from blender_addon.session import session

    counted: list[str] = []
    monkeypatch.setattr(session().runner, "stop", lambda wait=False: counted.append("stop"))
    bpy.context.preferences.system.use_online_access = True
    return counted


@pytest.mark.blender
def test_what_is_refused_is_refused_before_the_backend_is_stopped(
    bpy: ModuleType, own: BackendFolder, tmp_path: Path, stops: list[str]
) -> None:
    fill(own)
    (tmp_path / "thesis.odt").write_text("years")
    name_folder(bpy, tmp_path)
    with pytest.raises(RuntimeError, match="holds other files already"):
        bpy.ops.likeness.install_backend()
    with pytest.raises(RuntimeError, match="not made by this extension"):
        bpy.ops.likeness.remove_backend()
    assert stops == []


class DeadDrive:
    """Until it ``answers``, whoever looks into ``root`` waits."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers = threading.Event()
        installed = BackendFolder.installed

        def slow(folder: BackendFolder) -> Installed | None:
            if folder.root == root:
                self.answers.wait(30)
            return installed(folder)

        monkeypatch.setattr(BackendFolder, "installed", slow)
        monkeypatch.setattr(looks, "DRAWING_SECONDS", 0.1)
        monkeypatch.setattr(looks, "REUSE_SECONDS", 0.0)


@pytest.mark.blender
def test_drawing_does_not_wait_for_a_drive_that_does_not_answer(
    bpy: ModuleType, own: BackendFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon import installer
    from blender_addon.settings.preferences import chosen_backend

    fill(own)
    there = fill(entered(tmp_path / "there"))
    drive = DeadDrive(there.root, monkeypatch)
    monkeypatch.setattr(looks, "CLICK_SECONDS", 0.5)
    remember(installer._note(), there.root)
    start = time.monotonic()
    assert chosen_backend(bpy.context).python == own.python  # that one is there
    drawn(bpy)
    name_folder(bpy, there.root)
    for drawing in (True, False):
        with pytest.raises(AddonError, match=r"does not answer\. Connect its drive"):
            chosen_backend(bpy.context, drawing)
    said, buttons = drawn(bpy)
    assert "doesnotanswer" in said and not {"Install Backend", "Repair", "Remove"} & set(buttons)
    assert time.monotonic() - start < 5
    drive.answers.set()
    for name in ("DRAWING_SECONDS", "CLICK_SECONDS"):
        monkeypatch.setattr(looks, name, 10.0)
    assert chosen_backend(bpy.context).python == there.python
    assert {"Repair", "Remove"} <= set(drawn(bpy)[1])


@pytest.mark.blender
def test_photos_on_a_drive_that_does_not_answer_do_not_hold_up_drawing(
    bpy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon.ui import pictures

    answers = threading.Event()
    monkeypatch.setattr(looks, "DRAWING_SECONDS", 0.1)
    monkeypatch.setattr(pictures, "_files", Looks(lambda path: answers.wait(30)))
    start = time.monotonic()
    assert [pictures.photo_icon(str(tmp_path / "a.jpg")) for _ in range(20)] == [0] * 20
    assert time.monotonic() - start < 2
    answers.set()
