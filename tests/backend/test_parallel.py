"""Several photos at a time, and memory that is kept and given back."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
import torch

from backend.system.parallel import each, in_order, in_thread, parallel_threads


def test_results_keep_their_order_and_errors_reach_the_caller():
    assert each(lambda a, b: a * b, range(6), range(1, 7)) == [a * (a + 1) for a in range(6)]
    assert each(str, []) == []
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        each(lambda a, b: a, [1, 2], [1])

    def picky(number: int) -> int:
        if number == 2:
            raise LookupError("two")
        return number

    with pytest.raises(LookupError, match="two"):
        each(picky, range(50))


def test_two_wait_for_each_other_only_if_they_run_at_the_same_time():
    if parallel_threads() < 2:
        pytest.skip("one core")
    meeting = threading.Barrier(2, timeout=20.0)
    assert sorted(each(lambda _: meeting.wait(), range(2))) == [0, 1]
    with pytest.raises(threading.BrokenBarrierError):  # one at a time never meet
        alone = threading.Barrier(2, timeout=0.2)
        each(lambda _: alone.wait(), range(2), at_once=1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the allocator is glibc's")
def test_freed_memory_is_kept_until_it_is_given_back():
    script = """
import numpy as np
from backend.system.processes import release_freed_memory, keep_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

keep_freed_memory()
before = resident()
for _ in range(3):
    array = np.ones(1 << 25)
    del array
kept = resident() - before
release_freed_memory()
print(kept, resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 200 and left < 100, (kept, left)  # MiB of 256


def test_who_is_told_of_progress_may_end_the_work():
    done: list[int] = []

    def told(count: int) -> None:
        done.append(count)
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        each(abs, range(20), report=told)
    assert done == [1, 2, 3]


@pytest.mark.parametrize("many", [each, lambda *given: list(in_order(*given))])
def test_ctrl_c_waits_for_nothing_and_errors_wait_for_what_has_begun(many: Callable[..., list]):
    if parallel_threads() < 2:
        pytest.skip("one core")
    for error, at_least, at_most in ((KeyboardInterrupt, 0.0, 2.0), (LookupError, 3.0, 60.0)):
        begun, begin = [], threading.Barrier(2, timeout=20.0)

        def work(number: int, error: type = error, begun: list = begun, begin: threading.Barrier = begin) -> None:
            begun.append(number)
            if number > 1:
                return time.sleep(0.01)
            begin.wait()
            if number == 0:
                raise error
            time.sleep(4.0)

        start = time.monotonic()
        with pytest.raises(error):
            many(work, range(1000))
        assert at_least < time.monotonic() - start < at_most
        assert len(begun) < 1000


def test_large_items_are_taken_only_as_they_are_worked_on():
    taken: list[int] = []

    def items():
        for number in range(12):
            taken.append(number)
            yield number

    seen = []
    for result in in_order(lambda number: number * number, items()):
        seen.append(result)
        assert len(taken) <= len(seen) + parallel_threads()
    assert seen == [number * number for number in range(12)]


def test_torch_has_its_threads_again_afterwards():
    before = torch.get_num_threads()
    within = each(lambda _: torch.get_num_threads(), range(4))
    assert set(within) == {1} or parallel_threads() == 1
    there = []
    thread = threading.Thread(target=lambda: there.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert torch.get_num_threads() == before and there == [before]


def test_what_runs_beside_is_waited_for_and_its_error_comes_out():
    going = threading.Event()
    result = in_thread(lambda: going.wait(20.0))
    going.set()
    assert result() is True
    with pytest.raises(ZeroDivisionError):
        in_thread(lambda: 1 // 0)()
