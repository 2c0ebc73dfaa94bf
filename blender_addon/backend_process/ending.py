"""How this Blender and the server that it started part."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable

from ..client.connection import Connection
from .server_process import ServerProcess


class Ending:
    """The server is asked to end; where it does not answer it is made to, where it stays for others it is left alone.

    That happens on a thread of its own. ``connection`` is the one to the server, None where there is none; ``connect``
    makes another one, or None, for where the first has broken, or reads photos off a slow drive and hears nothing.

    Attributes
    ----------
    stays : whether the server goes on for others; known when it is ``over``.
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
        """Whether everything has been done."""
        return not self._thread.is_alive()

    @property
    def failed(self) -> bool:
        """Whether the system does not end the process."""
        return self.over and not self.stays and self._process.exit_code is None

    def join(self) -> None:
        """Wait until it is over."""
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
        """Whether the server says that it stays; False where it ends, or does not answer."""
        if self._connection is not None and self._connection.alive:
            stays = self._connection.shutdown()
            if not self._connection.alive:
                return stays
        another = self._connect()
        return another is not None and another.shutdown()
