"""The folder that the preferences name for the backend: what is refused, what is never deleted, what a change means."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import pytest

from blender_addon.backend_process import folder_checks, folders, install
from blender_addon.backend_process.folder_checks import folder_problem
from blender_addon.backend_process.folders import BackendFolder, Installed, entered_folder
from blender_addon.backend_process.install import Installation, InstallPlan, Removal
from blender_addon.backend_process.known_folders import remember, remembered
from blender_addon.errors import AddonError
from blender_addon.identity import version


def ended(run: Installation) -> Installation:
    run.start()
    run.join(30)
    assert run.view.finished
    return run


def attempt(folder: BackendFolder) -> AddonError:
    """Why an installation stops that would get no further than to look for the backend's source."""
    return ended(Installation(folder, InstallPlan(Path("no backend.zip"), sys.executable))).view.error


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


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "needed_bytes", lambda cuda: 0)


def test_on_windows_a_path_that_mediapipe_cannot_open_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = BackendFolder(tmp_path / "Jürgen" / "backend")
    assert folder_problem(folder) is None
    monkeypatch.setattr(folder_checks, "WINDOWS", True)
    installation = ended(Installation(folder, InstallPlan(Path("no backend.zip"), sys.executable)))
    error = installation.view.error
    assert error.code == "folder" and str(folder.root) in error.sentence and "C:\\Likeness" in error.advice
    assert installation.view.fraction == 0 and not folder.root.parent.exists()
    assert folder_problem(BackendFolder(tmp_path / "Juergen")) is None


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
    assert not entered(tmp_path).holds_something


def test_what_a_file_manager_leaves_does_not_fill_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_text("")
    assert attempt(entered(tmp_path)).code == "no_source"
    assert attempt(entered(tmp_path)).code == "no_source"  # and an attempt that failed does not, either


def test_removing_touches_nothing_in_a_folder_without_the_mark(tmp_path: Path) -> None:
    """A folder whose entries happen to be called like ours."""
    folder = fill(entered(tmp_path))
    (tmp_path / "likeness_backend.txt").unlink()
    before = names(tmp_path)
    removal = ended(Removal(folder))
    assert removal.view.error.code == "folder" and "not made by this extension" in removal.view.error.sentence
    assert names(tmp_path) == before and folder.installed() is None


def test_removing_leaves_what_was_put_beside_the_backend(tmp_path: Path) -> None:
    folder = fill(entered(tmp_path))
    folder.source_part.mkdir()
    folder.install_log.write_text("")
    (tmp_path / "notes.txt").write_text("mine")
    assert ended(Removal(folder)).view.error is None
    assert names(tmp_path) == ["notes.txt"] and not folder.is_ours


def test_known_folders(tmp_path: Path) -> None:
    note = tmp_path / "own" / "folders.json"
    assert remembered(note) == []
    for name in ("a", "b", "a"):
        remember(note, tmp_path / name)
    assert remembered(note) == [tmp_path / "a", tmp_path / "b"]
    note.write_text("[3")
    assert remembered(note) == []


@pytest.fixture
def own(tmp_path: Path) -> BackendFolder:
    return BackendFolder(tmp_path / "own")


