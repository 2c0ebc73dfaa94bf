"""Two processes, and what happens when one of them ends."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import zmq
from service_client import ROOT, ServerProcess, ServiceClient, children, wait_until

from backend.errors import EXIT_CODES, LikenessError
from backend.service.access import check_address


def test_a_server_killed_in_the_middle_of_a_job(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server()
    client = server.client()
    old_instance = client.hello()["instance"]
    job = client.submit("lost", "stuck 60")["token"]
    client.wait_until_running(job)
    waiting = client.submit("waits", "answer")["token"]
    assert set(server.jobs.iterdir()) == {server.folder_of(job), server.folder_of(waiting)}
    (worker,) = children(server.process.pid)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    assert wait_until(lambda: not Path(f"/proc/{worker}").exists()), "the worker outlived its server"
    assert not server.jobs.exists()  # nobody's photos stay, and no start is needed for it
    following = start_server()
    assert following.public_key == server.public_key
    client = following.client()
    assert client.hello()["instance"] != old_instance
    assert client.ask({"type": "fetch", "token": job})["code"] == "unknown_job"
    assert client.last_message(client.submit("again", "answer")["token"]).type == "result"


def test_a_worker_that_was_talking_when_its_server_was_killed_removes_all_photos(
    start_server: Callable[..., ServerProcess],
) -> None:
    """Its own thread finds the pipe broken while another one removes thousands of files."""
    server = start_server()
    client = server.client()
    job = client.submit("lost", "sleep 60")["token"]
    client.wait_until_running(job)
    for number in range(5000):
        (server.folder_of(job) / f"more_{number}").touch()
    (worker,) = children(server.process.pid)
    server.process.kill()
    server.process.wait()
    assert wait_until(lambda: not Path(f"/proc/{worker}").exists())
    assert not server.jobs.exists()


def test_a_worker_whose_server_goes_while_it_loads_ends_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    worker = subprocess.Popen(
        [sys.executable, "-m", "backend.service.worker", "scripted_runner", "cpu", str(tmp_path / "jobs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={
            **os.environ,
            "SCRIPTED_WARM": "slow",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
        },
    )
    worker.stdout.close()
    time.sleep(0.5)
    worker.stdin.close()
    said = worker.stderr.read().decode()
    assert worker.wait() is not None and "Traceback" not in said, said


def thread_states(process: int) -> list[str]:
    """The letter of each thread's state, ``T`` where it is stopped."""
    stats = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/stat")]
    return [stat.rpartition(")")[2].split()[0] for stat in stats]


def killed_while_its_worker_is_stopped(server: ServerProcess) -> int:
    """Kill a server in the middle of a job; its worker's id, which has not heard of it yet."""
    client = server.client()
    client.wait_until_running(client.submit("lost", "stuck 60")["token"])
    (worker,) = children(server.process.pid)
    os.kill(worker, signal.SIGSTOP)
    assert wait_until(lambda: set(thread_states(worker)) == {"T"})  # on a busy machine threads stop one by one
    server.process.kill()
    server.process.wait()
    return worker


