"""Two Blenders of one user: ``serve`` itself, with a scripted worker behind it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runner_steps import alive, ended, runs, until

from blender_addon.backend_process import server
from blender_addon.backend_process.server import LocalBackend, wait_for_end
from blender_addon.client.submissions import PhotoFile, Transfer
from blender_addon.errors import AddonError
from blender_addon.runner import Phase, Runner

ROOT = Path(__file__).resolve().parents[2]
SERVE = """
import functools, sys
from pathlib import Path
del sys.modules["backend"]  # this is not it
sys.path.insert(0, {root!r})
from backend.service import access
from backend.service.messages import Timing
access.ServerSettings = functools.partial(
    access.ServerSettings,
    runner="scripted_runner",
    search_path=(Path({root!r}) / "tests" / "backend" / "service",),
    timing=Timing(heartbeat=0.4),
)
from backend.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
FIRST_BLENDER = """
import sys, time
from pathlib import Path
from blender_addon.client.submissions import PhotoFile, Transfer
from blender_addon.backend_process.server import LocalBackend
from blender_addon.runner import Phase, Runner
config, source, log = map(Path, sys.argv[1:])
runner = Runner("first", config)
runner.begin(
    Transfer("t1", (PhotoFile("a.jpg", data=b"sleep 600"),)), LocalBackend(Path(sys.executable), source, log=log)
)
while runner.busy:
    runner.tick()
    if runner.view.phase is Phase.RUNNING:
        print("runs", flush=True)
        sys.stdin.readline()
        break
    time.sleep(0.01)
runner.stop(wait=True)
"""
NewBlender = Callable[[], Runner]


def job(token: str, script: bytes) -> Transfer:
    return Transfer(token, (PhotoFile("a.jpg", data=script),))


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    package = tmp_path / "source" / "backend"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(SERVE.format(root=str(ROOT)))
    return LocalBackend(Path(sys.executable), package.parent, log=tmp_path / "server.log")


@pytest.fixture
def blender(config: Path) -> Iterator[NewBlender]:
    """Each call is another Blender, as far as the backend sees."""
    made: list[Runner] = []

    def another() -> Runner:
        made.append(Runner("test", config))
        return made[-1]

    yield another
    for runner in made:
        runner.stop(wait=True)


def solve(runner: Runner, given: Transfer, backend: LocalBackend) -> None:
    """A job from its begin to its end."""
    runner.begin(given, backend)
    solves(runner)


def solves(runner: Runner, seconds: float = 60.0) -> None:
    """The runner's job ends well."""
    until(runner, ended, seconds)
    assert runner.view.phase is Phase.DONE, runner.view


def test_each_has_a_backend_of_its_own(blender: NewBlender, backend: LocalBackend, config: Path) -> None:
    first, second = blender(), blender()
    first.begin(job("t1", b"sleep 600"), backend)
    until(first, runs)
    solve(second, job("t2", b"clip"), backend)  # it waits for nobody
    servers = [runner.process.pid for runner in (first, second)]
    second.stop(wait=True)
    assert [alive(server) for server in servers] == [True, False] and runs(first)
    first.stop(wait=True)
    wait_for_end(config)
    assert "stopped: input" in backend.log.read_text() and os.listdir(config / "jobs") == []


@pytest.mark.parametrize("killed", [True, False])
def test_the_backend_ends_with_its_blender(killed: bool, backend: LocalBackend, config: Path) -> None:
    command = [sys.executable, "-W", "always", "-c", FIRST_BLENDER, str(config), str(backend.source), str(backend.log)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as first:
        assert first.stdout is not None and first.stdout.readline() == "runs\n"
        with pytest.raises(AddonError, match="Another Blender"):
            wait_for_end(config, 0.1)
        if killed:
            first.kill()
        _, said = first.communicate("leave\n", timeout=60)
    assert said == ""
    wait_for_end(config)
    assert "stopped: input" in backend.log.read_text()


def test_a_server_that_does_not_answer_is_killed(
    blender: NewBlender, backend: LocalBackend, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "KILL_SECONDS", 0.3)
    first = blender()
    solve(first, job("t1", b"clip"), backend)
    pid = first.process.pid
    os.kill(pid, signal.SIGSTOP)
    first.stop()
    first.stop(wait=True)  # as when the extension is disabled while it ends
    assert not alive(pid)
    first.wait_for_end()
