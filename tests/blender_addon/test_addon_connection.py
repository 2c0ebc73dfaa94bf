"""The client's thread against a server that does what the protocol says, or does not."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from blender_addon.shared.keys import KeyPair
from scripted_server import Header, ScriptedServer, progress

from blender_addon.client import conversation
from blender_addon.client.conversation import Connection, ServerAddress, Timeouts, client_keys
from blender_addon.client.events import ConnectFailed, ConnectionLost, Event, JobFailed, Progressed, Queued, Welcomed
from blender_addon.client.submissions import PhotoFile, Submission, unique_labels
from blender_addon.errors import AddonError

LEFT: dict[Connection, list[Event]] = {}
PATIENCE = Timeouts(hello=1.0, again=1.5)
WELCOME: dict[str, Any] = {
    "type": "welcome",
    "likeness": "0.2.0",
    "instance": "abc",
    "limits": {"header_bytes": 9, "frame_bytes": 1, "message_bytes": 2, "photos": 3},
    "heartbeat": {"interval_seconds": 2.0, "silence_seconds": 15.0},
    "capabilities": ["reconstruct", 3],
}


def until(connection: Connection, wanted: Callable[[Event], bool], seconds: float = 8.0) -> list[Event]:
    """All events up to the first wanted one; what came after it waits for the next call."""
    events: list[Event] = []
    waiting = LEFT.setdefault(connection, [])
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        waiting += connection.take()
        while waiting:
            events.append(waiting.pop(0))
            if wanted(events[-1]):
                return events
        time.sleep(0.01)
    raise AssertionError(f"it never came; there were {events}")


def is_a(kind: type) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, kind)


@pytest.fixture
def connect() -> Iterator[Callable[..., Connection]]:
    opened: list[Connection] = []

    def start(server: ScriptedServer, public_key: str | None = None) -> Connection:
        keys = KeyPair(*(key.decode() for key in zmq.curve_keypair()))
        address = ServerAddress(server.endpoint, public_key or server.public_key)
        opened.append(Connection(address, keys, "test 1", PATIENCE))
        opened[-1].start()
        return opened[-1]

    yield start
    for connection in opened:
        connection.close(2)
        assert not connection.alive


def test_a_job_from_submit_to_error(tmp_path: Path, connect: Callable[..., Connection]) -> None:
    def submitted(server: ScriptedServer, peer: bytes, header: Header, photos: list[bytes]) -> None:
        token = header["token"]
        server.send(peer, {"type": "queued", "request": "submit", "token": token, "position": 2})
        server.send(peer, progress(token, 0.5, 14.0))
        server.send(peer, {"type": "error", "token": token, "code": "no_face", "sentence": "S.", "advice": "A."})

    path = tmp_path / "b.jpg"
    path.write_bytes(b"second")
    with ScriptedServer(submitted) as server:
        connection = connect(server)
        connection.submit(
            Submission("t1", (PhotoFile("a.jpg", data=b"first"), PhotoFile("b.jpg", path)), {"quality": "fast"})
        )
        events = until(connection, is_a(JobFailed))
        assert [type(event) for event in events] == [Welcomed, Queued, Progressed, JobFailed]
        welcome, waits, runs, failed = events
        assert welcome.instance == server.instance and welcome.same_server and welcome.limits.photos == 4
        assert waits == Queued("t1", 2)
        assert runs == Progressed("t1", "dense", "Aligning the photos with each other", 0.5, 14.0)
        error = failed.error
        assert (failed.token, error.code, error.sentence, error.advice) == ("t1", "no_face", "S.", "A.")
        assert server.photos == [[b"first", b"second"]]
        submit = next(header for header in server.seen if header["type"] == "submit")
        assert submit["photos"] == [{"name": "a.jpg", "bytes": 5}, {"name": "b.jpg", "bytes": 6}]
        assert submit["options"] == {"quality": "fast"}


@pytest.mark.parametrize(
    ("photo", "code"),
    [
        (PhotoFile("gone.jpg", Path("nowhere") / "gone.jpg"), "no_photo"),
        (PhotoFile("empty.jpg", data=b""), "no_photo"),
        (PhotoFile("huge.jpg", data=bytes(2**20 + 1)), "too_large"),
    ],
)
def test_photos_that_the_server_would_refuse_are_not_sent(
    photo: PhotoFile, code: str, connect: Callable[..., Connection]
) -> None:
    with ScriptedServer() as server:
        connection = connect(server)
        connection.submit(Submission("t3", (photo,)))
        failed = until(connection, is_a(JobFailed))[-1].error
        assert failed.code == code and photo.label in failed.sentence and failed.advice
        assert server.photos == []


def test_a_silent_server_is_tried_again_and_the_job_goes_on(connect: Callable[..., Connection]) -> None:
    def submitted(server: ScriptedServer, peer: bytes, header: Header, photos: list[bytes]) -> None:
        server.send(peer, {"type": "queued", "token": header["token"], "position": 0})

    with ScriptedServer(submitted) as server:
        server.silence_seconds = 1.0
        connection = connect(server)
        connection.submit(Submission("t4", (PhotoFile("a.jpg", data=b"x"),)))
        until(connection, is_a(Queued))
        server.silent = True
        until(connection, is_a(ConnectionLost))
        server.silent = False
        welcome = until(connection, is_a(Welcomed))[-1]
        assert welcome.same_server
        until(connection, is_a(Queued))  # it did not know the job any more, so it got the photos again
        assert len(server.photos) == 2


def test_another_server_at_the_same_place_has_lost_the_job(connect: Callable[..., Connection]) -> None:
    with ScriptedServer() as server:
        server.silence_seconds = 1.0
        connection = connect(server)
        connection.submit(Submission("t5", (PhotoFile("a.jpg", data=b"x"),)))
        while not server.photos:
            time.sleep(0.01)
        server.instance, server.silent = "another", True
        until(connection, is_a(ConnectionLost))
        server.silent = False
        failed = until(connection, is_a(JobFailed))[-1].error
        assert failed.code == "server_died" and "once more" in failed.advice


def test_a_server_that_stops_says_that_its_head_is_lost(connect: Callable[..., Connection]) -> None:
    with ScriptedServer(lambda server, peer, *_: server.send(peer, {"type": "bye", "reason": "signal"})) as server:
        connection = connect(server)
        connection.submit(Submission("t8", (PhotoFile("a.jpg", data=b"x"),)))
        left = until(connection, is_a(ConnectFailed))[-1].error
        assert left.code == "left" and "head" in left.sentence and "solve" in left.advice


def test_a_wrong_key_is_called_that(connect: Callable[..., Connection]) -> None:
    wrong = zmq.curve_keypair()[0].decode()
    with ScriptedServer() as server:
        connection = connect(server, wrong)
        gave_up = until(connection, is_a(ConnectFailed))[-1].error
        assert gave_up.code in ("refused", "unreachable") and "key" in gave_up.advice
        assert server.seen == []


def test_a_server_that_dies_amid_the_greeting_did_not_refuse_it(connect: Callable[..., Connection]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as dying:
        endpoint = f"tcp://127.0.0.1:{dying.getsockname()[1]}"
        connection = connect(SimpleNamespace(endpoint=endpoint, public_key=zmq.curve_keypair()[0].decode()))
        dying.accept()[0].close()
    assert until(connection, is_a(ConnectFailed))[-1].error.code == "unreachable"


def test_another_protocol_version_is_said_in_words(connect: Callable[..., Connection]) -> None:
    with ScriptedServer() as server:
        server.welcome = {"type": "error", "code": "version", "sentence": "?", "advice": ""}
        gave_up = until(connect(server), is_a(ConnectFailed))[-1].error
        assert gave_up.code == "version" and "version" in gave_up.advice


@pytest.mark.parametrize("limits", [None, {"photos": "many"}, {"photos": 4, "frame_bytes": 1}])
def test_a_malformed_welcome_ends_the_connection(limits: object, connect: Callable[..., Connection]) -> None:
    with ScriptedServer() as server:
        server.welcome = {"limits": limits}
        gave_up = until(connect(server), is_a(ConnectFailed))[-1].error
        assert gave_up.code == "malformed"


def test_a_broken_result_fails_the_job_and_not_the_connection(connect: Callable[..., Connection]) -> None:
    def submitted(server: ScriptedServer, peer: bytes, header: Header, photos: list[bytes]) -> None:
        server.send(peer, {"type": "preview", "token": header["token"], "buffers": "none"})
        server.send(peer, {"type": "result", "token": header["token"], "version": 1, "buffers": []})

    with ScriptedServer(submitted) as server:
        connection = connect(server)
        for token in ("t6", "t7"):
            connection.submit(Submission(token, (PhotoFile("a.jpg", data=b"x"),)))
            assert until(connection, is_a(JobFailed))[-1].error.code == "malformed"


def test_labels_are_unique_and_printable() -> None:
    labels = unique_labels(["a.jpg", "a.jpg", "a.jpg", "b\n.jpg", "", "noending", "noending", "x" * 300 + ".jpg"])
    assert labels[:4] == ("a.jpg", "a (2).jpg", "a (3).jpg", "b.jpg")
    assert labels[4:7] == ("photo", "noending", "noending (2)")
    assert len(labels[7]) <= 255 and labels[7].endswith(".jpg")
    assert len(set(labels)) == len(labels)


def test_what_is_well_said_is_understood() -> None:
    event = conversation.welcomed(WELCOME, None)
    assert "reconstruct" in event.capabilities


@pytest.mark.parametrize("change", [{"capabilities": 7}, {"heartbeat": None}, {"limits": {"photos": 3}}], ids=str)
def test_a_welcome_that_is_none_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(AddonError) as caught:
        conversation.welcomed(WELCOME | change, None)
    assert caught.value.code == "malformed"


def test_no_header_escapes() -> None:
    """Any JSON value in any place of any message: an event, or the one error."""
    strange: tuple[Any, ...] = (None, True, 10**400, 1e308, float("inf"), "", "x" * 1000, [], [[]], {}, {"kind": []})
    draw = random.Random(5)
    names = ("token", "position", "stage", "sentence", "fraction", "seconds_left", "code", "advice", *WELCOME)
    for _ in range(3000):
        header = {"type": "x", **{name: draw.choice(strange) for name in draw.sample(names, 6)}}
        for understand in (
            lambda h: conversation.welcomed(WELCOME | h, None),
            conversation.queued,
            conversation.progressed,
            lambda h: conversation.job_failed(h, "t"),
        ):
            try:
                understand(conversation.parse_header(json.dumps(header).encode()))
            except AddonError as error:
                assert error.code == "malformed"


def test_photos_are_sent_only_where_there_are_any() -> None:
    """Hair and texture are made of a head that the backend has."""
    photo = PhotoFile("a.jpg", Path("a.jpg"))
    assert "photos" in Submission("t", (photo,)).words.sending
    assert "photos" not in Submission("t", ()).words.sending and "Reconstruct" not in Submission("t", ()).words.again


def test_a_key_is_no_option_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``serve --owner KEY`` with a key that begins with a dash said that ``--owner`` has no argument."""
    public, secret = zmq.curve_keypair()
    drawn = [(b"-" + public[1:], secret), (b"k" + public[1:], secret)]  # one of 85 begins with a dash by itself
    monkeypatch.setattr(zmq, "curve_keypair", lambda: drawn.pop(0))
    monkeypatch.setattr(zmq, "curve_public", lambda secret: b"k" + public[1:])
    keys = client_keys(tmp_path)
    assert not keys.public.startswith("-") and not drawn
