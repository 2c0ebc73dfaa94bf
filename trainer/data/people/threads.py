"""A pool of threads that each use one core."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier

import torch


@cache
def single_threaded_pool(workers: int) -> ThreadPoolExecutor:
    """Return a pool of threads in which torch does not split an operation over further threads.

    Making people takes thousands of small operations, which are fastest on one core. So several batches run at once on
    one core each, instead of one batch on all cores. The caller's number of threads stays unchanged.
    """
    before = torch.get_num_threads()
    started = Barrier(workers + 1)

    def alone() -> None:
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(workers, thread_name_prefix="people", initializer=alone)
    for _ in range(workers):
        pool.submit(int)  # a pool starts a thread only for a submitted task
    started.wait()
    torch.set_num_threads(before)
    return pool


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=single_threaded_pool.cache_clear)  # threads do not survive a fork
