"""Two Blenders share a backend that the first one started: ``serve`` itself, with a scripted worker behind it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from runner_steps import alive, ended, runs, until

from blender_addon import runner as runner_module
from blender_addon.backend_process.server import LocalBackend, server_runs, wait_for_end
from blender_addon.client import conversation
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
    timing=Timing(heartbeat=0.4, return_seconds=0.3),
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
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "config"
    monkeypatch.setenv("LIKENESS_CONFIG_DIR", str(folder))
    return folder


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


def test_the_first_leaves_and_the_second_ones_job_goes_on(
    blender: NewBlender, backend: LocalBackend, config: Path
) -> None:
    first, second = blender(), blender()
    first.begin(job("t1", b"sleep 600"), backend)
    until(first, runs)
    server = first.process.pid
    second.begin(job("t2", b"clip"), backend)
    until(second, lambda runner: runner.view.phase is Phase.QUEUED)
    first.stop(wait=True)
    assert alive(server) and first.process is None
    solves(second)
    first.begin(job("t3", b"clip"), backend)  # comes back as a guest
    solves(first)
    assert first.process is None and server_runs(config)
    first.stop()
    second.stop()
    wait_for_end(config)
    until(first, lambda runner: not alive(server))  # no zombie either
    assert not (config / "server.json").exists()
    assert "stopped: shutdown" in backend.log.read_text()


@pytest.mark.parametrize("killed", [True, False])
def test_the_first_is_a_process_that_ends(
    killed: bool, blender: NewBlender, backend: LocalBackend, config: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-W", "always", "-c", FIRST_BLENDER, str(config), str(backend.source), str(backend.log)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as first:
        assert first.stdout is not None and first.stdout.readline() == "runs\n"
        second = blender()
        second.begin(job("t2", b"clip"), backend)
        until(second, lambda runner: runner.view.phase is Phase.QUEUED)
        if killed:
            first.kill()
        _, said = first.communicate("leave\n", timeout=60)
    assert said == ""
    solves(second)
    second.stop()
    wait_for_end(config)
    assert f"stopped: {'parent' if killed else 'shutdown'}" in backend.log.read_text()


def test_a_guest_that_leaves_takes_its_job_with_it(blender: NewBlender, backend: LocalBackend) -> None:
    first, guest = blender(), blender()
    solve(first, job("t1", b"clip"), backend)
    guest.begin(job("t2", b"sleep 600"), backend)
    until(guest, runs)
    guest.stop(wait=True)
    solve(first, job("t3", b"clip"), backend)


def test_a_server_that_does_not_answer_is_killed(
    blender: NewBlender, backend: LocalBackend, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "ANSWER_SECONDS", 0.3)
    first, second = blender(), blender()
    for number, runner in enumerate((first, second)):
        solve(runner, job(f"t{number}", b"clip"), backend)
    server = first.process.pid
    os.kill(server, signal.SIGSTOP)
    first.stop(wait=True)
    assert not alive(server) and not server_runs(config)


def test_an_owner_whose_connection_is_lost_asks_all_the_same(
    blender: NewBlender, backend: LocalBackend, config: Path
) -> None:
    first, second = blender(), blender()
    solve(first, job("t1", b"clip"), backend)
    server = first.process.pid
    solve(second, job("t2", b"clip"), backend)
    first._drop_connection()  # as when it gave up
    first.stop(wait=True)
    assert alive(server)
    solve(second, job("t3", b"clip"), backend)
    assert second.process is None
    second.stop()
    wait_for_end(config)


def test_an_owner_that_reads_photos_off_a_slow_drive_asks_all_the_same(
    blender: NewBlender, backend: LocalBackend, tmp_path: Path
) -> None:
    """Else the server would be killed with the other Blender's job, when the first one is quit meanwhile."""
    first, second = blender(), blender()
    solve(first, job("t1", b"clip"), backend)
    server = first.process.pid
    second.begin(job("t2", b"sleep 600"), backend)
    until(second, runs)
    os.mkfifo(tmp_path / "slow.jpg")
    first.begin(Transfer("t3", (PhotoFile("slow.jpg", tmp_path / "slow.jpg"),)), backend)
    with (tmp_path / "slow.jpg").open("wb"):  # it is being read from now on, and nothing comes
        first.stop(wait=True)
        assert alive(server)
        until(second, runs)
    second.cancel()
    until(second, ended)
    solve(second, job("t4", b"clip"), backend)