def test_photos_of_a_server_killed_with_its_worker_go_with_the_next_start(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server()
    worker = killed_while_its_worker_is_stopped(server)
    os.kill(worker, signal.SIGKILL)
    assert list(server.jobs.glob("*/photo_0"))
    following = start_server()
    assert sorted(os.listdir(server.folder / "jobs")) == [following.instance, f"{following.instance}.lock"]


def test_a_late_worker_leaves_the_next_servers_photos(start_server: Callable[..., ServerProcess]) -> None:
    """It hears of its server's end when the next one has jobs already."""
    server = start_server()
    worker = killed_while_its_worker_is_stopped(server)
    following = start_server()
    job = following.client().submit("kept", "stuck 60")["token"]
    os.kill(worker, signal.SIGCONT)
    assert wait_until(lambda: not Path(f"/proc/{worker}").exists())
    assert (following.folder_of(job) / "photo_0").read_bytes() == b"stuck 60"


@pytest.mark.skipif(sys.platform != "linux", reason="reads a process' memory from /proc")
def test_a_failed_job_leaves_no_memory_in_the_worker(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server()
    client = server.client()
    client.last_message(client.submit("first", "answer")["token"])
    (worker,) = children(server.process.pid)
    before = _resident_megabytes(worker)
    ended = client.last_message(client.submit("hoard", "hoard 400")["token"])
    assert ended["code"] == "internal" and "400 arrays" in ended["sentence"]
    assert wait_until(lambda: _resident_megabytes(worker) < before + 50), f"{_resident_megabytes(worker)} MB"
    assert children(server.process.pid) == [worker]  # it was not simply replaced


def _resident_megabytes(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def test_a_client_that_breaks_off_in_the_middle_of_a_job(start_server: Callable[..., ServerProcess]) -> None:
    """Without ``bye``, as when its process is killed."""
    server = start_server()
    gone = server.client()
    gone.wait_until_running(job := gone.submit("broken-off", "sleep 1.5")["token"])
    gone.close()
    client = server.client()
    assert client.last_message(client.submit("other", "answer")["token"]).type == "result"
    found = client.ask({"type": "fetch", "token": job})
    assert found.type == "result" or client.last_message(job).type == "result"


def test_a_signal_stops_it_in_order(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server()
    client = server.client()
    server.process.terminate()
    assert client.receive().header == {"type": "bye", "reason": "signal"}
    assert server.reason() == "signal" and server.process.returncode == 0


def serve(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "LIKENESS_CONFIG_DIR": str(folder)}
    command = [sys.executable, "-m", "backend", "serve", *arguments]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def announced(process: subprocess.Popen[str]) -> dict[str, str]:
    """The line that a server prints when it is ready; fails with what it said where it has ended instead."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"exit status {process.wait(10)}: {process.stderr.read() if process.stderr else ''}"
    return json.loads(line)


def fails(folder: Path, arguments: Sequence[str], code: str) -> str:
    """Run ``serve``, which must fail with that code; what it prints."""
    process = serve(folder, *arguments)
    out, err = process.communicate(timeout=30)
    assert process.returncode == EXIT_CODES[code], err
    assert out == "" and "Traceback" not in err
    return err


def test_the_command(tmp_path: Path) -> None:
    """``python -m backend serve``: the line that it prints, its files, and that it ends with its input."""
    folder = tmp_path / "config"
    process = serve(folder, "--stop-with-input")
    try:
        ready = announced(process)
        assert ready["event"] == "ready" and ready["protocol"] == 2 and ready["pid"] == process.pid
        assert ready["config_dir"] == str(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for name in ("server_key.json", "client_key.json", f"jobs/{ready['instance']}.lock"):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
        if sys.platform == "linux":  # so that photos and results are 0600, too
            assert "Umask:\t0077" in Path(f"/proc/{process.pid}/status").read_text()
        port = ready["endpoint"].rsplit(":", 1)[1]
        assert "taken" in fails(tmp_path / "other", ["--bind", f"tcp://127.0.0.1:{port}"], "in_use")
        keys = json.loads((folder / "client_key.json").read_text())
        client = ServiceClient(ready["endpoint"], ready["public_key"], (keys["public_key"], keys["secret_key"]))
        try:
            assert client.hello()["instance"] == ready["instance"]
            assert process.stdin is not None
            process.stdin.close()
            assert client.receive().header == {"type": "bye", "reason": "input"}
        finally:
            client.close()
        assert process.wait(timeout=30) == 0 and process.stdout is not None and process.stdout.read() == ""
        assert os.listdir(folder / "jobs") == []
    finally:
        process.kill()
        process.wait()


def test_other_machines_need_keys(tmp_path: Path) -> None:
    printed = fails(tmp_path, ["--bind", "tcp://0.0.0.0:0"], "usage")
    assert "--owner" in printed and "other machines" in printed
    fails(tmp_path, ["--bind", "tcp://*:0"], "usage")
    fails(tmp_path, ["--bind", "tcp://127.0.0.1:0", "--owner", "short"], "usage")


def test_other_machines_with_keys(tmp_path: Path) -> None:
    """A given key is let in, the user's own is not."""
    public, secret = (key.decode() for key in zmq.curve_keypair())
    process = serve(tmp_path, "--bind", "tcp://0.0.0.0:0", f"--owner={public}")
    try:
        ready = announced(process)
        endpoint = ready["endpoint"].replace("0.0.0.0", "127.0.0.1")
        own = json.loads((tmp_path / "client_key.json").read_text())
        allowed = ServiceClient(endpoint, ready["public_key"], (public, secret))
        refused = ServiceClient(endpoint, ready["public_key"], (own["public_key"], own["secret_key"]))
        try:
            refused.send({"type": "hello", "protocol": 2})
            assert allowed.hello().type == "welcome"
            assert refused.is_silent(0.3)
        finally:
            allowed.close()
            refused.close()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "address", ["127.0.0.1:5555", "ipc://x", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "tcp://:1"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(LikenessError, match="no address"):
        check_address(address)


def test_an_address_of_another_machine(tmp_path: Path) -> None:
    public = zmq.curve_keypair()[0].decode()
    printed = fails(tmp_path, ["--bind", "tcp://192.0.2.1:5555", f"--owner={public}"], "usage")
    assert "cannot listen" in printed


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="asks Linux what a process may open")
def test_a_server_may_open_more_files_than_a_shell_begins_with(start_server: Callable[..., ServerProcess]) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        server = start_server()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    line = next(
        line for line in Path(f"/proc/{server.process.pid}/limits").read_text().splitlines() if "open files" in line
    )
    assert int(line.split()[3]) > 256 or hard <= 256