@pytest.fixture
def bpy(own: BackendFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Blender with the extension enabled, whose own folder is ``own``."""
    bpy = pytest.importorskip("bpy")
    import addon_utils

    from blender_addon import installer

    monkeypatch.setenv("LIKENESS_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setattr(installer, "own_folder", lambda: own)
    monkeypatch.setattr(installer, "cuda_card", lambda: False)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon_utils.enable("blender_addon", default_set=True)
    yield bpy
    addon_utils.disable("blender_addon", default_set=True)


def name_folder(bpy: ModuleType, text: Path | str) -> None:
    bpy.context.preferences.addons["blender_addon"].preferences.backend_folder = str(text)


def drawn(bpy: ModuleType) -> tuple[str, list[str]]:
    """What the preferences say, and the texts of their buttons, wherever lines are broken."""
    layout = MagicMock()
    bpy.context.preferences.addons["blender_addon"].preferences._draw_own(layout)
    calls = layout.mock_calls
    said = "".join(call.kwargs["text"].replace(" ", "") for call in calls if call[0].endswith("label"))
    return said, [call.kwargs.get("text", "") for call in calls if call[0].endswith("operator")]


@pytest.mark.blender
def test_the_field_names_the_folder(
    bpy: ModuleType, own: BackendFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon import installer

    assert installer.backend_folder() == own
    name_folder(bpy, f"{tmp_path}/there/")
    assert installer.backend_folder().root == tmp_path / "there" and installer.backend_folder().entered
    name_folder(bpy, own.root)
    assert installer.backend_folder() == own
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    name_folder(bpy, "~/likeness")
    assert installer.backend_folder().root == tmp_path / "home" / "likeness"


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
    from blender_addon.ui.preferences import chosen_backend

    with pytest.raises(AddonError, match="not installed yet"):
        chosen_backend(bpy.context)
    monkeypatch.setattr(folder_checks, "WINDOWS", True)
    name_folder(bpy, tmp_path / "Jürgen")
    with pytest.raises(AddonError, match=r"MediaPipe.*Choose another Backend Folder.*C:\\Likeness"):
        chosen_backend(bpy.context)
    said, buttons = drawn(bpy)
    assert "MediaPipe" in said and "C:\\Likeness" in said and "Install Backend" not in buttons
    name_folder(bpy, tmp_path / "Juergen")
    assert "Install Backend" in drawn(bpy)[1]


@pytest.mark.blender
def test_the_backend_of_the_folder_before_runs_until_one_is_installed(
    bpy: ModuleType, own: BackendFolder, tmp_path: Path
) -> None:
    from blender_addon.ui.preferences import chosen_backend

    fill(own)
    there = tmp_path / "there"
    name_folder(bpy, there)
    assert chosen_backend(bpy.context).python == own.python
    said, buttons = drawn(bpy)
    assert f"Itrunsfrom{own.root}until" in said and "Todelete" not in said
    assert "Install Backend" in buttons and not {"Repair", "Remove"} & set(buttons)

    fill(entered(there))
    assert chosen_backend(bpy.context).python == entered(there).python
    said, buttons = drawn(bpy)
    assert "Itruns" not in said and f"Thereisanotherbackendin{own.root}.Todeleteit,clearthefield" in said
    assert {"Repair", "Remove"} <= set(buttons)


@pytest.mark.blender
def test_an_old_backend_in_the_folder_before_is_updated_in_the_new_one(
    bpy: ModuleType, own: BackendFolder, tmp_path: Path
) -> None:
    from blender_addon.ui.preferences import chosen_backend

    fill(own, "0.0.1")
    with pytest.raises(AddonError, match=r"has version 0\.0\.1.* Choose Repair"):
        chosen_backend(bpy.context)
    name_folder(bpy, tmp_path / "there")
    with pytest.raises(AddonError, match=r"has version 0\.0\.1.* Choose Install Backend"):
        chosen_backend(bpy.context)


@pytest.mark.blender
def test_remove_removes_what_is_in_the_named_folder(bpy: ModuleType, own: BackendFolder, tmp_path: Path) -> None:
    fill(own)
    there = fill(entered(tmp_path / "there"))
    name_folder(bpy, there.root)
    assert bpy.ops.likeness.remove_backend() == {"FINISHED"}
    assert names(there.root) == [] and own.installed() is not None
    name_folder(bpy, "")
    assert bpy.ops.likeness.remove_backend() == {"FINISHED"}
    assert not own.holds_something


@pytest.mark.blender
def test_folders_that_were_named_before_are_remembered(bpy: ModuleType, own: BackendFolder, tmp_path: Path) -> None:
    from blender_addon import installer

    plan = InstallPlan(tmp_path / "no backend.zip", sys.executable)
    for name in ("first", "second"):
        name_folder(bpy, tmp_path / name)
        installer.start(plan).join(30)
        fill(installer.backend_folder())
    assert installer.view().error.code == "no_source"
    name_folder(bpy, tmp_path / "third")
    assert installer.view() is None  # that was about another folder
    assert [state.folder.root.name for state in installer.other_folders()] == ["second", "first"]
    assert installer.folder_in_use().folder.root.name == "second"
    assert f"in{tmp_path / 'first'}.Todeleteit,enterthatfolder" in drawn(bpy)[0]


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


@pytest.mark.blender
def test_the_backend_of_another_folder_is_not_stopped(
    bpy: ModuleType, own: BackendFolder, tmp_path: Path, stops: list[str]
) -> None:
    from blender_addon.runner import LocalBackend
    from blender_addon.session import session

    fill(own)
    runner = session().runner
    runner._backend, runner._process = LocalBackend(own.python, own.source), MagicMock(exit_code=None)
    name_folder(bpy, fill(entered(tmp_path / "there")).root)
    assert bpy.ops.likeness.remove_backend() == {"FINISHED"}
    assert stops == [] and not (tmp_path / "there" / "source").exists()
    name_folder(bpy, "")
    assert bpy.ops.likeness.remove_backend() == {"FINISHED"}
    assert stops == ["stop"]
    runner._process = None


class DeadDrive:
    """While it is ``dead``, whoever looks into ``root`` waits."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers = threading.Event()
        installed = BackendFolder.installed

        def slow(folder: BackendFolder) -> Installed | None:
            if folder.root == root:
                self.answers.wait(30)
            return installed(folder)

        monkeypatch.setattr(BackendFolder, "installed", slow)


@pytest.mark.blender
def test_drawing_does_not_wait_for_a_drive_that_does_not_answer(
    bpy: ModuleType, own: BackendFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon import installer
    from blender_addon.backend_process import looks
    from blender_addon.ui.preferences import chosen_backend

    fill(own)
    there = fill(entered(tmp_path / "there"))
    drive = DeadDrive(there.root, monkeypatch)
    monkeypatch.setattr(looks, "CLICK_SECONDS", 0.2)
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
    assert chosen_backend(bpy.context).python == there.python
    assert {"Repair", "Remove"} <= set(drawn(bpy)[1])


@pytest.mark.blender
def test_what_was_seen_before_is_drawn_while_a_drive_is_slow(
    bpy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon.backend_process import looks

    there = fill(entered(tmp_path / "there"))
    name_folder(bpy, there.root)
    assert "Repair" in drawn(bpy)[1]
    drive = DeadDrive(there.root, monkeypatch)
    assert "Repair" in drawn(bpy)[1]
    monkeypatch.setattr(looks, "OUTDATED_SECONDS", 0.0)
    assert "Repair" not in drawn(bpy)[1]
    drive.answers.set()


@pytest.mark.blender
def test_nothing_is_written_and_no_error_raised_while_a_panel_is_drawn(
    bpy: ModuleType, own: BackendFolder, tmp_path: Path
) -> None:
    from blender_addon.ui.preferences import chosen_backend

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
    from blender_addon.ui.preferences import chosen_backend

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
    from blender_addon.ui.panel import _draw_missing_backend

    installer.start(InstallPlan(tmp_path / "no backend.zip", sys.executable)).join(30)
    layout = MagicMock()
    for where in ("INSTALLED", "REMOTE"):
        bpy.context.preferences.addons["blender_addon"].preferences.where = where
        layout.reset_mock()
        _draw_missing_backend(layout, bpy.context, AddonError("It is offline.", "", "offline"))
        said = "".join(str(call.kwargs.get("text")) for call in layout.mock_calls)
        assert ("There is no backend in" in said) == (where == "INSTALLED")
        assert ("It is offline." in said) == (where == "REMOTE")
    bpy.context.preferences.addons["blender_addon"].preferences.where = "INSTALLED"
