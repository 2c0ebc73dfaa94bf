"""Hostile, broken, strange or slow clients, and pipes that are full: the server lives and the next job works."""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st
from service_client import ServerProcess, ServiceClient, children, photo_headers, wait_until

SUBMIT: dict[str, Any] = {"type": "submit", "token": "t", "photos": [{"name": "a.jpg", "bytes": 3}]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["type", "request", "token", "photos", "options", "protocol"])
FIELDS = st.dictionaries(NAMES, JSON, max_size=6)
KINDS = st.sampled_from(["hello", "submit", "cancel", "fetch", "forget", "ping", "received"])
Start = Callable[..., ServerProcess]


def assert_still_works(server: ServerProcess, token: str) -> None:
    client = server.client()
    assert client.last_message(client.submit(token, "answer")["token"]).type == "result"


def changed(**fields: Any) -> bytes:
    return json.dumps({**SUBMIT, **fields}).encode()


@pytest.mark.parametrize(
    ("header", "buffers", "code"),
    [
        (b"", (), "malformed"),
        (b"hello", (), "malformed"),
        (b"\xff\xfe\x00", (), "malformed"),
        (b"null", (), "malformed"),
        (b"{}", (), "malformed"),
        (b"[" * 60_000, (), "malformed"),
        (b'{"type":' * 6_000, (), "malformed"),
        (b'{"type": "explode"}', (), "malformed"),
        (b'{"type": "ping", "extra": 1}', (), "malformed"),
        (b'{"type": "ping", "request": 7}', (), "malformed"),
        (b'{"type": "ping", "request": "' + b"x" * 65 + b'"}', (), "malformed"),
        (b'{"type": "ping"}', (b"a buffer",), "malformed"),
        (b'{"type": "ping"' + b" " * 70_000 + b"}", (), "too_large"),
        (b'{"type": "cancel"}', (), "malformed"),
        (b'{"type": "fetch", "token": "../../etc/passwd"}', (), "malformed"),
        (b'{"type": "fetch", "token": "' + b"0" * 32 + b'"}', (), "unknown_job"),
        (b'{"type": "fetch", "token": "' + b"0" * 32 + b'\\n"}', (), "malformed"),
        (changed(), (), "malformed"),
        (changed(), (b"abcd",), "malformed"),
        (changed(), (b"abc", b"abc"), "malformed"),
        (changed(token="../x"), (b"abc",), "malformed"),
        (changed(token=""), (b"abc",), "malformed"),
        (changed(photos=[]), (), "no_photo"),
        (changed(photos=[{"name": "a", "bytes": -1}]), (b"",), "malformed"),
        (changed(photos=[{"name": "", "bytes": 3}]), (b"abc",), "malformed"),
        (changed(photos=[{"name": "a\nb", "bytes": 3}]), (b"abc",), "malformed"),
        (changed(photos=[{"name": "a" * 256, "bytes": 3}]), (b"abc",), "too_large"),
        (changed(photos=[{"name": "a", "bytes": 3}] * 2), (b"abc", b"abc"), "malformed"),
        (changed(photos=[{"name": str(n), "bytes": 1} for n in range(65)]), (b"a",) * 65, "too_large"),
        (changed(options={"quality": "superb"}), (b"abc",), "malformed"),
        (changed(options={"texture_size": 123}), (b"abc",), "malformed"),
        (changed(options={"device": "tpu"}), (b"abc",), "malformed"),
        (changed(options={"runner": "os"}), (b"abc",), "malformed"),
        (json.dumps(SUBMIT).replace("3", "1e400").encode(), (b"abc",), "malformed"),
        (json.dumps(SUBMIT).replace("3", "NaN").encode(), (b"abc",), "malformed"),
    ],
)
def test_malformed_messages(client: ServiceClient, header: bytes, buffers: tuple[bytes, ...], code: str) -> None:
    client.send_raw(header, *buffers)
    error = client.receive()
    assert error.type == "error" and error["code"] == code and error["sentence"]
    assert client.ask({"type": "ping"}).type == "pong"