def test_whoever_waits_waits_for_an_end_that_was_under_way(
    blender: NewBlender, backend: LocalBackend, config: Path
) -> None:
    """Install stops the backend and does not wait; then the extension is disabled, and enabled again."""
    first = blender()
    solve(first, job("t1", b"clip"), backend)
    server = first.process.pid
    first.stop()
    first.stop(wait=True)
    assert not alive(server) and not server_runs(config)


def test_where_a_backend_runs(blender: NewBlender, backend: LocalBackend, tmp_path: Path) -> None:
    first, guest = blender(), blender()
    elsewhere, alias = tmp_path / "elsewhere", tmp_path / "alias"
    elsewhere.mkdir()
    alias.symlink_to(backend.source.parent)
    assert not first.runs_outside(elsewhere)  # who knows
    for number, runner in enumerate((first, guest)):
        solve(runner, job(f"t{number}", b"clip"), backend)
    assert first.runs_outside(elsewhere) and not guest.runs_outside(elsewhere)
    assert not first.runs_outside(backend.source) and not first.runs_outside(alias)


def test_what_others_use_is_not_replaced(
    blender: NewBlender, backend: LocalBackend, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, guest = blender(), blender()
    for number, runner in enumerate((owner, guest)):
        solve(runner, job(f"t{number}", b"clip"), backend)
    with monkeypatch.context() as patch:
        patch.setattr(runner_module, "END_SECONDS", 0.2)
        guest.stop()
        with pytest.raises(AddonError, match="Another Blender"):
            guest.wait_for_end()
    solve(guest, job("t3", b"clip"), backend)
    owner.stop()
    with pytest.raises(AddonError, match="Another Blender"):
        owner.wait_for_end()
    guest.stop()
    owner.stop()
    owner.wait_for_end()
    assert not server_runs(config)


def test_other_arguments_wait_for_the_end_of_the_first_process(
    blender: NewBlender, backend: LocalBackend, config: Path
) -> None:
    first, second = blender(), blender()
    solve(first, job("t1", b"clip"), backend)
    server = first.process.pid
    first.begin(job("t2", b"clip"), replace(backend, device="cpu"))
    assert first.connected == (first.process is not None)  # not to the one that ends
    solves(first)
    assert not alive(server) and first.process.pid != server
    solve(second, job("t3", b"clip"), backend)
    server = first.process.pid
    first.begin(job("t4", b"clip"), backend)  # others use it: it stays what it is
    solves(first)
    assert alive(server) and first.process is None


def test_settings_that_wait_are_said_until_they_wait_no_more(
    blender: NewBlender, backend: LocalBackend, config: Path
) -> None:
    first, second = blender(), blender()
    cpu = replace(backend, device="cpu")
    assert first.waiting_settings(cpu) == ""  # nothing runs
    solve(first, job("t0", b"clip"), backend)
    first.begin(job("t1", b"sleep 600"), backend)
    until(first, runs)
    assert "here (device) counts" in first.waiting_settings(cpu) and "after this job" in first.waiting_settings(cpu)
    first.cancel()
    until(first, ended)
    assert first.waiting_settings(backend) == "" and "after this job" not in first.waiting_settings(cpu)
    assert "(device, port)" in first.waiting_settings(replace(cpu, port=5555))
    solve(second, job("t2", b"clip"), backend)
    assert second.waiting_settings(cpu) == ""  # which it has, as far as this one knows
    for other in (replace(backend, device="cuda"), replace(backend, port=1)):
        assert "once the other Blenders" in second.waiting_settings(other)

    server = first.process.pid
    solve(first, job("t3", b"clip"), cpu)  # by the server that the second one keeps
    assert "(device) counts" in first.waiting_settings(cpu) and first.waiting_settings(backend) == ""
    second.stop()
    wait_for_end(config)  # the first one, which waits for that, does not keep it
    assert first.waiting_settings(cpu) == ""
    solve(first, job("t4", b"clip"), cpu)
    assert first.process.pid != server and first.waiting_settings(cpu) == ""


def test_a_guest_that_wants_what_there_is_stays_connected(blender: NewBlender, backend: LocalBackend) -> None:
    first, guest = blender(), blender()
    for number, runner in enumerate((first, guest)):
        solve(runner, job(f"t{number}", b"clip"), backend)
    guest.tick()
    assert guest.connected
