"""A connection to the backend: its address, this user's keys, and on a thread of its own greeting, jobs and their
outcomes, heartbeat, reconnection.

Headers become events; buffers are handled in ``protocol``.
"""

import json
import queue
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import AddonError
from ..protocol.buffers import TRANSFER, decode_expression, decode_preview, malformed, reading
from ..protocol.result import decode_result
from ..shared.keys import KeyPair, is_key, key_pair
from . import events
from .submissions import AnyJob, composed, header_frame

PROTOCOL = 2
MOST_HEADER_BYTES = 4 * 2**20
LARGEST_NUMBER = 1e30
"""JSON's integers may exceed any float."""


@dataclass(frozen=True)
class ServerAddress:
    """Endpoint and public key of a service."""

    endpoint: str
    public_key: str


def remote_address(endpoint: str, public_key: str) -> ServerAddress:
    """The address of a service that the user entered.

    Raises ``AddonError`` (code ``address``) for an invalid one.
    """
    endpoint, public_key = endpoint.strip(), public_key.strip()
    if endpoint and "://" not in endpoint:
        endpoint = f"tcp://{endpoint}"
    if not re.fullmatch(r"tcp://[^\s/]+:\d{1,5}", endpoint):
        raise AddonError(
            f"{endpoint or 'The empty address'} is not the address of a service.",
            "Write it like tcp://192.168.0.7:5555, in the extension's preferences.",
            "address",
        )
    if not is_key(public_key):
        raise AddonError(
            "The public key of the service has to be 40 characters long.",
            "Copy it from the other machine's server_key.json into the extension's preferences.",
            "address",
        )
    return ServerAddress(endpoint, public_key)


def client_keys(folder: Path) -> KeyPair:
    """This user's key pair, of ``client_key.json``. Raises ``AddonError`` if it can neither be read nor made."""
    path = folder / "client_key.json"
    pyzmq()
    try:
        return key_pair(path)
    except (OSError, ValueError) as error:
        sentence = f"The key file {path} cannot be used ({error})."
        raise AddonError(sentence, "Delete it, and a new one is made.", "keys") from error


def pyzmq() -> Any:
    """The module ``zmq``. Raises ``AddonError`` ``no_zmq`` if it cannot be loaded."""
    try:
        import zmq
    except ImportError as error:
        advice = "Install the extension from its own zip for this system; that carries pyzmq."
        raise AddonError(f"pyzmq could not be loaded ({error}).", advice, "no_zmq") from error
    return zmq


def parse_header(frame: bytes) -> dict[str, Any]:
    """Decode a header from its frame. Raises ``AddonError`` ``malformed``."""
    if len(frame) > MOST_HEADER_BYTES:
        raise malformed("its header is too large")
    with reading("the header"):
        header = json.loads(frame)
        if not isinstance(header["type"], str):
            raise malformed("its header has no type")
        return header


def text_of(header: Mapping[str, Any], name: str) -> str:
    """A string of the header, "" without one."""
    value = header.get(name)
    return value if isinstance(value, str) else ""


def number_of(header: Mapping[str, Any], name: str) -> float | None:
    """A number of the header, None without a usable one."""
    value = header.get(name)
    return value if isinstance(value, int | float) and abs(value) < LARGEST_NUMBER else None


def welcomed(header: Mapping[str, Any], instance_before: str | None) -> events.Welcomed:
    """Event for ``welcome``; ``instance_before`` is the previous connection's, if any. Raises ``AddonError``
    ``malformed``."""
    with reading("the greeting"):
        limits, heartbeat, instance = header["limits"], header["heartbeat"], header["instance"]
        return events.Welcomed(
            instance=instance,
            limits=events.Limits(**{limit.name: limits[limit.name] for limit in fields(events.Limits)}),
            same_server=instance_before in (None, instance),
            ping_seconds=min(max(number_of(heartbeat, "interval_seconds") or 2.0, 0.2), 60.0),
            silence_seconds=min(max(number_of(heartbeat, "silence_seconds") or 15.0, 1.0), 600.0),
            capabilities=frozenset(header["capabilities"]),
        )


