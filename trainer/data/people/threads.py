"""Threads that each use one core."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier

import torch


@cache
def single_threaded_pool(workers: int) -> ThreadPoolExecutor:
    """Threads in which torch does not spread an operation over further threads.

    People are made by thousands of small operations, which one core does fastest: so many batches at once, each on
    one core, instead of one on all. The number of threads of the caller stays what it is.
    """
    before = torch.get_num_threads()
    started = Barrier(workers + 1)

    def alone() -> None:
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(workers, thread_name_prefix="people", initializer=alone)
    for _ in range(workers):
        pool.submit(int)  # a pool starts its threads when there is work for them
    started.wait()
    torch.set_num_threads(before)
    return pool


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=single_threaded_pool.cache_clear)  # threads do not survive a fork
