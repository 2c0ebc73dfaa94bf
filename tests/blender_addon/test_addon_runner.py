"""From click to end, with a stand-in for the backend's process: found, started, died, cancelled."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from runner_steps import alive, ended, runs, until
from scripted_server import Header, ScriptedServer, progress
from test_transfer_names import take

from blender_addon.backend_process.server import LocalBackend
from blender_addon.client.conversation import ServerAddress, client_keys, remote_address
from blender_addon.client.submissions import PhotoFile, Submission, Transfer
from blender_addon.errors import AddonError
from blender_addon.runner import Phase, Runner

SUBMISSION = Submission("t1", (PhotoFile("a.jpg", data=b"x"),))


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    """A folder whose ``python -m backend serve`` is the scripted server."""
    package = tmp_path / "source" / "backend"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    here = Path(__file__).parent
    (package / "__main__.py").write_text(
        f"import sys\nsys.path.insert(0, {str(here)!r})\nimport scripted_server\nscripted_server.serve_as_process()\n"
    )
    return LocalBackend(Path(sys.executable), package.parent, log=tmp_path / "server.log")


def test_starts_the_backend_follows_the_job_and_cancels_it(runner: Runner, backend: LocalBackend) -> None:
    runner.begin(SUBMISSION, backend)
    assert runner.view.phase is Phase.STARTING
    until(runner, runs)
    assert (runner.view.fraction, runner.view.seconds_left) == (0.25, 12.0)
    assert runner.view.sentence == "Aligning the photos with each other"
    with pytest.raises(AddonError, match="busy already"):
        runner.begin(SUBMISSION, backend)
    runner.cancel()
    assert runner.view.phase is Phase.CANCELLING
    until(runner, ended, 2.0)
    assert runner.view.phase is Phase.CANCELLED
    pid = runner.process.pid
    runner.begin(Submission("t2", SUBMISSION.photos), backend)  # the second job meets the same process
    until(runner, runs)
    assert runner.process.pid == pid
    runner.stop(wait=True)
    assert not alive(pid)


def test_a_backend_that_was_prepared_is_the_one_that_the_click_uses(
    runner: Runner, backend: LocalBackend, config: Path
) -> None:
    runner.prepare(backend)
    pid = runner.process.pid
    until(runner, lambda runner: runner.welcome is not None)
    assert runner.view.phase is Phase.IDLE and runner.process.pid == pid
    runner.prepare(backend)
    runner.begin(SUBMISSION, backend)
    until(runner, runs)
    assert runner.process.pid == pid
    runner.prepare(backend)  # while a job runs: nothing
    assert runner.view.phase is Phase.RUNNING and runner.process.pid == pid


def test_a_backend_that_cannot_be_prepared_says_so_at_the_click(runner: Runner, backend: LocalBackend) -> None:
    broken = replace(backend, python=backend.python.parent / "no python")
    runner.prepare(broken)
    for _ in range(3):
        runner.tick()
    assert runner.view.phase is Phase.IDLE
    (backend.source / "backend" / "__main__.py").write_text("raise SystemExit('no such module')")
    runner.prepare(backend)
    until(runner, lambda runner: runner.process is None)
    assert runner.view.phase is Phase.IDLE
    runner.begin(SUBMISSION, backend)
    until(runner, ended)
    assert runner.view.phase is Phase.FAILED and "no such module" in runner.view.sentence + runner.view.advice


def test_a_killed_backend_ends_the_job_in_words_and_is_started_again(runner: Runner, backend: LocalBackend) -> None:
    runner.begin(SUBMISSION, backend)
    until(runner, runs)
    pid = runner.process.pid
    os.kill(pid, signal.SIGKILL)
    until(runner, ended)
    assert runner.view.phase is Phase.FAILED and runner.view.code == "server_died"
    assert "lost" in runner.view.sentence and "once more" in runner.view.advice
    until(runner, lambda runner: runner.welcome is not None)
    assert runner.process.pid != pid
    runner.begin(Submission("t2", SUBMISSION.photos), backend)
    until(runner, runs)


def test_other_settings_end_the_backend_and_start_another(
    runner: Runner, backend: LocalBackend, tmp_path: Path
) -> None:
    runner.begin(SUBMISSION, backend)
    until(runner, runs)
    before = runner.process.pid
    runner.cancel()
    until(runner, ended)
    elsewhere = Path(shutil.copytree(backend.source, tmp_path / "elsewhere"))
    runner.begin(Submission("t2", SUBMISSION.photos), replace(backend, source=elsewhere))
    until(runner, runs)
    assert runner.process.pid != before
    until(runner, lambda runner: not alive(before))


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        (5, "", "out_of_memory"),
        (7, "torch is not installed.", "missing_part"),
        (1, "No module named backend", "missing_part"),
        (1, "It went wrong.", "server_died"),
    ],
)
def test_a_backend_that_cannot_start_says_why(
    code: int, words: str, expected: str, runner: Runner, backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPTED_EXIT", str(code))
    monkeypatch.setenv("SCRIPTED_WORDS", words)
    runner.begin(SUBMISSION, backend)
    until(runner, ended)
    assert (runner.view.phase, runner.view.code) == (Phase.FAILED, expected)
    assert runner.view.sentence.endswith(".") and runner.view.advice.endswith(".")


def test_a_python_that_is_not_there(runner: Runner, tmp_path: Path) -> None:
    runner.begin(SUBMISSION, LocalBackend(tmp_path / "no-python"))
    assert (runner.view.phase, runner.view.code) == (Phase.FAILED, "cannot_start")


def test_a_result_that_comes_while_cancelling_is_dropped(runner: Runner) -> None:
    def submitted(server: ScriptedServer, peer: bytes, header: Header, pictures: list[bytes]) -> None:
        server.send(peer, progress(header["token"], 0.99))

    def solved(server: ScriptedServer, peer: bytes, header: Header) -> None:
        content = json.dumps(take(7)).encode()
        described = {"name": "expression", "media_type": "application/json", "bytes": len(content)}
        result = {"type": "result", "kind": "transfer", "version": 1, "token": header["token"]}
        server.send(peer, result | {"buffers": [described]}, [content])

    with ScriptedServer(submitted) as server:
        server.on_cancel = solved
        runner.begin(Transfer("t1", SUBMISSION.photos), remote_address(server.endpoint, server.public_key))
        until(runner, runs)
        runner.cancel()
        delivered = []
        while runner.busy:
            delivered += runner.tick()
    assert delivered == [] and runner.view.phase is Phase.CANCELLED


def test_client_keys_are_made_once_and_private(config: Path) -> None:
    first = client_keys(config)
    assert client_keys(config) == first
    assert (config / "client_key.json").stat().st_mode & 0o077 == 0
    assert [path.name for path in config.iterdir()] == ["client_key.json"]
    (config / "client_key.json").write_text("{}")
    with pytest.raises(AddonError, match="Delete it"):
        client_keys(config)


@pytest.mark.parametrize("endpoint", ["", "tcp://host", "http://host:1", "host:port", "tcp://host:123456"])
def test_an_address_has_to_be_one(endpoint: str) -> None:
    with pytest.raises(AddonError, match="preferences"):
        remote_address(endpoint, "k" * 40)


def test_an_address_without_a_scheme_is_completed() -> None:
    assert remote_address(" host:5555 ", "k" * 40) == ServerAddress("tcp://host:5555", "k" * 40)
    with pytest.raises(AddonError, match="40 characters"):
        remote_address("host:5555", "short")
