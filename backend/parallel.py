"""Several photos at a time: numpy, OpenCV, numba and torch let other threads run while they compute."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import numba
import numpy as np
import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


@numba.njit(cache=True, parallel=True)
def _count_up(out: np.ndarray) -> None:
    for i in numba.prange(len(out)):
        out[i] = i


@cache
def threads_at_once() -> int:
    """How many threads may compute at a time: as many as numba may use; one where numba's own threads must not be
    called from two threads (its ``workqueue`` layer, where neither OpenMP nor TBB is installed)."""
    _count_up(np.empty(64))  # the layer is chosen at the first parallel loop
    return 1 if numba.threading_layer() == "workqueue" else numba.config.NUMBA_NUM_THREADS


def each(
    function: Callable[..., Result],
    *arguments: Iterable,
    at_once: int | None = None,
    told: Callable[[int], None] = lambda done: None,
) -> list[Result]:
    """``[function(a, b) for a, b in zip(*arguments)]``, some of them at a time, results in order.

    Parameters
    ----------
    arguments : iterables of the same length, one for each parameter. at_once : at most so many at a time
        (``threads_at_once`` if None). told : called, by this thread, whenever one more is done; what it raises ends the
        work like an error of ``function``.

    Raises
    ------
    ValueError : the iterables differ in length. Else what ``function`` raises first; what has not begun by then is left
        out. KeyboardInterrupt : on Ctrl-C, at once; what has begun goes on until the process ends.
    """
    tasks = list(zip(*arguments, strict=True))
    threads = min(at_once or threads_at_once(), threads_at_once(), len(tasks))
    if threads <= 1:
        results = []
        for task in tasks:
            results.append(function(*task))
            told(len(results))
        return results
    with _pool(threads) as pool:
        futures = [pool.submit(function, *task) for task in tasks]
        for done, future in enumerate(as_completed(futures), 1):
            future.result()
            told(done)
        return [future.result() for future in futures]


def beside(function: Callable[[], Result]) -> Callable[[], Result]:
    """Begin ``function`` in a thread of its own; what is returned waits for it and gives its result, or raises what it
    raised."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="beside")
    future = pool.submit(function)
    pool.shutdown(wait=False)
    return future.result


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``map(function, items)``, some of them at a time. ``items`` are taken by the caller's thread, and no more of them
    than are worked on, so that large ones do not gather."""
    threads = threads_at_once()
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
    """Threads in each of which torch computes alone: together they are as many as there are cores.

    On an error what has not begun is left out and what runs is waited for, on Ctrl-C it is not: a person waits, and the
    process ends.
    """
    own = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="each", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    except BaseException as error:
        pool.shutdown(wait=not isinstance(error, KeyboardInterrupt), cancel_futures=True)
        raise
    else:
        pool.shutdown()
    finally:
        torch.set_num_threads(own)  # threads to come take the last number that any thread has set
