"""Number of workers that fit on machines, and the resources of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
