"""How long a server lives: its owner, others who use it, and nobody."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq
from client_process import ClientProcess
from service_client import ServerProcess, ServiceClient, children, wait_until
from slow_link import Link

Start = Callable[..., ServerProcess]


def running_job(client: ServiceClient, token: str, job: str) -> str:
    identifier = client.submit(token, job)["job"]
    client.wait_until_running(identifier)
    return identifier


def test_the_owner_stops_the_server(start_server: Start) -> None:
    server = start_server(parent=os.getpid())
    client, other = server.owner(), server.owner()
    job = running_job(other, "unlucky", "stuck 60")
    (worker,) = children(server.process.pid)
    client.send({"type": "shutdown"})
    assert client.receive().header == {"type": "bye", "reason": "shutdown"}
    assert other.last_message(job)["code"] == "stopped"
    assert other.wait_for(lambda message: message.type == "bye")["reason"] == "shutdown"
    assert server.reason() == "shutdown"
    assert wait_until(lambda: not Path(f"/proc/{worker}").exists())
    assert sorted(os.listdir(server.folder)) == ["client_key.json", "server.lock", "server_key.json"]


def test_without_an_owner_nobody_stops_it(start_server: Start) -> None:
    client = start_server().connect()
    assert "shutdown" not in client.hello(owner=True)["capabilities"]
    assert client.ask({"type": "shutdown"})["code"] == "not_owner"


def test_a_guest_or_another_key_does_not_stop_it(start_server: Start, tmp_path: Path) -> None:
    public, secret = (key.decode() for key in zmq.curve_keypair())
    folder = tmp_path / "likeness"
    folder.mkdir(mode=0o700)
    (folder / "authorized_clients").write_text(f"{public} a colleague\n")
    server = start_server(parent=os.getpid())
    guest, colleague = server.client(), server.connect((public, secret))
    assert "shutdown" not in colleague.hello(owner=True)["capabilities"]
    for client in (guest, colleague):
        assert client.ask({"type": "shutdown"})["code"] == "not_owner"


def test_it_stays_for_others_and_ends_after_them(start_server: Start) -> None:
    server = start_server(parent=os.getpid(), timing={"heartbeat": 0.4, "return_seconds": 0.3})
    owner, other = server.owner(), server.client()
    own, job = running_job(owner, "own", "sleep 600"), other.submit("theirs", "answer")["job"]
    assert owner.ask({"type": "shutdown"}).type == "stays"
    assert owner.last_message(own)["code"] == "cancelled"  # nobody waits for it
    assert other.last_message(job).type == "result"
    owner.send({"type": "bye"})
    assert other.is_silent(1.0)
    assert other.last_message(other.submit("another", "answer")["job"]).type == "result"
    other.send({"type": "bye"})
    assert server.reason() == "shutdown"
    assert not (server.folder / "server.json").exists()


def test_it_stays_for_a_job_whose_client_is_gone(start_server: Start, client_process: ClientProcess) -> None:
    server = start_server(parent=os.getpid(), timing={"heartbeat": 0.2, "return_seconds": 0.3})
    owner = server.owner()
    job = client_process.run_job(server, "sleep 600")
    assert owner.ask({"type": "shutdown"}).type == "stays"
    client_process.process.kill()
    assert owner.is_silent(1.5)  # no bye
    other = server.client()
    assert [entry["state"] for entry in other.ask({"type": "list"})["jobs"]] == ["running"]
    other.send({"type": "cancel", "job": job})
    assert other.last_message(job)["code"] == "cancelled"
    other.close()  # without a word
    assert server.reason() == "shutdown"


def test_it_stops_with_its_parent(start_server: Start, client_process: ClientProcess) -> None:
    server = start_server(parent=client_process.process.pid)
    client_process.run_job(server, "sleep 600", owner=True)
    client_process.process.kill()  # and nobody waits for it: a zombie counts as gone
    assert server.reason() == "parent"


def test_it_outlives_its_parent_for_others(start_server: Start, client_process: ClientProcess) -> None:
    timing = {"heartbeat": 0.4, "return_seconds": 0.3}
    server = start_server(parent=client_process.process.pid, timing=timing)
    of_parent = client_process.run_job(server, "sleep 600", owner=True)
    other = server.client()
    job = other.submit("theirs", "answer")["job"]
    client_process.process.kill()
    assert other.last_message(job).type == "result"  # it waited behind that of the parent, which nobody wants now
    jobs = {entry["job"]: entry["state"] for entry in other.ask({"type": "list"})["jobs"]}
    assert jobs == {of_parent: "cancelled", job: "done"}
    other.send({"type": "bye"})
    assert server.reason() == "parent"


def test_it_stops_when_idle(start_server: Start) -> None:
    server = start_server(idle_exit=0.6, timing={"heartbeat": 30})
    client = server.client()
    job = client.submit("busy", "sleep 1")["job"]
    assert client.last_message(job).type == "result"
    assert client.wait_for(lambda message: message.type == "bye")["reason"] == "idle"
    assert server.reason() == "idle"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what has arrived")
def test_an_upload_on_a_slow_line_is_not_idle(start_server: Start) -> None:
    server = start_server(idle_exit=3, timing={"heartbeat": 30})
    with Link(server.endpoint, up=200_000) as link:
        client = ServiceClient(link.endpoint, server.public_key, server.keys())
        try:
            client.hello()
            job = client.submit("slow", "answer" + " " * 1_000_000)["job"]
            assert client.last_message(job).type == "result"
        finally:
            client.close()
