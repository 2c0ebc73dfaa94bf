"""Both ends are real: the Blender extension's connection and the server, with a scripted worker behind it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import pytest
import zmq
from service_client import ServerProcess
from slow_link import Link

from blender_addon.client import events
from blender_addon.client.conversation import Connection, ServerAddress, Timeouts
from blender_addon.client.submissions import PhotoFile, Submission, Transfer
from protocol.keys import KeyPair
from protocol.names import ARKIT_NAMES

Kind = TypeVar("Kind", bound=events.Event)


class Extension:
    """The extension's connection, and all events so far."""

    def __init__(self, server: ServerProcess, patience: Timeouts | None = None, link: Link | None = None) -> None:
        address = ServerAddress(link.endpoint if link else server.endpoint, server.public_key)
        self.connection = Connection(address, KeyPair(*server.keys()), "test", patience)
        self.events: list[events.Event] = []
        self.connection.start()

    def wait_for(self, kind: type[Kind], seconds: float = 60.0) -> Kind:
        """The next event of a kind."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for event in self.connection.take():
                self.events.append(event)
                if isinstance(event, kind):
                    return event
            time.sleep(0.02)
        raise AssertionError(f"no {kind.__name__} came, but {self.events}")

    def submit(self, token: str, script: str) -> None:
        self.connection.submit(Submission(token, (PhotoFile("front.jpg", data=script.encode()),)))


@pytest.fixture
def extend() -> Iterator[Callable[..., Extension]]:
    opened: list[Extension] = []

    def connect(server: ServerProcess, patience: Timeouts | None = None, link: Link | None = None) -> Extension:
        opened.append(Extension(server, patience, link))
        return opened[-1]

    yield connect
    for extension in opened:
        extension.connection.close(2)


@pytest.fixture
def silent() -> Iterator[SimpleNamespace]:
    """A server that answers nothing; ``socket`` receives what it is sent."""
    public, secret = zmq.curve_keypair()
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 0
        router.curve_server, router.curve_publickey, router.curve_secretkey = True, public, secret
        endpoint = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
        keys = [key.decode() for key in zmq.curve_keypair()]
        yield SimpleNamespace(socket=router, endpoint=endpoint, public_key=public.decode(), keys=lambda: keys)


def test_a_face_arrives(server: ServerProcess, extend: Callable[..., Extension]) -> None:
    extension = extend(server)
    welcomed = extension.wait_for(events.Welcomed)
    assert welcomed.limits.photos == 64
    extension.submit("face", "face")
    result = extension.wait_for(events.ResultReceived).result
    assert any(isinstance(event, events.Queued) for event in extension.events)
    assert any(isinstance(event, events.Progressed) and event.sentence for event in extension.events)
    (picture,) = [event.picture for event in extension.events if isinstance(event, events.Previewed)]
    head = result.parts[0]
    assert head.name == "head" and head.key_names == ARKIT_NAMES
    assert picture.startswith(b"\x89PNG")
    assert result.photos[0].name == "front.jpg"


def test_cancel_and_failure(server: ServerProcess, extend: Callable[..., Extension]) -> None:
    extension = extend(server)
    extension.wait_for(events.Welcomed)
    extension.submit("ext-cancel", "sleep 30")
    extension.wait_for(events.Progressed)
    start = time.monotonic()
    extension.connection.cancel("ext-cancel")
    assert extension.wait_for(events.JobFailed).error.code == "cancelled"
    assert time.monotonic() - start < 1.2
    extension.submit("ext-crash", "exit 3")
    failed = extension.wait_for(events.JobFailed)
    assert failed.token == "ext-crash" and failed.error.code == "worker_died" and failed.error.advice
    extension.submit("ext-next", "face")
    assert extension.wait_for(events.ResultReceived).token == "ext-next"


def test_refused_jobs_end_and_videos_go_by_bytes_where_paths_mean_nothing(
    start_server: Callable[..., ServerProcess], extend: Callable[..., Extension], tmp_path: Path
) -> None:
    server = start_server(limits={"waiting_bytes": 1000})
    extension = extend(server)
    assert "path" in extension.wait_for(events.Welcomed).capabilities
    extension.submit("full", "answer" + " " * 2000)
    assert extension.wait_for(events.JobFailed).error.code == "queue_full"
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"clip")
    extension.connection.submit(Transfer("by-path", video=clip))
    assert extension.wait_for(events.ExpressionsReceived).clip.weights.shape == (2, 52)

    class Elsewhere(type(clip)):
        """A path that has another name where the server looks."""

        def absolute(self) -> Path:
            return tmp_path / "somewhere" / "else.mp4"

    extension.connection.submit(Transfer("by-bytes", video=Elsewhere(clip)))
    assert extension.wait_for(events.ExpressionsReceived).token == "by-bytes"


def test_a_server_that_dies_is_noticed(
    start_server: Callable[..., ServerProcess], extend: Callable[..., Extension]
) -> None:
    server = start_server(timing={"heartbeat": 0.3, "silence": 1.5})
    extension = extend(server, Timeouts(hello=3.0, again=1.0))
    extension.wait_for(events.Welcomed)
    extension.submit("doomed", "stuck 60")
    extension.wait_for(events.Progressed)
    server.process.send_signal(signal.SIGKILL)
    gone = extension.wait_for(events.ConnectFailed).error
    assert gone.code == "unreachable" and gone.sentence and gone.advice


def test_a_submit_that_got_lost_is_sent_again(server: ServerProcess, extend: Callable[..., Extension]) -> None:
    with Link(server.endpoint) as link:
        extension = extend(server, link=link)
        extension.wait_for(events.Welcomed)
        link.swallow = True
        extension.submit("lost-on-the-way", "face" + " " * 100_000)
        while link.swallowed < 100_000:
            time.sleep(0.01)
        link.swallow = False
        link.cut()
        extension.wait_for(events.ConnectionLost)
        assert extension.wait_for(events.ResultReceived).token == "lost-on-the-way"


def test_a_greeting_whose_answer_got_lost_is_sent_again(
    silent: SimpleNamespace, extend: Callable[..., Extension]
) -> None:
    with Link(silent.endpoint) as link:
        extend(silent, Timeouts(hello=60.0), link=link)
        for _ in range(3):
            assert silent.socket.poll(20_000), "no greeting came"
            assert json.loads(silent.socket.recv_multipart()[1])["type"] == "hello"
            link.cut()


def test_a_server_that_never_answers_is_given_up_though_its_line_breaks(
    silent: SimpleNamespace, extend: Callable[..., Extension]
) -> None:
    with Link(silent.endpoint) as link:
        extension = extend(silent, Timeouts(hello=2.0), link=link)
        end = time.monotonic() + 30.0
        while extension.connection.alive and time.monotonic() < end:
            link.cut()
            time.sleep(0.3)
    assert extension.wait_for(events.ConnectFailed, 1.0).error.code in ("refused", "unreachable")


def test_a_cancel_that_got_lost_is_said_again(server: ServerProcess, extend: Callable[..., Extension]) -> None:
    with Link(server.endpoint) as link:
        extension = extend(server, link=link)
        extension.wait_for(events.Welcomed)
        extension.submit("cancel-lost", "sleep 30")
        extension.wait_for(events.Progressed)
        link.swallow = True
        extension.connection.cancel("cancel-lost")
        time.sleep(0.3)
        link.swallow = False
        link.cut()
        assert extension.wait_for(events.JobFailed, 10).error.code == "cancelled"


def test_a_slow_line_is_given_its_time(
    start_server: Callable[..., ServerProcess], extend: Callable[..., Extension]
) -> None:
    server = start_server(timing={"heartbeat": 0.2, "silence": 1.0})
    with Link(server.endpoint, up=800_000, down=1_400_000) as link:
        extension = extend(server, link=link)
        extension.wait_for(events.Welcomed)
        extension.submit("slow", "face" + " " * 1_200_000)
        extension.wait_for(events.ResultReceived)
        assert link.accepted == 1 and link.sent_down > 3_000_000
    assert not any(isinstance(event, events.ConnectionLost) for event in extension.events)
