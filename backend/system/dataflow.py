"""A computation as a graph of stages: functions whose parameters name the results that they need."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import partial
from graphlib import TopologicalSorter
from inspect import Parameter, signature
from typing import Any

import torch

from backend.progress import StageClock
from backend.system.parallel import in_thread, parallel_threads

Stages = Mapping[str, Callable[..., Any]]
"""Name of each result -> the function that computes it from the results that its parameters name. Of the stages that
can run, the first goes first."""


def needs(stage: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the results that a stage needs: its parameters without a default."""
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    parameters = signature(stage).parameters.values()
    return tuple(one.name for one in parameters if one.default is Parameter.empty and one.kind in named)


def run_graph(
    stages: Stages, inputs: Mapping[str, Any], wanted: Collection[str], clock: StageClock | None = None
) -> dict[str, Any]:
    """The results called ``wanted``, by name. Only stages that they need run, two at a time where threads may compute
    in parallel. A result is dropped after its last use. ``clock`` measures each stage under its name.

    Raises
    ------
    ValueError : a stage needs what is neither a stage nor an input (``KeyError``), or needs itself (``CycleError``).
        Otherwise the first exception of a stage; no further stage begins then, and a running one is awaited, except
        after Ctrl-C.
    """
    run = _Run(stages, inputs, wanted, clock or StageClock())
    helper = in_thread(partial(run.work, torch.get_num_threads())) if parallel_threads() > 1 else run.work
    run.work()
    if not isinstance(run.error, KeyboardInterrupt):
        helper()
    if run.error is not None:
        raise run.error
    return {name: run.results[name] for name in wanted}


class _Run:
    """One computation, shared by the threads that ``work`` on it."""

    def __init__(self, stages: Stages, inputs: Mapping[str, Any], wanted: Collection[str], clock: StageClock) -> None:
        self.results, self.error = dict(inputs), None
        self._stages, self._clock = stages, clock
        self._needs: dict[str, tuple[str, ...]] = {}
        names = list(wanted)
        while names:
            name = names.pop()
            if name not in inputs and name not in self._needs:
                self._needs[name] = needs(stages[name])
                names += self._needs[name]
        self._uses = Counter(name for names in self._needs.values() for name in names) + Counter(wanted)
        before = {name: [one for one in more if one not in inputs] for name, more in self._needs.items()}
        self._sorter: TopologicalSorter[str] = TopologicalSorter(before)
        self._sorter.prepare()
        self._order = list(stages)
        self._ready = list(self._sorter.get_ready())
        self._changed = threading.Condition()

    def work(self, torch_threads: int | None = None) -> None:
        """Run stages until none is left, or one has failed. A new thread says how many threads torch may use in it:
        else it would be as many as some other thread has said last."""
        if torch_threads is not None:
            torch.set_num_threads(torch_threads)
        while (name := self._next()) is not None:
            try:
                with self._clock.stage(name):
                    result = self._stages[name](**{one: self.results[one] for one in self._needs[name]})
            except BaseException as error:
                with self._changed:
                    self.error = self.error or error
                    self._changed.notify_all()
                return
            self._finish(name, result)
            del result

    def _next(self) -> str | None:
        with self._changed:
            while not self._ready and self.error is None and self._sorter.is_active():
                self._changed.wait()
            if self.error is not None or not self._ready:
                return None
            name = min(self._ready, key=self._order.index)
            self._ready.remove(name)
            return name

    def _finish(self, name: str, result: Any) -> None:
        with self._changed:
            self.results[name] = result
            for one in self._needs[name]:
                self._uses[one] -= 1
                if not self._uses[one]:
                    del self.results[one]
            self._sorter.done(name)
            self._ready += self._sorter.get_ready()
            self._changed.notify_all()
