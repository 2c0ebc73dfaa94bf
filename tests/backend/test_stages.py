"""A graph of stages: each runs once, after what it needs, beside what it does not need."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from backend.errors import Cancelled
from backend.progress import MainLine, StageClock
from backend.system import parallel
from backend.system.parallel import run_graph


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
