"""Processes that make the rows of a store in order, ahead of a training that reads them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from typing import Any

import torch

NICENESS = 10
"""So that the training, which feeds an accelerator, goes first."""


class DrawingProcesses:
    """``count`` rows, made ``at_once`` together by ``processes`` processes of one thread each; they end with this one.

    ``make(argument)`` is called once in every process, and what it returns with the rows (range) to make.
    """

    def __init__(
        self, make: Callable[[Any], Callable[[range], None]], argument: Any, count: int, at_once: int, processes: int
    ) -> None:
        context = multiprocessing.get_context("spawn")
        taken = context.Value("q", 0)
        self._taken = taken  # it must live until the processes have begun
        self._all = [
            context.Process(target=_work, args=(make, argument, count, at_once, taken), daemon=True)
            for _ in range(processes)
        ]
        for process in self._all:
            process.start()

    @property
    def alive(self) -> bool:
        """Whether a process is still at work."""
        return any(process.is_alive() for process in self._all)


def _work(
    make: Callable[[Any], Callable[[range], None]],
    argument: Any,
    count: int,
    at_once: int,
    taken: Synchronized,
) -> None:
    torch.set_num_threads(1)
    os.nice(NICENESS)
    rows = make(argument)
    while True:
        with taken.get_lock():
            start, taken.value = taken.value, taken.value + at_once
        if start >= count:
            return
        rows(range(start, min(start + at_once, count)))
