"""What is large is made once, whoever asks for it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.photos import networks
from backend.photos.networks import Network
from backend.system.files import made_once


def test_threads_that_ask_at_the_same_time_get_one_object() -> None:
    made = []

    @made_once
    def slow(name: str) -> object:
        time.sleep(0.05)
        made.append(name)
        return object()

    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(slow, ["a"] * 8 + ["b"]))
    assert sorted(made) == ["a", "b"]
    assert len(set(map(id, got))) == 2
    slow.cache_clear()
    assert slow("a") is not got[0]


def test_an_error_is_not_kept() -> None:
    calls = []

    @made_once
    def fails() -> None:
        calls.append(1)
        raise OSError("no file")

    for _ in range(2):
        with pytest.raises(OSError, match="no file"):
            fails()
    assert len(calls) == 2


def test_networks_are_loaded_once_by_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    def load(network: Network, name: str) -> None:
        time.sleep(0.05)
        loaded.append(name)

    monkeypatch.setattr(Network, "__init__", load)
    networks.network.cache_clear()
    try:
        for name in networks.SHA256:
            with ThreadPoolExecutor(2) as pool:
                first, second = pool.map(lambda _, name=name: networks.network(name), range(2))
            assert first is second
    finally:
        networks.network.cache_clear()
    assert loaded == list(networks.SHA256)
