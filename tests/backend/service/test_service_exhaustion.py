"""Pipes, descriptors and memory that are full: the server goes on."""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from service_client import ServerProcess, children, wait_until

Start = Callable[..., ServerProcess]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process")
def test_more_connections_than_descriptors(start_server: Start) -> None:
    server = start_server()
    client = server.client()
    assert client.last_message(client.submit("first", "answer")["job"]).type == "result"
    pid = server.process.pid
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (128, 128))
    host, port = server.endpoint.removeprefix("tcp://").split(":")
    with ExitStack() as strangers:
        for _ in range(300):
            stranger = strangers.enter_context(socket.socket())
            stranger.setblocking(False)
            stranger.connect_ex((host, int(port)))
        time.sleep(1.0)
        before = cpu_seconds(pid)
        time.sleep(1.0)
        assert cpu_seconds(pid) - before < 0.5, "it spins"
        assert client.ask({"type": "ping"}).type == "pong"
        later = server.client()
        assert later.last_message(later.submit("second", "answer")["job"]).type == "result"


@pytest.mark.skipif(sys.platform != "linux", reason="memory of a process")
def test_a_worker_that_keeps_much_memory_is_replaced(start_server: Start) -> None:
    server = start_server()
    client = server.client()
    assert client.last_message(client.submit("small", "keep 1000000")["job"]).type == "result"
    (before,) = children(server.process.pid)
    assert client.last_message(client.submit("large", "keep 700000000")["job"]).type == "result"
    assert wait_until(lambda: children(server.process.pid) not in ([], [before]), 20.0)
    assert client.last_message(client.submit("next", "answer")["job"]).type == "result"
