"""Workers on a Ray cluster. Ray places them, detects the end of a process or a machine, and restarts its workers where
there is room."""

import logging
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}  # read when Ray is imported

import msgspec
import ray
from ray.exceptions import GetTimeoutError, RayError

from backend.batch.make_head import MakeHead
from backend.batch.workers import WorkerEndedError, WorkerNeeds, one_thread, outcome_of
from backend.errors import LikenessError
from backend.models.registry import Stamp, current_stamp

CONTROL = "control"
MOST_FALSE_STARTS = 3
"""A worker that ended so many times in a row before it could take a person is not used."""


@contextmanager
def cluster(address: str) -> Iterator[None]:
    """Connect to the Ray cluster at ``address``, as a context. Raises ``LikenessError`` "usage" when there is none."""
    try:
        ray.init(address=address, logging_level=logging.CRITICAL, log_to_driver=False)
    except Exception as error:  # Ray raises ConnectionError, RuntimeError, ValueError and its own
        words = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        advice = "Check --address, and that the key is the cluster's (docs/farm.md)."
        raise LikenessError("usage", f"No Ray cluster answers at {address}: {words}.", advice) from error
    try:
        yield
    finally:
        ray.shutdown()


@ray.remote(concurrency_groups={CONTROL: 1}, max_restarts=-1, max_task_retries=MOST_FALSE_STARTS - 1)
class _Actor:
    """The process. ``stop`` may be called while ``make`` runs. Ray restarts it when its process or machine ends; what
    it made then is not repeated by Ray."""

    def __init__(self, make: MakeHead) -> None:
        one_thread()
        self._make = make
        self._stopping = threading.Event()

    def unfit(self, stamp: bytes) -> str:
        """A sentence when this machine's Likeness is not that of the run, else nothing. Raises ``OSError`` when it
        cannot be read."""
        if current_stamp() == msgspec.json.decode(stamp, type=Stamp):
            return ""
        what = "another version of Likeness, or of a package that it computes with,"
        return f"{platform.node()} has {what} than the machine that the batch was started on."

    @ray.method(max_task_retries=0)
    def make(self, task: bytes) -> bytes:
        """The ``Outcome`` of a ``Task``."""
        return outcome_of(task, self._make, self._stopping)

    @ray.method(concurrency_group=CONTROL)
    def stop(self) -> None:
        """Stop the running head at its next progress report."""
        self._stopping.set()


class RayWorker:
    """As ``LocalWorker``, on the cluster that this process is connected to; ``stamp`` is the run's."""

    def __init__(self, needs: WorkerNeeds, stamp: Stamp, make: MakeHead) -> None:
        wanted = {"num_cpus": 1, "memory": needs.memory, "num_gpus": needs.gpu}
        self._actor, self._stamp = _Actor.options(**wanted).remote(make), msgspec.json.encode(stamp)

    def start(self) -> str:
        """As in ``LocalWorker``."""
        return _answer(self._actor.unfit.remote(self._stamp))

    def make(self, task: bytes, seconds: float) -> bytes:
        """As in ``LocalWorker``."""
        return _answer(self._actor.make.remote(task), seconds)

    def stop(self) -> None:
        """As in ``LocalWorker``."""
        self._actor.stop.remote()

    def kill(self, for_good: bool = True) -> None:
        """As in ``LocalWorker``."""
        with suppress(RayError):
            ray.kill(self._actor, no_restart=for_good)


def ray_rooms(needs: WorkerNeeds) -> list[int]:
    """How many workers fit on each live machine of the cluster."""
    has = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [needs.room(one.get("CPU", 0.0), one.get("memory", 0.0), one.get("GPU", 0.0)) for one in has]


def _answer(pending: Any, seconds: float | None = None) -> Any:
    """What a worker says. Raises ``TimeoutError``, and ``WorkerEndedError`` with the best line of Ray's error."""
    try:
        return ray.get(pending, timeout=seconds)
    except GetTimeoutError:
        raise
    except RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        telling = (line for line in lines if "The worker died" in line or "node" in line.lower())
        raise WorkerEndedError(next(telling, lines[0]).rstrip(".")) from error
