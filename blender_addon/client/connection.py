"""One connection to a service on a background thread: methods send commands, a queue returns events."""

from __future__ import annotations

import queue
import threading
from typing import Any

from ..errors import AddonError
from . import messages
from .conversation import ANSWER_SECONDS, Conversation, Timeouts
from .events import ConnectFailed, Event
from .keys import KeyPair, ServerAddress
from .submissions import AnyJob


class Connection:
    """A client of the service.

    ``start`` connects. ``submit``, ``cancel`` and ``close`` return at once. ``take`` returns the events so far. After
    ``ConnectFailed`` or ``close`` the thread has ended and the connection cannot be used again. ``owner_token`` is the
    token of a server that this Blender started, else "".
    """

    def __init__(
        self,
        address: ServerAddress,
        keys: KeyPair,
        client: str,
        patience: Timeouts | None = None,
        owner_token: str = "",
    ) -> None:
        self.address = address
        self._keys = keys
        self._client = client
        self._patience = patience or Timeouts()
        self._owner_token = owner_token
        self._ends_server = self._server_stays = False
        self._commands: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="likeness-client", daemon=True)

    def start(self) -> None:
        """Connect; ``Welcomed`` or ``ConnectFailed`` follows."""
        self._thread.start()

    def submit(self, submission: AnyJob) -> None:
        """Send a job; one ``ResultReceived``, ``ExpressionsReceived`` or ``JobFailed`` with its token follows, unless
        the thread ends."""
        self._commands.put(("submit", submission))

    def cancel(self, token: str) -> None:
        """Ask the server to stop a job; its ``JobFailed`` (``cancelled``) follows."""
        self._commands.put(("cancel", token))

    def shutdown(self) -> bool:
        """Ask the server to stop, and close. Waits; returns whether it stays for others, False without an answer."""
        self._ends_server = True
        self.close(ANSWER_SECONDS + 1)
        return self._server_stays

    def close(self, wait_seconds: float = 1.0) -> None:
        """Send ``bye`` and end the thread, waiting at most ``wait_seconds``."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(wait_seconds)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def take(self) -> list[Event]:
        """Events since the last call, oldest first."""
        taken = []
        while True:
            try:
                taken.append(self._events.get_nowait())
            except queue.Empty:
                return taken

    def _run(self) -> None:
        try:
            import zmq
        except ImportError as error:
            advice = "Install the extension from its own zip for this system; that carries pyzmq."
            self._events.put(ConnectFailed("no_zmq", f"pyzmq could not be loaded ({error}).", advice))
            return
        context = zmq.Context()
        hello = {"type": "hello", "protocol": messages.PROTOCOL, "client": self._client, "owner": self._owner_token}
        talk = Conversation(context, self.address, self._keys, hello, self._patience, self._events.put)
        try:
            talk.open()
            while not self._closing.is_set():
                talk.serve()
                self._run_commands(talk)
            self._run_commands(talk)
            if self._ends_server:
                self._server_stays = talk.shutdown(self._owner_token)
            talk.send_bye()
        except AddonError as error:
            self._events.put(ConnectFailed(error.code, error.sentence, error.advice))
        except Exception as error:  # an unexpected error must not leave the window waiting forever
            advice = "Please report it; the system console has more."
            self._events.put(ConnectFailed("internal", f"The connection failed: {error!r}.", advice))
            raise
        finally:
            talk.close()
            context.term()

    def _run_commands(self, talk: Conversation) -> None:
        while talk.ready:
            try:
                name, value = self._commands.get_nowait()
            except queue.Empty:
                return
            {"submit": talk.submit, "cancel": talk.cancel}[name](value)
