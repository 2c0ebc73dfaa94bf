"""The folder of the backend: what is refused, never deleted, changed by one Blender at a time, and offered."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import pytest
from backend_folders import drawn, entered, fill, finished, name_folder, names

from blender_addon.backend_process import folders, install, server
from blender_addon.backend_process.install import Installation, InstallPlan, Removal
from blender_addon.errors import AddonError

ROOT = Path(__file__).resolve().parents[2]
OTHER_BLENDER = """
import subprocess, sys, time
from pathlib import Path
from blender_addon.backend_process.folders import lock_folder
from blender_addon.backend_process.folders import BackendFolder
from blender_addon.backend_process.install import Removal
config, root = map(Path, sys.argv[1:])
lock = lock_folder(config, root)
def end_server():
    outlives_it = [sys.executable, "-c", "import time; time.sleep(9)"]  # as pip may
    with subprocess.Popen(outlives_it, stdout=subprocess.DEVNULL):
        print("has it", flush=True)
        time.sleep(600)
removal = Removal(BackendFolder(root), None, end_server, lock)
removal.start()
removal.join()
"""
OtherBlender = Callable[[Path], subprocess.Popen[str]]


def attempt(folder: folders.BackendFolder) -> AddonError:
    """Why an installation stops that would get no further than to look for the backend's source."""
    return finished(Installation(folder, InstallPlan(Path("no backend.zip"), sys.executable))).view.error


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "needed_bytes", lambda cuda: 0)


@pytest.mark.parametrize("text", ["likeness", "../likeness", "//likeness", "~nobody here/likeness"])
def test_a_path_that_is_not_whole_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = attempt(folders.entered_folder(text, tmp_path / "own"))
    assert error.code == "folder" and text in error.sentence and "whole path" in error.sentence
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = attempt(entered(tmp_path / "file" / "likeness"))
    assert error.code == "folder" and "cannot be written to (Not a directory)" in error.sentence
    assert "Backend Folder" in error.advice


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it holds is not known: it may be anybody's."""

    def refuse(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(folders.os, "listdir", refuse)
    error = attempt(entered(tmp_path))
    monkeypatch.undo()
    assert error.code == "folder" and "cannot be read (Permission denied)" in error.sentence
    assert names(tmp_path) == []


def test_a_folder_with_files_of_somebody_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "environment").mkdir()
    (tmp_path / "thesis.odt").write_text("years")
    error = attempt(entered(tmp_path))
    assert error.code == "folder" and "environment and 1 more" in error.sentence
    assert names(tmp_path) == ["environment", "thesis.odt"]
    assert not entered(tmp_path).has_contents


def test_what_a_file_manager_leaves_does_not_fill_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_text("")
    assert attempt(entered(tmp_path)).code == "no_source"
    assert attempt(entered(tmp_path)).code == "no_source"  # and an attempt that failed does not, either


def test_removing_touches_nothing_in_a_folder_without_the_mark(tmp_path: Path) -> None:
    """A folder whose entries happen to be called like ours."""
    folder = fill(entered(tmp_path))
    (tmp_path / "likeness_backend.txt").unlink()
    before = names(tmp_path)
    removal = finished(Removal(folder))
    assert removal.view.error.code == "folder" and "not made by this extension" in removal.view.error.sentence
    assert names(tmp_path) == before and folder.installed() is None


def test_removing_leaves_what_was_put_beside_the_backend(tmp_path: Path) -> None:
    folder = fill(entered(tmp_path))
    folder.source_part.mkdir()
    folder.install_log.write_text("")
    (tmp_path / "notes.txt").write_text("mine")
    assert finished(Removal(folder)).view.error is None
    assert names(tmp_path) == ["notes.txt"] and not folder.is_owned_by_extension


@pytest.mark.filterwarnings("ignore:.*blend relative")
def test_a_path_relative_to_the_file_becomes_a_whole_one_or_is_refused(bpy: ModuleType, tmp_path: Path) -> None:
    from blender_addon import installer

    bpy.context.preferences.system.use_online_access = True
    name_folder(bpy, "//there")
    with pytest.raises(RuntimeError, match=r"//there is not a whole path\. Choose another Backend Folder"):
        bpy.ops.likeness.install_backend()
    (tmp_path / "scenes").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scenes" / "head.blend"))
    name_folder(bpy, "//../there")
    assert installer.backend_folder().root == tmp_path / "there"
    bpy.ops.wm.read_homefile(use_empty=True)
    assert installer.backend_folder().root == tmp_path / "there"


