"""How many workers fit on machines, and what each one needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MEGABYTE = 1_000_000
WORKER_MEMORY_MB = {1024: 2200, 2048: 2600, 4096: 4700}
"""Of a worker, by side of the texture: the most that one held in two people with five photos of 10 megapixels
(docs/farm.md), and a tenth more."""
WORKERS_PER_GPU = 4
"""Networks run on a GPU for a tenth of a person's time, and all else on the CPU."""


@dataclass(frozen=True)
class WorkerNeeds:
    """What one worker is given: one core, memory in bytes, and a share of a GPU (0 to 1)."""

    memory: int
    gpu: float = 0.0


@dataclass(frozen=True)
class Machine:
    """What a machine has: cores, memory in bytes that tasks may use, GPUs."""

    cores: float
    memory: float
    gpus: float = 0.0


def worker_needs(texture_sizes: Iterable[int], device: str, memory_mb: float | None = None) -> WorkerNeeds:
    """What a worker needs that does heads of all these texture sizes; ``memory_mb`` where the user measured it."""
    measured = max((WORKER_MEMORY_MB[size] for size in texture_sizes), default=max(WORKER_MEMORY_MB.values()))
    return WorkerNeeds(int((memory_mb or measured) * MEGABYTE), 1 / WORKERS_PER_GPU if device == "cuda" else 0.0)


def workers_on(machine: Machine, needs: WorkerNeeds) -> int:
    """How many workers the machine has room for."""
    fitting = [machine.cores, machine.memory / needs.memory]
    if needs.gpu:
        fitting.append(machine.gpus / needs.gpu)
    return int(min(fitting) + 1e-6)
