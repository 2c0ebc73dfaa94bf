"""One Blender installs into a folder or removes it; another that would, or would start a server there, is told so."""

from __future__ import annotations

import pytest

pytest.importorskip("bpy")

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import pytest
from backend_folders import drawn, fill, names
from runner_steps import alive, ended, until

from blender_addon.backend_process import looks
from blender_addon.backend_process.folders import BackendFolder, is_being_changed, lock_folder
from blender_addon.backend_process.server import LocalBackend
from blender_addon.client.submissions import PhotoFile, Submission
from blender_addon.errors import AddonError
from blender_addon.runner import Phase, Runner

ROOT = Path(__file__).resolve().parents[2]
SUBMISSION = Submission("t1", (PhotoFile("a.jpg", data=b"x"),))
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
removal = Removal(BackendFolder(root), end_server, lock)
removal.start()
removal.join()
"""
OtherBlender = Callable[[Path], subprocess.Popen[str]]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIKENESS_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "config"


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


@pytest.mark.blender
def test_what_another_blender_changes_is_left_alone_until_that_has_ended(
    bpy: ModuleType, own: BackendFolder, other_blender: OtherBlender, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon.session import session
    from blender_addon.settings.preferences import chosen_backend
    from blender_addon.ui.panel import _draw_missing_backend

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
    with pytest.raises(AddonError, match=sentence) as refused:
        chosen_backend(bpy.context)
    assert not stopped.called and names(own.root) == before and own.installed() is not None
    said, buttons = drawn(bpy)
    assert sentence.replace(" ", "") in said and not {"Install Backend", "Repair", "Remove"} & set(buttons)
    layout = MagicMock()
    _draw_missing_backend(layout, bpy.context, refused.value)
    assert "Waituntil" in "".join(str(call.kwargs.get("text")).replace(" ", "") for call in layout.mock_calls)

    kill(other)
    time.sleep(looks.REUSE_SECONDS)
    assert {"Repair", "Remove"} <= set(drawn(bpy)[1]) and chosen_backend(bpy.context).folder == own.root
    assert bpy.ops.likeness.remove_backend() == {"FINISHED"}
    assert names(own.root) == [] and not own.has_contents


def test_a_lock_is_of_a_folder_by_whatever_path(config: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "there")
    lock = lock_folder(config, tmp_path / "alias")
    assert is_being_changed(config, tmp_path / "there") and not is_being_changed(config, tmp_path)
    with pytest.raises(AddonError, match="Another Blender"):
        lock_folder(config, tmp_path / "there")
    lock.release()
    assert not is_being_changed(config, tmp_path / "there")
    lock_folder(config, tmp_path / "there").release()
    assert (config.stat().st_mode & 0o077, names(tmp_path / "there")) == (0, [])


SERVER = {
    "ends": "import sys; print('No module named torch', file=sys.stderr); sys.exit(1)",
    "runs": f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    "import scripted_server\nscripted_server.serve_as_process()",
}


@pytest.fixture
def runner(config: Path) -> Iterator[Runner]:
    made = Runner("test", config)
    yield made
    made.stop(wait=True)


def backend_in(folder: Path, what: str) -> LocalBackend:
    package = folder / "source" / "backend"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(SERVER[what])
    return LocalBackend(Path(sys.executable), package.parent, log=folder.parent / "server.log", folder=folder)


def test_no_server_starts_out_of_a_folder_that_is_being_changed(config: Path, tmp_path: Path, runner: Runner) -> None:
    backend = backend_in(tmp_path / "there", "runs")
    lock = lock_folder(config, tmp_path / "there")
    runner.begin(SUBMISSION, backend)
    assert (runner.view.phase, runner.view.code) == (Phase.FAILED, "being_changed") and runner.process is None
    lock.release()
    runner.begin(SUBMISSION, backend)
    until(runner, lambda runner: runner.view.phase is Phase.RUNNING)


@pytest.mark.parametrize("what", ["ends", "runs"])
def test_a_server_that_was_just_starting_when_the_change_began_ends_in_words(
    what: str, config: Path, tmp_path: Path, runner: Runner
) -> None:
    runner.begin(SUBMISSION, backend_in(tmp_path / "there", what))
    process = runner.process
    lock = lock_folder(config, tmp_path / "there")
    until(runner, ended)
    assert (runner.view.phase, runner.view.code) == (Phase.FAILED, "being_changed")
    runner.wait_for_end()
    assert runner.process is None and not alive(process.pid)
    lock.release()
