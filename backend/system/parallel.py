"""Process several photos in parallel threads: numpy, OpenCV, numba and torch release the GIL while they compute."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import numpy as np
import torch

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
    told: Callable[[int], None] = lambda done: None,
) -> list[Result]:
    """``[function(a, b) for a, b in zip(*arguments)]`` in parallel threads, results in order.

    Parameters
    ----------
    arguments : iterables of the same length, one per parameter. at_once : most parallel calls (``parallel_threads`` if
        None). told : called in the caller's thread with the number of finished calls; an exception from it stops the
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
            told(len(results))
        return results
    with _pool(threads) as pool:
        futures = [pool.submit(function, *task) for task in tasks]
        for done, future in enumerate(as_completed(futures), 1):
            future.result()
            told(done)
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
        torch.set_num_threads(own)  # new threads inherit the number last set by any thread