def test_hello_comes_first(server: ServerProcess) -> None:
    client = server.connect()
    assert client.ask({"type": "ping"})["code"] == "hello_first"
    assert client.submit("no-hello", "answer")["code"] == "hello_first"
    assert client.hello().type == "welcome"


@pytest.mark.parametrize("protocol", [1, 3])
def test_another_version(server: ServerProcess, protocol: int) -> None:
    client = server.connect()
    error = client.ask({"type": "hello", "protocol": protocol, "news": ["of", "the", "future"]})
    assert error["code"] == "version" and f"protocol {protocol}" in error["sentence"]
    assert "same version" in error["advice"]
    assert client.ask({"type": "ping"})["code"] == "hello_first"
    assert client.hello().type == "welcome"


def test_unknown_keys_get_no_answer(server: ServerProcess) -> None:
    known, someone = server.keys(), tuple(key.decode() for key in zmq.curve_keypair())
    other_server = zmq.curve_keypair()[0].decode()
    strangers = [
        ServiceClient(server.endpoint, server.public_key, someone),
        ServiceClient(server.endpoint, other_server, known),
        ServiceClient(server.endpoint, "", None),
    ]
    try:
        for stranger in strangers:
            stranger.socket.sndtimeo = 0
            with suppress(zmq.Again):  # when the handshake has failed already, there is nobody to send to
                stranger.send({"type": "hello", "protocol": 2})
        time.sleep(0.5)
        assert not any(stranger.socket.poll(0) for stranger in strangers)
    finally:
        for stranger in strangers:
            stranger.close()
    assert_still_works(server, "after-strangers")


def test_frames_over_the_limit_close_the_connection(start_server) -> None:
    limits = {"frame_bytes": 100_000, "message_bytes": 250_000, "photos": 4}
    server = start_server(limits=limits)
    client = server.client()
    too_much = [bytes(90_000)] * 3
    answer = client.ask({**SUBMIT, "photos": photo_headers(too_much)}, *too_much)
    assert answer["code"] == "too_large" and "together" in answer["sentence"]
    answer = client.ask({**SUBMIT, "photos": photo_headers([b""] * 5)}, *[b""] * 5)
    assert answer["code"] == "too_large" and "5 photos" in answer["sentence"]
    assert client.ask({"type": "ping"}, *[b""] * 1000)["code"] == "malformed"
    exactly, over = b"answer " + bytes(100_000 - 7), bytes(100_001)
    assert client.last_message(client.submit("exactly", exactly)["token"]).type == "result"
    assert client.submit("over", over)["code"] == "too_large"
    client.send({**SUBMIT, "photos": photo_headers([bytes(110_000)])}, bytes(110_000))
    assert client.is_silent(0.5)
    assert client.ask({"type": "ping"})["code"] == "hello_first"  # connected anew
    assert_still_works(server, "after-oversized")


