"""How this Blender and the server that it started part."""

from __future__ import annotations

import contextlib
import subprocess
import threading

from ..client.connection import Connection
from .server_process import ServerProcess


class Ending:
    """The server is asked to end; where it does not answer it is made to, where it stays for others it is left alone.

    That happens on a thread of its own. ``connection`` is the one to the server, None where there is none yet.

    Attributes
    ----------
    stays : whether the server goes on for others; known when it is ``over``.
    """

    def __init__(self, process: ServerProcess, connection: Connection | None) -> None:
        self._process, self._connection = process, connection
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
        if self._connection is not None:
            if self._process.exit_code is None:
                self.stays = self._connection.shutdown()
            else:
                self._connection.close(0.0)
        if not self.stays:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.stop()