def queued(header: Mapping[str, Any]) -> events.Queued:
    """Event for ``queued``."""
    return events.Queued(text_of(header, "token"), int(number_of(header, "position") or 0))


def progressed(header: Mapping[str, Any]) -> events.Progressed:
    """Event for ``progress``."""
    return events.Progressed(
        token=text_of(header, "token"),
        stage=text_of(header, "stage"),
        sentence=text_of(header, "sentence"),
        fraction=min(max(number_of(header, "fraction") or 0.0, 0.0), 1.0),
        seconds_left=number_of(header, "seconds_left"),
    )


def job_failed(header: Mapping[str, Any], token: str) -> events.JobFailed:
    """Event for an ``error`` that ends the job ``token``."""
    sentence = text_of(header, "sentence") or "The backend reported an error without a sentence."
    error = AddonError(sentence, text_of(header, "advice"), text_of(header, "code") or "internal")
    return events.JobFailed(token, error)


TICK_SECONDS = 0.03
SLOWEST = 32 * 2**10
"""Bytes per second: lowest transfer rate assumed when the silence time-out is extended for an announced result."""
RETRIES = 3
"""A job that makes no progress over this many consecutive connections is given up."""


@dataclass(frozen=True)
class Timeouts:
    """Time-outs in seconds: for the first answer to ``hello``, and for reconnecting to a server that fell silent."""

    hello: float = 5.0
    again: float = 10.0