def resident_kb(server: ServerProcess) -> int:
    with open(f"/proc/{server.process.pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def test_limits_of_jobs(start_server) -> None:
    server = start_server(limits={"queue": 2, "waiting_bytes": 1000})
    client = server.client()
    jobs = [client.submit(f"j{number}", "sleep 0.3")["token"] for number in range(2)]
    assert client.submit("one-more", "answer")["code"] == "queue_full"
    for job in jobs:
        client.last_message(job)
    assert client.submit("large", b"answer", bytes(1000))["code"] == "queue_full"
    assert client.last_message(client.submit("one-more", "answer")["token"]).type == "result"


def test_a_client_that_does_not_read_blocks_nobody(server: ServerProcess) -> None:
    slow = server.connect(rcvhwm=1)
    slow.hello()
    job = slow.submit("slow", f"large {8 * 2**20}")["token"]
    slow.last_message(job)
    for _ in range(30):
        slow.send({"type": "fetch", "token": job})  # 240 MB that nobody reads
    quick = server.client()
    start = time.monotonic()
    assert quick.last_message(quick.submit("quick", "answer")["token"]).type == "result"
    assert time.monotonic() - start < 3
    assert resident_kb(server) < 200_000  # kB: it holds one of the thirty, not all


def test_a_result_that_is_forgotten_while_it_waits_is_named(server: ServerProcess, client: ServiceClient) -> None:
    for token, size in (("first", 48 * 2**20), ("forgotten", 16)):
        assert client.last_message(client.submit(token, f"large {size}")["token"]).type == "result"
    for kind, token in (("fetch", "first"), ("fetch", "forgotten"), ("forget", "forgotten")):
        client.send({"type": kind, "token": token, "request": f"{kind}-{token}"})
    lost = client.wait_for(lambda message: message.header.get("request") == "fetch-forgotten")
    assert (lost.type, lost["token"], lost["code"]) == ("error", "forgotten", "unknown_job") and lost["sentence"]


def test_heartbeats_during_a_long_download_do_not_make_a_client_forgotten(server: ServerProcess) -> None:
    slow = server.connect(rcvhwm=1)
    slow.hello()
    job = slow.submit("long-download", f"large {32 * 2**20}")["token"]
    slow.last_message(job)
    slow.send({"type": "fetch", "token": job})
    for _ in range(300):
        slow.send({"type": "ping"})
    server.client().ask({"type": "ping"})
    time.sleep(0.5)
    assert slow.ask({"type": "forget", "token": job}).type == "forgotten"


@settings(max_examples=300)
@given(header=FIELDS, kind=KINDS, buffers=st.lists(st.binary(max_size=20), max_size=3))
def test_decoding_answers_or_refuses(header: dict[str, Any], kind: str, buffers: list[bytes]) -> None:
    from backend.errors import LikenessError
    from backend.service.messages import Limits, Submit, decode

    try:
        message = decode(
            json.dumps({**header, "type": kind}).encode(), [memoryview(buffer) for buffer in buffers], Limits()
        )
    except LikenessError as error:
        assert error.sentence
    else:
        assert not buffers or isinstance(message, Submit)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(sys.platform == "win32", reason="sockets are no files")
def test_who_speaks_at_once_is_no_stranger() -> None:
    from backend.service.access import ConnectionLimit

    with zmq.Context() as context, context.socket(zmq.ROUTER) as router, context.socket(zmq.DEALER) as client:
        limit, port = ConnectionLimit(router), router.bind_to_random_port("tcp://127.0.0.1")
        client.connect(f"tcp://127.0.0.1:{port}")
        client.send(b"hello")
        limit.delivered(router.recv_multipart(copy=False)[0])
        assert list(limit._open.values()) == [True], "closed before strangers who say nothing"


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process")
def test_more_connections_than_descriptors(start_server: Start) -> None:
    server = start_server()
    client = server.client()
    assert client.last_message(client.submit("first", "answer")["token"]).type == "result"
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
        assert (answer := client.ask({"type": "ping"})).type == "pong", answer.header
        later = server.client()
        assert later.last_message(later.submit("second", "answer")["token"]).type == "result"


@pytest.mark.skipif(sys.platform != "linux", reason="memory of a process")
def test_a_worker_that_keeps_much_memory_is_replaced(start_server: Start) -> None:
    server = start_server()
    client = server.client()
    assert client.last_message(client.submit("small", "keep 1000000")["token"]).type == "result"
    (before,) = children(server.process.pid)
    assert client.last_message(client.submit("large", "keep 700000000")["token"]).type == "result"
    assert wait_until(lambda: children(server.process.pid) not in ([], [before]), 20.0)
    assert client.last_message(client.submit("next", "answer")["token"]).type == "result"
