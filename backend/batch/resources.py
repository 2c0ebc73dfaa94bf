"""Threads, memory and environment that a batch's workers get.

Environment variables for the number of threads of libraries, which read them when they are loaded.

Number of workers that fit on machines, and the resources of each.

Environment variables of Ray and its processes. Imports no Ray, because Ray reads some of them when imported.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

THREAD_VARIABLES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
SINGLE_THREAD_ENVIRONMENT = {name: "1" for name in THREAD_VARIABLES}


MEGABYTE = 1_000_000
WORKER_MEMORY_MB = {1024: 2200, 2048: 2600, 4096: 4700}
"""Memory of a worker by side of the texture: 10 % more than the peak with two people, each five photos of 10 megapixels
(docs/farm.md)."""
WORKERS_PER_GPU = 4
"""Networks on the GPU take a tenth of a person's time; everything else runs on the CPU."""


@dataclass(frozen=True)
class WorkerNeeds:
    """Resources of one worker: one core, memory in bytes, and a share of a GPU (0 to 1)."""

    memory: int
    gpu: float = 0.0


@dataclass(frozen=True)
class Machine:
    """Resources of a machine: cores, memory in bytes for tasks, GPUs."""

    cores: float
    memory: float
    gpus: float = 0.0


def worker_needs(texture_sizes: Iterable[int], device: str, memory_mb: float | None = None) -> WorkerNeeds:
    """Resources of a worker for heads of all these texture sizes; ``memory_mb`` overrides the measured memory."""
    measured = max((WORKER_MEMORY_MB[size] for size in texture_sizes), default=max(WORKER_MEMORY_MB.values()))
    return WorkerNeeds(int((memory_mb or measured) * MEGABYTE), 1 / WORKERS_PER_GPU if device == "cuda" else 0.0)


def workers_on(machine: Machine, needs: WorkerNeeds) -> int:
    """Number of workers that fit on the machine."""
    fitting = [machine.cores, machine.memory / needs.memory]
    if needs.gpu:
        fitting.append(machine.gpus / needs.gpu)
    return int(min(fitting) + 1e-6)


LOOPBACK_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""With 0, all of Ray's processes listen on 127.0.0.1 alone, on Linux too."""
_QUIET_VARIABLE = "RAY_DEDUP_LOGS_SKIP_REGEX"
"""Regular expression of lines that are not printed; the engine reports the end of a worker itself."""
_SOURCE = Path(__file__).resolve().parents[2]


@contextmanager
def ray_environment(local: bool) -> Iterator[None]:
    """Set the variables, as a context; enter it before ``ray`` is imported.

    Parameters
    ----------
    local : for a private cluster on this machine. Otherwise the cluster's own key and settings apply.
    """
    wanted = {"RAY_USAGE_STATS_ENABLED": "0", _QUIET_VARIABLE: "."}
    if local:
        wanted |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": _key(),
            LOOPBACK_VARIABLE: "0",
            "RAY_worker_niceness": "0",
        }
        wanted |= SINGLE_THREAD_ENVIRONMENT
        wanted["PYTHONPATH"] = os.pathsep.join([str(_SOURCE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is not None:
                os.environ[name] = value
            else:
                os.environ.pop(name, None)


@cache
def _key() -> str:
    """Token of this process' private clusters, known to their processes alone, because it permits running code."""
    return secrets.token_hex(32)