class Connection:
    """A client of the service.

    ``start`` connects. ``submit``, ``cancel`` and ``close`` return at once. ``take`` returns the events so far. After
    ``ConnectFailed`` or ``close`` the thread has ended and the connection cannot be used again.
    """

    def __init__(self, address: ServerAddress, keys: KeyPair, client: str, patience: Timeouts | None = None) -> None:
        self.address = address
        self._keys, self._client, self._patience = keys, client, patience or Timeouts()
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
        self._tell = self._events.put
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="likeness-client", daemon=True)
        # From here on for the thread alone. The socket is replaced if the server falls silent.
        self._zmq: Any = None
        self._context: Any = None
        self._socket: Any = None
        self._monitor: Any = None
        self._trouble = ""
        self._greeted = self._ready = False
        self._jobs: dict[str, AnyJob] = {}
        self._cancelled: set[str] = set()
        self._coming: dict[str, int] = {}
        self._tries: Counter[str] = Counter()
        self._welcome: events.Welcomed | None = None

    def start(self) -> None:
        """Connect; ``Welcomed`` or ``ConnectFailed`` follows."""
        self._thread.start()

    def submit(self, submission: AnyJob) -> None:
        """Send a job; one ``ResultReceived``, ``ExpressionsReceived`` or ``JobFailed`` with its token follows, unless
        the thread ends."""
        self._commands.put(partial(self._submit, submission))

    def cancel(self, token: str) -> None:
        """Ask the server to stop a job; its ``JobFailed`` (``cancelled``) follows."""
        self._commands.put(partial(self._cancel, token))

    def close(self, wait_seconds: float = 1.0) -> None:
        """Send ``bye`` and end the thread, waiting at most ``wait_seconds``."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(wait_seconds)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def take(self) -> list[events.Event]:
        """Events since the last call, oldest first."""
        return [self._events.get() for _ in range(self._events.qsize())]

    def _run(self) -> None:
        try:
            self._zmq = pyzmq()
            self._context = self._zmq.Context()
            self._open(time.monotonic())
            while not self._closing.is_set():
                self._serve()
                self._run_commands()
            self._run_commands()
            if self._ready:  # before, a send may wait for ever
                self._send({"type": "bye"})  # jobs go on
        except AddonError as error:
            self._tell(events.ConnectFailed(error))
        except Exception as error:  # an unexpected error must not leave the window waiting forever
            advice = "Please report it; the system console has more."
            self._tell(events.ConnectFailed(AddonError(f"The connection failed: {error!r}.", advice)))
            raise
        finally:
            self._drop_socket()
            if self._context is not None:
                self._context.term()

    def _run_commands(self) -> None:
        while self._ready and not self._commands.empty():
            self._commands.get()()

    def _open(self, outage: float) -> None:
        """Open a new socket and send ``hello``; ``outage`` is the time since which there is no connection."""
        self._drop_socket()
        socket = self._context.socket(self._zmq.DEALER)
        socket.linger, socket.reconnect_ivl, socket.reconnect_ivl_max = 300, 100, 1000
        socket.sndhwm = socket.rcvhwm = 0
        socket.curve_serverkey = self.address.public_key.encode()
        socket.curve_publickey, socket.curve_secretkey = self._keys.public.encode(), self._keys.secret.encode()
        self._monitor = socket.get_monitor_socket()
        socket.connect(self.address.endpoint)
        self._socket = socket
        self._ready = self._greeted = False
        self._outage, self._heard = outage, time.monotonic()
        self._pinged = self._heard
        self._send({"type": "hello", "protocol": PROTOCOL, "client": self._client})

    def _serve(self) -> None:
        """Process messages for one tick and keep the heartbeat. Raises ``AddonError`` to give up."""
        self._socket.poll(int(TICK_SECONDS * 1000))
        while self._socket.poll(0):
            frames = self._socket.recv_multipart(copy=True)
            self._heard = time.monotonic()
            self._take_in(frames)
        self._watch_monitor()
        self._keep_time()

    def _submit(self, submission: AnyJob) -> None:
        """Send a job; its outcome arrives as an event."""
        try:
            header, contents = composed(submission, self._welcome)
        except AddonError as error:
            self._end_job(submission.token, events.JobFailed(submission.token, error))
            return
        self._jobs[submission.token] = submission
        self._send(header, contents)

    def _cancel(self, token: str) -> None:
        """Ask the server to stop a job; repeated after a lost connection."""
        self._cancelled.add(token)
        if token in self._jobs:
            self._send({"type": "cancel", "request": "cancel", "token": token})

    def _send(self, header: Mapping[str, Any], contents: Sequence[bytes] = ()) -> None:
        self._socket.send_multipart([header_frame(header), *contents], copy=not contents)

    def _take_in(self, frames: list[bytes]) -> None:
        header = parse_header(frames[0])
        kind, token = header["type"], text_of(header, "token")
        if kind == "ping":
            self._send({"type": "pong"})
        elif kind == "welcome":
            self._welcome_back(header)
        elif kind == "error":
            self._take_error(header, token)
        elif kind == "bye":
            sentence = "The backend has stopped; a head that it kept for changes of hair and texture is lost."
            raise AddonError(sentence, "It starts again with the next click; solve that head again for them.", "left")
        elif token in self._jobs:
            self._take_job_message(kind, token, header, frames)

    def _take_job_message(self, kind: str, token: str, header: dict[str, Any], frames: list[bytes]) -> None:
        buffers = frames[1:]
        if kind in ("queued", "progress"):
            del self._tries[token]
            self._tell(queued(header) if kind == "queued" else progressed(header))
        elif kind == "result_follows":
            self._coming[token] = int(number_of(header, "bytes") or 0)
            self._tell(events.Progressed(token, "result", "Receiving the result", 1.0, None))
        elif kind == "preview":
            try:
                self._tell(events.Previewed(token, decode_preview(header, buffers)))
            except AddonError:
                return  # the result is already here and counts
        elif kind == "result":
            try:
                if header.get("kind") == TRANSFER:
                    event: events.Event = events.ExpressionsReceived(token, decode_expression(header, buffers))
                else:
                    event = events.ResultReceived(token, decode_result(header, buffers))
            except AddonError as error:
                event = events.JobFailed(token, error)
            self._end_job(token, event)
            self._send({"type": "received", "token": token})

    def _end_job(self, token: str, event: events.Event) -> None:
        self._jobs.pop(token, None)
        self._cancelled.discard(token)
        self._coming.pop(token, None)
        del self._tries[token]
        self._tell(event)

    def _welcome_back(self, header: dict[str, Any]) -> None:
        before = self._welcome.instance if self._welcome else None
        welcome = welcomed(header, before)
        self._welcome, self._ready = welcome, True
        self._tell(welcome)
        for token, job in list(self._jobs.items()):
            if welcome.same_server:
                self._send({"type": "fetch", "request": "fetch", "token": token})
                if token in self._cancelled:
                    self._cancel(token)
            else:
                sentence = f"The backend stopped during the {job.words.what}, and runs again."
                self._end_job(token, events.JobFailed(token, AddonError(sentence, job.words.again, "server_died")))

    def _take_error(self, header: dict[str, Any], token: str) -> None:
        code, request = text_of(header, "code"), text_of(header, "request")
        if code == "version":
            sentence = f"The backend does not speak version {PROTOCOL} of the protocol."
            raise AddonError(sentence, "Bring the extension and the backend to the same version.", "version")
        if code == "hello_first":  # the server no longer knows this client
            self._open_again()
        elif code == "malformed" and not self._ready:
            raise AddonError(text_of(header, "sentence"), text_of(header, "advice"), code)
        elif request == "fetch" and code == "unknown_job" and token in self._jobs:
            if token in self._cancelled:
                sentence = f"The {self._jobs[token].words.what} was cancelled."
                self._end_job(token, events.JobFailed(token, AddonError(sentence, "", "cancelled")))
            else:  # the submit never arrived
                self._submit(self._jobs[token])
        elif code == "no_path" and token in self._jobs and self._welcome is not None:
            # The server has the same user but not the same files, for example in a container: send the bytes.
            self._welcome = replace(self._welcome, capabilities=self._welcome.capabilities - {"path"})
            self._submit(self._jobs[token])
        elif token in self._jobs and request in ("", "submit", "fetch"):
            self._end_job(token, job_failed(header, token))

    def _keep_time(self) -> None:
        now = time.monotonic()
        if not self._ready:
            limit = self._patience.again if self._welcome else self._patience.hello
            if now - self._outage > limit:
                raise self._unreachable()
            return
        if now - self._pinged >= self._welcome.ping_seconds:
            self._pinged = now
            self._send({"type": "ping"})
        if now - self._heard > self._welcome.silence_seconds + max(self._coming.values(), default=0) / SLOWEST:
            self._open_again(f"The backend at {self.address.endpoint} does not answer; trying again.")

    def _open_again(self, why: str = "") -> None:
        """Open a new socket, saying ``why``; give up jobs that made no progress on the last few."""
        if why:
            self._tell(events.ConnectionLost(why))
        self._coming.clear()
        for token, job in list(self._jobs.items()):
            self._tries[token] += 1
            if self._tries[token] > RETRIES:
                sentence = f"The connection to the backend at {self.address.endpoint} breaks again and again."
                advice = f"Check the network, or try fewer or smaller pictures, or a smaller texture. {job.words.again}"
                self._end_job(token, events.JobFailed(token, AddonError(sentence, advice, "breaks")))
        self._open(time.monotonic())

    def _watch_monitor(self) -> None:
        from zmq.utils.monitor import recv_monitor_message

        zmq = self._zmq
        refused = (
            zmq.EVENT_HANDSHAKE_FAILED_AUTH,
            zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
            zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
        )
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            if event in refused:
                self._trouble = "refused"
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:  # ``hello`` is sent at this moment
                self._greeted = True
            elif event == zmq.EVENT_CLOSED:  # nobody listens: the server that broke off the greeting is gone
                self._trouble = ""
            elif event == zmq.EVENT_DISCONNECTED and self._ready:
                # ZeroMQ reconnects by itself, but the new server does not know this client.
                self._open_again("The connection to the backend broke; trying again.")
                return
            elif event == zmq.EVENT_DISCONNECTED and self._greeted:
                self._open(self._outage)  # ``hello`` or its answer is lost
                return

    def _unreachable(self) -> AddonError:
        endpoint = self.address.endpoint
        if self._trouble == "refused":
            sentence = f"The backend at {endpoint} refused the connection: the keys do not fit."
            advice = (
                "Check its public key in the preferences, and that it was started with this computer's key as --owner."
            )
        else:
            sentence = f"No backend answers at {endpoint}."
            advice = "Check that it runs, that the address and public key are right, and that no firewall is between."
        return AddonError(sentence, advice, self._trouble or "unreachable")

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._socket.disable_monitor()
            self._monitor.close(0)
            self._socket.close()
            self._socket = self._monitor = None
