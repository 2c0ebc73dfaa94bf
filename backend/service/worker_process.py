"""The server's side of the worker process; the worker is separate, so that its crash does not end the server."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import zmq

from backend.service.messages import BrokenFramesError, read_frames, write_frames

EVENTS_ENDPOINT = "inproc://worker-events"
ENDED = "ended"
_SOURCE = Path(__file__).resolve().parents[2]


class WorkerProcess:
    """One worker. Its messages arrive as ``[generation, header, buffers…]`` at ``EVENTS_ENDPOINT``; the last one is
    ``{"type": "ended", "exit_code": N}`` when the process is gone.

    Parameters
    ----------
    context : of the socket that is bound to ``EVENTS_ENDPOINT``.
    generation : number that distinguishes this worker's events from those of others.
    runner : name of the module that does the work (see ``worker``).
    jobs : the server's folder of its jobs, which the worker removes when the server is killed.
    search_path : folders where modules are searched first.
    """

    def __init__(
        self,
        context: zmq.Context,
        generation: int,
        runner: str,
        device: str,
        jobs: Path,
        search_path: Sequence[Path] = (),
    ) -> None:
        paths = [str(path) for path in (*search_path, _SOURCE)]
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join([*paths, environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self.generation = generation
        self._context = context
        self._process = subprocess.Popen(
            [sys.executable, "-m", "backend.service.worker", runner, device, str(jobs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        _raise_oom_score(self._process.pid)
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name=f"worker-{generation}", daemon=True)
        self._reader.start()
        threading.Thread(target=self._write, name=f"to-worker-{generation}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, header: Mapping[str, Any]) -> None:
        """Send the worker a message without waiting; if the worker is gone, its ``ended`` event follows."""
        self._outbox.put(msgspec.json.encode(header))

    def kill(self) -> None:
        """End the process at once; its ``ended`` event follows."""
        with suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """Kill the process and wait for it."""
        self.kill()
        self._reader.join(timeout=5)

    def _write(self) -> None:
        """Forward messages to the worker, in a separate thread because a full pipe blocks."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            while (frame := self._outbox.get()) is not None:
                write_frames(self._process.stdin, [frame])

    def _read(self) -> None:
        """Forward messages from the worker, in a separate thread."""
        assert self._process.stdout is not None and self._process.stdin is not None
        name = str(self.generation).encode()
        events = self._context.socket(zmq.PUSH)
        events.linger = 0
        try:
            events.connect(EVENTS_ENDPOINT)
            with suppress(OSError, BrokenFramesError):
                while (frames := read_frames(self._process.stdout)) is not None:
                    events.send_multipart([name, *frames])
            self.kill()  # it closed its end or sent an invalid message
            exit_code = self._process.wait()
            self._outbox.put(None)
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):
                    pipe.close()
            events.linger = 1000
            events.send_multipart([name, msgspec.json.encode({"type": ENDED, "exit_code": exit_code})])
        except zmq.ContextTerminated:
            pass
        finally:
            events.close()


def _raise_oom_score(pid: int) -> None:
    """When memory runs out, let Linux kill the worker instead of the server or the user's Blender."""
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("900")
