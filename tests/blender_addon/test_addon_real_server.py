"""The client against ``python -m backend serve`` itself: started, refused, reached from another machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blender_addon.backend_process.server import LocalBackend
from blender_addon.client.conversation import ServerAddress, client_keys, remote_address
from blender_addon.client.submissions import PhotoFile, Submission
from blender_addon.runner import Phase, Runner

ROOT = Path(__file__).resolve().parents[2]
NOT_A_PHOTO = Submission("t1", (PhotoFile("a.jpg", data=b"not a photo"),))
Start = Callable[..., ServerAddress]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server with a configuration folder of its own, as on another machine."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str) -> ServerAddress:
        environment = os.environ | {"LIKENESS_CONFIG_DIR": str(tmp_path / "there")}
        command = [sys.executable, "-m", "backend", "serve", *arguments]
        processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE))
        ready = json.loads(processes[-1].stdout.readline())
        port = ready["endpoint"].rsplit(":", 1)[1]
        return remote_address(f"127.0.0.1:{port}", ready["public_key"])

    yield run
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        process.stdout.close()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    made = Runner("test 1", tmp_path / "here")
    yield made
    made.stop(wait=True)


def run_to_end(runner: Runner, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while runner.busy:
        assert time.monotonic() < end, runner.view
        runner.tick()
        time.sleep(0.01)


def test_another_machine_that_knows_our_key(start: Start, runner: Runner, tmp_path: Path) -> None:
    keys = client_keys(tmp_path / "here")
    runner.begin(NOT_A_PHOTO, start("--bind", "tcp://0.0.0.0:*", "--owner", keys.public))
    run_to_end(runner)
    assert (runner.view.phase, runner.view.code) == (Phase.FAILED, "no_photo")
    assert runner.view.sentence and runner.view.advice


def test_another_machine_that_does_not_know_our_key(start: Start, runner: Runner, tmp_path: Path) -> None:
    other = client_keys(tmp_path / "other")
    runner.begin(NOT_A_PHOTO, start("--bind", "tcp://0.0.0.0:*", "--owner", other.public))
    run_to_end(runner)
    assert (runner.view.phase, runner.view.code) == (Phase.FAILED, "refused")
    assert "--owner" in runner.view.advice


def test_started_and_stopped(runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_CONFIG_DIR", str(tmp_path / "here"))
    backend = LocalBackend(Path(sys.executable), ROOT, "cpu", log=tmp_path / "server.log")
    runner.begin(NOT_A_PHOTO, backend)
    run_to_end(runner)
    assert runner.view.code == "no_photo" and runner.process is not None
    runner.stop(wait=True)
    assert os.listdir(tmp_path / "here" / "jobs") == []
    assert "stopped" in (tmp_path / "server.log").read_text()
