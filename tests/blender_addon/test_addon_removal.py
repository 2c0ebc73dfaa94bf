"""Removing and replacing a backend that is still ending, and whose files the system holds on to for a while."""

from __future__ import annotations

import pytest

pytest.importorskip("bpy")

import threading
import time
from pathlib import Path

import pytest
from backend_folders import finished

from blender_addon.backend_process import folders
from blender_addon.backend_process.folders import BackendFolder, Installed
from blender_addon.backend_process.install import Installation, InstallPlan, Removal
from blender_addon.backend_process.server import in_use


@pytest.fixture
def folder(tmp_path: Path) -> BackendFolder:
    """Something that counts as installed."""
    made = BackendFolder(tmp_path / "own")
    for path in (made.python, made.source / "backend" / "__init__.py"):
        path.parent.mkdir(parents=True)
        path.write_text("old")
    made.mark_installed(Installed("0.1", "Python 3.12.1", "2", False, 5))
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


def test_nothing_is_deleted_before_the_server_has_ended(folder: BackendFolder) -> None:
    ended, seen = threading.Event(), []

    def end_server() -> None:
        assert ended.wait(10)
        seen.append(folder.installed())

    removal = Removal(folder, end_server)
    removal.start()
    time.sleep(0.2)
    assert folder.installed() is not None and removal.view.sentence == "Waiting for the backend to end"
    ended.set()
    removal.join(10)
    assert seen[0] is not None and folder.installed() is None and not folder.has_contents
    assert removal.view.error is None


def test_a_removal_that_is_stopped_while_it_waits_deletes_nothing(folder: BackendFolder) -> None:
    waiting, ended = threading.Event(), threading.Event()

    def end_server() -> None:
        waiting.set()
        assert ended.wait(10)

    removal = Removal(folder, end_server)
    removal.start()
    assert waiting.wait(10)
    removal.stop()
    ended.set()
    removal.join(10)
    error = removal.view.error
    assert error.code == "cancelled" and "removal" in error.sentence and "Nothing was deleted" in error.advice
    assert folder.installed() is not None


def test_a_server_that_does_not_end_keeps_its_installation(folder: BackendFolder, tmp_path: Path) -> None:
    def end_server() -> None:
        raise in_use()

    removal = finished(Removal(folder, end_server))
    assert removal.view.error.code == "in_use" and folder.installed() is not None
    given = tmp_path / "given"
    installation = finished(Installation(folder, InstallPlan(given, fresh=True), end_server))
    assert installation.view.error.code == "in_use" and folder.installed() is not None


def test_deleting_is_tried_again_for_a_while(folder: BackendFolder, refusals: list[Path]) -> None:
    refusals += [folder.root] * 3
    assert finished(Removal(folder)).view.error is None
    assert list(folder.root.iterdir()) == []


def test_what_cannot_be_deleted_can_be_removed_later(
    folder: BackendFolder, refusals: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "PATIENCE_SECONDS", 0.3)
    refusals += [folder.root] * 9
    error = finished(Removal(folder)).view.error
    assert "could not be removed" in error.sentence and str(folder.root) in error.advice
    assert folder.installed() is None and folder.has_contents
    refusals.clear()
    assert finished(Removal(folder)).view.error is None and not folder.has_contents


def test_an_installation_that_never_got_to_work_leaves_what_is_there(folder: BackendFolder, tmp_path: Path) -> None:
    installation = Installation(folder, InstallPlan(tmp_path, str(tmp_path / "no python"), fresh=True))
    installation.start()
    installation.join(30)
    assert installation.view.error.code == "no_python" and folder.installed() is not None


@pytest.fixture
def own(folder: BackendFolder) -> BackendFolder:
    """The extension's own folder is ``folder``."""
    return folder
