"""What panels offer of the backend: nothing that would be refused, and without waiting for a drive."""

from __future__ import annotations

import pytest

pytest.importorskip("bpy")

import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import pytest
from backend_folders import drawn, entered, fill, name_folder

from blender_addon.backend_process import looks
from blender_addon.backend_process.folders import BackendFolder, Installed, remember
from blender_addon.backend_process.install import InstallPlan
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
def test_what_was_seen_before_is_drawn_while_a_drive_is_slow(
    bpy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = fill(entered(tmp_path / "there"))
    name_folder(bpy, there.root)
    assert "Repair" in drawn(bpy)[1]
    drive = DeadDrive(there.root, monkeypatch)
    assert "Repair" in drawn(bpy)[1]
    monkeypatch.setattr(looks, "STALE_SECONDS", 0.0)
    assert "Repair" not in drawn(bpy)[1]
    drive.answers.set()


@pytest.mark.blender
def test_nothing_is_written_and_no_error_raised_while_a_panel_is_drawn(
    bpy: ModuleType, own: BackendFolder, tmp_path: Path
) -> None:
    from blender_addon.settings.preferences import chosen_backend

    own.root.write_text("a file, where there should be a folder")
    chosen = bpy.context.preferences.addons["blender_addon"].preferences
    chosen.where = "EXISTING"
    chosen.existing_python = str(tmp_path / ("x" * 300))  # the system refuses to look
    with pytest.raises(AddonError, match="Python was not found"):
        chosen_backend(bpy.context, drawing=True)
    chosen.existing_python = sys.executable
    assert chosen_backend(bpy.context, drawing=True).python == Path(sys.executable)
    chosen.where = "INSTALLED"


@pytest.mark.blender
def test_an_update_into_a_folder_that_cannot_be_used(bpy: ModuleType, own: BackendFolder, tmp_path: Path) -> None:
    """What is offered is what helps: no button that would be refused."""
    from blender_addon.settings.preferences import chosen_backend

    fill(own, "0.0.1")
    (tmp_path / "thesis.odt").write_text("years")
    name_folder(bpy, tmp_path)
    with pytest.raises(AddonError, match=r"holds other files.*Choose another Backend Folder"):
        chosen_backend(bpy.context)
    said, buttons = drawn(bpy)
    assert "toupdate" not in said and "holdsotherfiles" in said and "Install Backend" not in buttons


@pytest.mark.blender
def test_the_sidebar_says_why_another_machine_cannot_be_reached(bpy: ModuleType, tmp_path: Path) -> None:
    """Whatever became of an installation before."""
    from blender_addon import installer
    from blender_addon.session import session
    from blender_addon.ui.panel import _draw_missing_backend

    installer.start(InstallPlan(tmp_path / "no backend.zip", sys.executable), session().runner).join(30)
    layout = MagicMock()
    for where in ("INSTALLED", "REMOTE"):
        bpy.context.preferences.addons["blender_addon"].preferences.where = where
        layout.reset_mock()
        _draw_missing_backend(layout, bpy.context, AddonError("It is offline.", "", "offline"))
        said = "".join(str(call.kwargs.get("text")) for call in layout.mock_calls)
        assert ("There is no backend in" in said) == (where == "INSTALLED")
        assert ("It is offline." in said) == (where == "REMOTE")
    bpy.context.preferences.addons["blender_addon"].preferences.where = "INSTALLED"
    layout.reset_mock()
    _draw_missing_backend(layout, bpy.context, AddonError("It does not answer.", "Connect it.", "folder"))
    said = "".join(str(call.kwargs.get("text")) for call in layout.mock_calls)
    assert "It does not answer." in said and "Connect it." in said and "There is no backend" not in said


@pytest.mark.blender
def test_photos_on_a_drive_that_does_not_answer_do_not_hold_up_drawing(
    bpy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon.ui import thumbnails

    answers = threading.Event()
    monkeypatch.setattr(looks, "DRAWING_SECONDS", 0.1)
    monkeypatch.setattr(thumbnails, "_files", Looks(lambda path: answers.wait(30)))
    start = time.monotonic()
    assert [thumbnails.photo_icon(str(tmp_path / "a.jpg")) for _ in range(20)] == [0] * 20
    assert time.monotonic() - start < 2
    answers.set()
