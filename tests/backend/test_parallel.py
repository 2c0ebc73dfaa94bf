"""A graph of stages, several photos at a time, and what is made once whoever asks for it."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.errors import Cancelled
from backend.photos import networks
from backend.progress import MainLine, StageClock
from backend.system import parallel
from backend.system.files import made_once
from backend.system.parallel import each, in_order, in_thread, parallel_threads, run_graph


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


def test_what_runs_beside_is_waited_for_and_its_error_comes_out():
    going = threading.Event()
    result = in_thread(lambda: going.wait(20.0))
    going.set()
    assert result() is True
    with pytest.raises(ZeroDivisionError):
        in_thread(lambda: 1 // 0)()


def test_a_stage_gets_the_results_that_its_parameters_name() -> None:
    def double(one: int) -> int:
        return 2 * one

    def both(one: int, double: int, unnamed: int = 5) -> tuple[int, int, int]:
        return one, double, unnamed

    def fails() -> None:
        raise AssertionError("nobody needs this one")

    clock = StageClock()
    made = run_graph({"both": both, "double": double, "fails": fails}, {"one": 3}, ("both",), clock)
    assert made == {"both": (3, 6, 5)} and set(clock.seconds) == {"both", "double"}
    assert run_graph({"double": double}, {"one": 3, "double": 1}, ("double", "one")) == {"double": 1, "one": 3}
    report = clock.to_report(["double", "never"])
    assert list(report) == ["seconds.double", "seconds.total"] and report["seconds.total"] >= report["seconds.double"]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_that_is_ready_goes_first(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "parallel_threads", lambda: threads)
    order: list[str] = []
    stages = {
        "last": lambda first, second: order.append("last"),
        "first": lambda: order.append("first"),
        "second": lambda first: order.append("second"),
    }
    run_graph(stages, {}, ("last",))
    assert order == ["first", "second", "last"]


def test_two_stages_run_beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "parallel_threads", lambda: 2)
    meeting = threading.Barrier(2, timeout=20.0)
    made = run_graph({"one": lambda: meeting.wait(), "other": lambda: meeting.wait()}, {}, ("one", "other"))
    assert sorted(made.values()) == [0, 1]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_ends_it_and_nothing_begins_afterwards(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "parallel_threads", lambda: threads)
    begun: list[str] = []

    def fails() -> None:
        raise Cancelled

    stages = {"fails": fails, "after": lambda fails: begun.append("after"), "all": lambda after: None}
    with pytest.raises(Cancelled):
        run_graph(stages, {}, ("all",))
    assert not begun
    with pytest.raises(KeyError):
        run_graph({"one": lambda missing: None}, {}, ("one",))
    with pytest.raises(ValueError, match="cycle"):
        run_graph({"one": lambda other: None, "other": lambda one: None}, {}, ("one",))


def test_a_result_is_dropped_after_its_last_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "parallel_threads", lambda: 1)

    class Large:
        pass

    kept: list[weakref.ref] = []

    def large() -> Large:
        made = Large()
        kept.append(weakref.ref(made))
        return made

    def check(used: int) -> bool:
        gc.collect()
        return kept[0]() is None

    assert run_graph({"large": large, "used": lambda large: 1, "check": check}, {}, ("check",))["check"]


def test_work_aside_may_be_cancelled_and_shows_nothing() -> None:
    shown: list[tuple[str, float]] = []
    line = MainLine(lambda stage, fraction: shown.append((stage, fraction)))
    line("hair", 0.25)
    line.aside("detail", 0.9)
    assert shown == [("hair", 0.25), ("hair", 0.25)]

    def cancelled(stage: str, fraction: float) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        MainLine(cancelled).aside("detail", 0.9)


def test_threads_that_ask_at_the_same_time_get_one_object() -> None:
    made = []

    @made_once
    def slow(name: str) -> object:
        time.sleep(0.05)
        made.append(name)
        return object()

    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(slow, ["a"] * 8 + ["b"]))
    assert sorted(made) == ["a", "b"]
    assert len(set(map(id, got))) == 2
    slow.cache_clear()
    assert slow("a") is not got[0]


def test_an_error_is_not_kept() -> None:
    calls = []

    @made_once
    def fails() -> None:
        calls.append(1)
        raise OSError("no file")

    for _ in range(2):
        with pytest.raises(OSError, match="no file"):
            fails()
    assert len(calls) == 2


def test_networks_are_loaded_once_by_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    def load(network: networks.Network, name: str) -> None:
        time.sleep(0.05)
        loaded.append(name)

    monkeypatch.setattr(networks.Network, "__init__", load)
    networks.network.cache_clear()
    try:
        for name in networks.SHA256:
            with ThreadPoolExecutor(2) as pool:
                first, second = pool.map(lambda _, name=name: networks.network(name), range(2))
            assert first is second
    finally:
        networks.network.cache_clear()
    assert loaded == list(networks.SHA256)
