"""What is forgotten does not answer any more, and what is kept nobody else can read."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable

import pytest
from service_client import ServerProcess, ServiceClient

Start = Callable[..., ServerProcess]


def made(client: ServiceClient, token: str) -> str:
    """Make a head, which the worker keeps; the job's id."""
    job = client.submit(token, "answer")["token"]
    assert client.last_message(job).type == "result"
    return job


def alone(client: ServiceClient, only: str, head: str) -> str:
    """Ask for a head's hair or texture alone; ``result``, or the error's code."""
    token = f"{only}-{time.monotonic_ns()}"
    header = {"type": "submit", "token": token, "photos": [], "options": {"only": only, "head": head}}
    message = client.last_message(client.ask(header)["token"])
    return message.header.get("code", message.type)


def test_nothing_of_a_forgotten_head_answers(server: ServerProcess, client: ServiceClient) -> None:
    job = made(client, "secret")
    client.send({"type": "received", "token": job})  # the extension has it, and still changes its hair and texture
    assert [alone(client, only, "secret") for only in ("hair", "texture")] == ["result", "result"]
    assert not server.folder_of(job).exists()
    assert client.ask({"type": "forget", "token": "secret"}).type == "forgotten"
    assert [alone(client, only, "secret") for only in ("hair", "texture")] == ["usage", "usage"]
    for kind in ("fetch", "cancel", "forget", "received"):
        assert client.ask({"type": kind, "token": "secret"})["code"] == "unknown_job"


def test_forgetting_one_head_leaves_another(client: ServiceClient) -> None:
    made(client, "first")
    made(client, "second")
    client.ask({"type": "forget", "token": "first"})
    assert (alone(client, "hair", "first"), alone(client, "hair", "second")) == ("usage", "result")


def test_an_expired_head_does_not_answer(start_server: Start) -> None:
    client = start_server(limits={"result_seconds": 0.5}).client()
    made(client, "old")
    time.sleep(1.0)
    assert alone(client, "texture", "old") == "usage"


@pytest.mark.parametrize("bye", [True, False])
def test_nothing_is_kept_for_who_has_left(start_server: Start, bye: bool) -> None:
    server = start_server(timing={"heartbeat": 0.1, "silence": 0.3})
    client = server.client()
    made(client, "left")
    if bye:
        client.send({"type": "bye"})
        assert client.is_silent(0.2)
    client.close()
    if not bye:  # its line is cut
        time.sleep(1.5)
    again = server.client()
    assert alone(again, "hair", "left") == "usage"
    assert again.ask({"type": "fetch", "token": "left"}).type == "result"  # it has not arrived for certain


def test_another_connection_keeps_a_head(start_server: Start) -> None:
    server = start_server(timing={"heartbeat": 0.1, "silence": 0.3})
    client, other = server.client(), server.client()
    made(client, "kept")
    client.send({"type": "bye"})
    time.sleep(1.0)
    assert alone(other, "hair", "kept") == "result"


def test_files_are_this_users_alone(start_server: Start) -> None:
    before = os.umask(0o022)  # as in a shell
    try:
        server = start_server()
    finally:
        os.umask(before)
    client = server.client()
    job = client.submit("modes", "sleep 0.5", "second")["token"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in server.folder_of(job).iterdir()} == {0o600}
    client.last_message(job)
    assert stat.S_IMODE((server.folder_of(job) / "result").stat().st_mode) == 0o600
    folders = (server.folder_of(job), server.jobs, server.jobs.parent, server.folder)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
