"""A worker on Ray: a process that does one person after the other and loads the models once."""

from __future__ import annotations

import os
import platform
import sys
import threading

import msgspec
import ray

from backend.batch.engine import MakeHead
from backend.batch.make_head import Task
from backend.batch.outcome import Outcome
from backend.batch.stamp import Stamp, current_stamp
from backend.batch.threads import SINGLE_THREAD_ENVIRONMENT
from backend.errors import Cancelled

CONTROL = "control"


class Ready(msgspec.Struct, frozen=True):
    """A worker's first answer. ``unfit`` : a sentence, when its version of Likeness is not that of the run."""

    worker: str
    node: str
    unfit: str = ""


@ray.remote(concurrency_groups={CONTROL: 1}, max_restarts=0, max_task_retries=0)
class Worker:
    """Its methods take and return JSON. ``stop`` may be called while ``make`` runs."""

    def __init__(self, make: MakeHead) -> None:
        self._make = make
        self._stopping = threading.Event()

    def ready(self, stamp: bytes) -> bytes:
        """A ``Ready``; raises ``OSError`` when this machine's Likeness cannot be read."""
        _one_thread()
        worker = f"{platform.node()}:{os.getpid()}"
        own = current_stamp()
        unfit = ""
        if own != msgspec.json.decode(stamp, type=Stamp):
            what = "another version of Likeness, or of a package that it computes with,"
            unfit = f"{platform.node()} has {what} than the machine that the batch was started on."
        return msgspec.json.encode(Ready(worker, ray.get_runtime_context().get_node_id(), unfit))

    def make(self, task: bytes) -> bytes:
        """The ``Outcome`` of a ``Task``; "waiting" when it was stopped."""
        wanted = msgspec.json.decode(task, type=Task)
        try:
            outcome = self._make(wanted, self._progress)
        except Cancelled:
            outcome = Outcome(name=wanted.person.name, status="waiting")
        return msgspec.json.encode(outcome)

    @ray.method(concurrency_group=CONTROL)
    def stop(self) -> None:
        """Stop the running head at its next progress report."""
        self._stopping.set()

    def _progress(self, stage: str, fraction: float) -> None:
        if self._stopping.is_set():
            raise Cancelled


def _one_thread() -> None:
    """Use one thread, because there are as many workers as cores. Libraries read the environment when they are loaded;
    those already loaded are set directly."""
    os.environ.update(SINGLE_THREAD_ENVIRONMENT)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)
    if "numba" in sys.modules:
        sys.modules["numba"].set_num_threads(1)
