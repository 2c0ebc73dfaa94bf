"""Shut down the server that this Blender started, or leave it running for other clients."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable

from ..client.connection import Connection
from .server_process import ServerProcess


class Ending:
    """Shut down a server on a background thread: ask it, kill it if it does not answer, leave it if others still use
        it.

    ``connection`` is the connection to the server, or None. ``connect`` opens another one (or returns None); it is
    needed if the first broke, or is busy reading photos from a slow drive and does not respond.

    Attributes
    ----------
    stays : whether the server goes on for other clients; valid once ``over`` is true.
    """

    def __init__(
        self, process: ServerProcess, connection: Connection | None, connect: Callable[[], Connection | None]
    ) -> None:
        self._process, self._connection, self._connect = process, connection, connect
        self.stays = False
        self._thread = threading.Thread(target=self._run, name="likeness-server-stop", daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether the shutdown has finished."""
        return not self._thread.is_alive()

    @property
    def failed(self) -> bool:
        """Whether the operating system failed to end the process."""
        return self.over and not self.stays and self._process.exit_code is None

    def join(self) -> None:
        """Wait until the shutdown has finished."""
        self._thread.join()

    def _run(self) -> None:
        if self._process.exit_code is None and self._process.address is not None:
            self.stays = self._asked()
        elif self._connection is not None:
            self._connection.close(0.0)
        if not self.stays:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.stop()

    def _asked(self) -> bool:
        """Whether the server answers that it stays for others; False if it ends or does not answer."""
        if self._connection is not None and self._connection.alive:
            stays = self._connection.shutdown()
            if not self._connection.alive:
                return stays
        another = self._connect()
        return another is not None and another.shutdown()
