"""Process several photos, or stages of a computation, in parallel threads: numpy, OpenCV, numba and torch release the
GIL while they compute.

A computation as a graph of stages: functions whose parameters name the results that they need.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cache, partial
from graphlib import TopologicalSorter
from inspect import Parameter, signature
from typing import Any, TypeVar

import numpy as np
import torch

from backend.progress import StageClock
from backend.system.numba_cache import numba

Item = TypeVar("Item")
Result = TypeVar("Result")


@numba.njit(cache=True, parallel=True)
def _count_up(out: np.ndarray) -> None:
    for i in numba.prange(len(out)):
        out[i] = i


@cache
def parallel_threads() -> int:
    """Number of threads that may compute in parallel: numba's limit, or one if numba's ``workqueue`` layer is in use
    (neither OpenMP nor TBB installed), which must not be called from two threads."""
    _count_up(np.empty(64))  # the first parallel loop selects the layer
    return 1 if numba.threading_layer() == "workqueue" else numba.config.NUMBA_NUM_THREADS


def each(
    function: Callable[..., Result],
    *arguments: Iterable,
    at_once: int | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> list[Result]:
    """``[function(a, b) for a, b in zip(*arguments)]`` in parallel threads, results in order.

    Parameters
    ----------
    arguments : iterables of the same length, one per parameter. at_once : most parallel calls (``parallel_threads`` if
        None). report : called in the caller's thread with the number of finished calls; an exception from it stops the
        work like an error of ``function``.

    Raises
    ------
    ValueError : the iterables differ in length. Otherwise the first exception of ``function``; calls not yet started
        are cancelled. KeyboardInterrupt : on Ctrl-C, at once; running calls continue until the process ends.
    """
    tasks = list(zip(*arguments, strict=True))
    threads = min(at_once or parallel_threads(), parallel_threads(), len(tasks))
    if threads <= 1:
        results = []
        for task in tasks:
            results.append(function(*task))
            report(len(results))
        return results
    with _pool(threads) as pool:
        futures = [pool.submit(function, *task) for task in tasks]
        for done, future in enumerate(as_completed(futures), 1):
            future.result()
            report(done)
        return [future.result() for future in futures]


def in_thread(function: Callable[[], Result]) -> Callable[[], Result]:
    """Start ``function`` in its own thread. The returned callable waits for it and returns its result or raises its
    exception."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="beside")
    future = pool.submit(function)
    pool.shutdown(wait=False)
    return future.result


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``map(function, items)`` in parallel threads, results in order. The caller's thread iterates over ``items``, and
    takes no more than are being processed, so that large ones do not accumulate."""
    threads = parallel_threads()
    if threads <= 1:
        yield from map(function, items)
        return
    with _pool(threads) as pool:
        coming: deque[Future[Result]] = deque()
        for item in items:
            coming.append(pool.submit(function, item))
            if len(coming) >= threads:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Thread pool in which each thread runs torch single-threaded, so that the threads together use all cores.

    On an error, calls not yet started are cancelled and running ones are awaited; on Ctrl-C they are not awaited,
    because the user waits and the process ends.
    """
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="each", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    except BaseException as error:
        pool.shutdown(wait=not isinstance(error, KeyboardInterrupt), cancel_futures=True)
        raise
    else:
        pool.shutdown()
    finally:
        torch.set_num_threads(before)  # new threads inherit the number last set by any thread


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