def test_a_folder_that_cannot_be_used_is_said_before_anybody_installs(
    bpy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon.settings.preferences import chosen_backend

    with pytest.raises(AddonError, match="not installed yet"):
        chosen_backend(bpy.context)
    monkeypatch.setattr(folders, "WINDOWS", True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").touch()
    name_folder(bpy, tmp_path / "full")
    with pytest.raises(AddonError, match=r"diary\.txt.*Choose another Backend Folder.*C:\\Likeness"):
        chosen_backend(bpy.context)
    said, buttons = drawn(bpy)
    assert "diary.txt" in said and "C:\\Likeness" in said and "Install Backend" not in buttons
    name_folder(bpy, tmp_path / "Jürgen")
    assert "Install Backend" in drawn(bpy)[1]


def test_remove_removes_what_is_in_the_named_folder(
    bpy: ModuleType, own: folders.BackendFolder, tmp_path: Path
) -> None:
    fill(own)
    there = fill(entered(tmp_path / "there"))
    name_folder(bpy, there.root)
    assert bpy.ops.likeness.remove_backend() == {"FINISHED"}
    assert names(there.root) == [] and own.installed() is not None
    name_folder(bpy, "")
    assert bpy.ops.likeness.remove_backend() == {"FINISHED"}
    assert not own.has_contents


@pytest.fixture
def other_blender(config: Path) -> Iterator[OtherBlender]:
    """Starts another process that has begun to remove the backend in a folder, and waits for its server to end."""
    started: list[subprocess.Popen[str]] = []

    def start(root: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", OTHER_BLENDER, str(config), str(root)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "has it\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(10)


def test_what_another_blender_changes_is_left_alone_until_that_has_ended(
    bpy: ModuleType, own: folders.BackendFolder, other_blender: OtherBlender, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon.session import session

    fill(own)
    before = names(own.root)
    stopped = MagicMock()
    monkeypatch.setattr(session().runner, "stop", stopped)
    bpy.context.preferences.system.use_online_access = True
    other = other_blender(own.root)
    sentence = "Another Blender is installing or removing the backend"
    for operator in (bpy.ops.likeness.install_backend, bpy.ops.likeness.remove_backend):
        begun = time.monotonic()
        with pytest.raises(RuntimeError, match=f"{sentence}.* Wait until it has finished"):
            operator()
        assert time.monotonic() - begun < 2
    assert not stopped.called and names(own.root) == before and own.installed() is not None
    kill(other)
    assert bpy.ops.likeness.remove_backend() == {"FINISHED"}
    assert names(own.root) == [] and not own.has_contents


def test_a_lock_is_of_a_folder_by_whatever_path(config: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "there")
    lock = folders.lock_folder(config, tmp_path / "alias")
    with pytest.raises(AddonError, match="Another Blender"):
        folders.lock_folder(config, tmp_path / "there")
    lock.release()
    folders.lock_folder(config, tmp_path / "there").release()
    assert (config.stat().st_mode & 0o077, names(tmp_path / "there")) == (0, [])


@pytest.fixture
def stops(bpy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often the backend that runs was stopped."""
    from blender_addon.session import session

    counted: list[str] = []
    monkeypatch.setattr(session().runner, "stop", lambda wait=False: counted.append("stop"))
    bpy.context.preferences.system.use_online_access = True
    return counted


def test_what_is_refused_is_refused_before_the_backend_is_stopped(
    bpy: ModuleType, own: folders.BackendFolder, tmp_path: Path, stops: list[str]
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
        installed = folders.BackendFolder.installed

        def slow(folder: folders.BackendFolder) -> folders.Installed | None:
            if folder.root == root:
                self.answers.wait(30)
            return installed(folder)

        monkeypatch.setattr(folders.BackendFolder, "installed", slow)
        monkeypatch.setattr(folders, "DRAWING_SECONDS", 0.1)
        monkeypatch.setattr(folders, "REUSE_SECONDS", 0.0)


def test_drawing_does_not_wait_for_a_drive_that_does_not_answer(
    bpy: ModuleType, own: folders.BackendFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon.settings.preferences import chosen_backend

    fill(own)
    there = fill(entered(tmp_path / "there"))
    drive = DeadDrive(there.root, monkeypatch)
    monkeypatch.setattr(folders, "CLICK_SECONDS", 0.5)
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
        monkeypatch.setattr(folders, name, 10.0)
    assert chosen_backend(bpy.context).python == there.python
    assert {"Repair", "Remove"} <= set(drawn(bpy)[1])


def test_photos_on_a_drive_that_does_not_answer_do_not_hold_up_drawing(
    bpy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon.ui import pictures

    answers = threading.Event()
    monkeypatch.setattr(folders, "DRAWING_SECONDS", 0.1)
    monkeypatch.setattr(pictures, "_files", folders.Looks(lambda path: answers.wait(30)))
    start = time.monotonic()
    assert [pictures.photo_icon(str(tmp_path / "a.jpg")) for _ in range(20)] == [0] * 20
    assert time.monotonic() - start < 2
    answers.set()


@pytest.fixture
def folder(tmp_path: Path) -> folders.BackendFolder:
    """Something that counts as installed."""
    made = folders.BackendFolder(tmp_path / "own")
    for path in (made.python, made.source / "backend" / "__init__.py"):
        path.parent.mkdir(parents=True)
        path.write_text("old")
    made.mark_installed(folders.Installed("0.1", "Python 3.12.1", "2", False, 5))
    return made


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """As many deletions of folders are refused as this list has entries, as by Windows where a program uses them."""
    left: list[Path] = []
    remove = folders.shutil.rmtree

    def reluctant(path: Path, ignore_errors: bool = False) -> None:
        if not left:
            remove(path)
        elif left.pop() and not ignore_errors:
            raise PermissionError(13, "The process cannot access the file", str(path))

    monkeypatch.setattr(folders.shutil, "rmtree", reluctant)
    return left


def test_nothing_is_deleted_before_the_server_has_ended(folder: folders.BackendFolder) -> None:
    ended, seen = threading.Event(), []

    def end_server() -> None:
        assert ended.wait(10)
        seen.append(folder.installed())

    removal = Removal(folder, None, end_server)
    removal.start()
    time.sleep(0.2)
    assert folder.installed() is not None and removal.view.sentence == "Waiting for the backend to end"
    ended.set()
    removal.join(10)
    assert seen[0] is not None and folder.installed() is None and not folder.has_contents
    assert removal.view.error is None


def test_a_server_that_does_not_end_keeps_its_installation(folder: folders.BackendFolder, tmp_path: Path) -> None:
    def end_server() -> None:
        raise server.in_use()

    removal = finished(Removal(folder, None, end_server))
    assert removal.view.error.code == "in_use" and folder.installed() is not None
    given = tmp_path / "given"
    installation = finished(Installation(folder, InstallPlan(given, fresh=True), end_server))
    assert installation.view.error.code == "in_use" and folder.installed() is not None


def test_deleting_is_tried_again_for_a_while(folder: folders.BackendFolder, refusals: list[Path]) -> None:
    refusals += [folder.root] * 3
    assert finished(Removal(folder)).view.error is None
    assert list(folder.root.iterdir()) == []


def test_what_cannot_be_deleted_can_be_removed_later(
    folder: folders.BackendFolder, refusals: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "PATIENCE_SECONDS", 0.3)
    refusals += [folder.root] * 9
    error = finished(Removal(folder)).view.error
    assert "could not be removed" in error.sentence and str(folder.root) in error.advice
    assert folder.installed() is None and folder.has_contents
    refusals.clear()
    assert finished(Removal(folder)).view.error is None and not folder.has_contents


def test_an_installation_that_never_got_to_work_leaves_what_is_there(
    folder: folders.BackendFolder, tmp_path: Path
) -> None:
    installation = Installation(folder, InstallPlan(tmp_path, str(tmp_path / "no python"), fresh=True))
    installation.start()
    installation.join(30)
    assert installation.view.error.code == "no_python" and folder.installed() is not None
