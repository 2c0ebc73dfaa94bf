"""Servers in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from service_client import ServerProcess, ServiceClient

QUICK = {"heartbeat": 0.4, "silence": 60.0}
"""A test that waits for one client leaves its others silent, for as long as a busy machine takes to start a worker."""


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for a whole file of tests; a test that harms it makes those after it fail."""
    server = ServerProcess(tmp_path_factory.mktemp("config") / "likeness", timing=QUICK)
    yield server
    server.close()


@pytest.fixture
def server(shared_server: ServerProcess) -> Iterator[ServerProcess]:
    """The file's server; a test's clients are closed after it, and their jobs cancelled."""
    yield shared_server
    tokens = {token for client in shared_server.clients for token in client.tokens}
    shared_server.close_clients()
    cleaner = shared_server.client()
    for token in tokens:
        queued = cleaner.ask({"type": "fetch", "token": token})
        if queued.type == "queued":
            cleaner.send({"type": "cancel", "token": token})
            cleaner.last_message(queued["token"])
    shared_server.close_clients()


@pytest.fixture
def client(server: ServerProcess) -> ServiceClient:
    """A welcomed client."""
    return server.client()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Starts a server for one test; its folder is ``tmp_path / "likeness"``."""
    servers: list[ServerProcess] = []

    def start(**options: Any) -> ServerProcess:
        options.setdefault("timing", QUICK)
        servers.append(ServerProcess(tmp_path / "likeness", **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
