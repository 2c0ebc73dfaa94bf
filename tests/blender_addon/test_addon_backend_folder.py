"""The folder that the preferences name for the backend: what is refused, what is never deleted, what a change means."""

from __future__ import annotations

import pytest

pytest.importorskip("bpy")

import sys
from pathlib import Path
from types import ModuleType

import pytest
from backend_folders import drawn, entered, fill, finished, name_folder, names

from blender_addon.backend_process import folders, install
from blender_addon.backend_process.folders import BackendFolder, entered_folder
from blender_addon.backend_process.install import Installation, InstallPlan, Removal
from blender_addon.errors import AddonError


def attempt(folder: BackendFolder) -> AddonError:
    """Why an installation stops that would get no further than to look for the backend's source."""
    return finished(Installation(folder, InstallPlan(Path("no backend.zip"), sys.executable))).view.error


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "needed_bytes", lambda cuda: 0)


@pytest.mark.parametrize("text", ["likeness", "../likeness", "//likeness", "~nobody here/likeness"])
def test_a_path_that_is_not_whole_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = attempt(entered_folder(text, tmp_path / "own"))
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


@pytest.mark.blender
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


@pytest.mark.blender
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


@pytest.mark.blender
def test_the_backend_of_the_folder_before_runs_until_one_is_installed(
    bpy: ModuleType, own: BackendFolder, tmp_path: Path
) -> None:
    from blender_addon.settings.preferences import chosen_backend

    fill(own)
    there = tmp_path / "there"
    name_folder(bpy, there)
    assert (chosen_backend(bpy.context).python, chosen_backend(bpy.context).button) == (own.python, "Install Backend")
    said, buttons = drawn(bpy)
    assert f"Itrunsfrom{own.root}until" in said and "Todelete" not in said
    assert "Install Backend" in buttons and not {"Repair", "Remove"} & set(buttons)

    fill(entered(there))
    assert chosen_backend(bpy.context).python == entered(there).python
    assert chosen_backend(bpy.context).button == "Repair"
    said, buttons = drawn(bpy)
    assert "Itruns" not in said and f"Thereisanotherbackendin{own.root}.Todeleteit,clearthefield" in said
    assert {"Repair", "Remove"} <= set(buttons)


@pytest.mark.blender
def test_remove_removes_what_is_in_the_named_folder(bpy: ModuleType, own: BackendFolder, tmp_path: Path) -> None:
    fill(own)
    there = fill(entered(tmp_path / "there"))
    name_folder(bpy, there.root)
    assert bpy.ops.likeness.remove_backend() == {"FINISHED"}
    assert names(there.root) == [] and own.installed() is not None
    name_folder(bpy, "")
    assert bpy.ops.likeness.remove_backend() == {"FINISHED"}
    assert not own.has_contents
