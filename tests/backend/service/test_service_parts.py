"""Parts of the service without sockets."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import LikenessError, explain
from backend.progress import SHARES, TRANSFER_SHARES, sentence_for
from backend.service import job_runner, jobs, worker
from backend.service.jobs import Job, JobProgress, Jobs, JobState
from backend.service.messages import (
    BrokenFramesError,
    Limits,
    PhotoHeader,
    ProtocolError,
    Submit,
    Timing,
    about,
    decode,
    read_frames,
    write_frames,
)


@given(st.lists(st.lists(st.binary(max_size=40), max_size=5), max_size=4))
def test_frames_survive_a_stream(messages: list[list[bytes]]) -> None:
    stream = io.BytesIO()
    for message in messages:
        write_frames(stream, message)
    stream.seek(0)
    assert [read_frames(stream) for _ in messages] == messages
    assert read_frames(stream) is None


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=4), st.data())
def test_a_stream_that_ends_early_is_noticed(message: list[bytes], data: st.DataObject) -> None:
    stream = io.BytesIO()
    write_frames(stream, message)
    cut = data.draw(st.integers(1, len(stream.getvalue()) - 1))
    with pytest.raises(BrokenFramesError):
        read_frames(io.BytesIO(stream.getvalue()[:cut]))


def test_frames_of_absurd_size_are_refused() -> None:
    with pytest.raises(BrokenFramesError):
        read_frames(io.BytesIO(b"\xff" * 100))
    with pytest.raises(BrokenFramesError):
        read_frames(io.BytesIO(b"\1\0\0\0" + b"\xff" * 100))


class Nobody:
    """A listener that does not care."""

    def on_job_message(self, job: Job, header: Any, buffers: Any = (), may_be_lost: bool = False) -> None: ...

    def job_ended(self, job: Job) -> None: ...


@pytest.fixture
def make_jobs(tmp_path: Path) -> Callable[[Limits], Jobs]:
    """Jobs with a worker that writes ten bytes for the job it is given."""

    def start(generation: int) -> Any:
        return SimpleNamespace(generation=generation, ready=True, loaded=1.0, send=lambda header: None)

    return lambda limits: Jobs(tmp_path, start, limits, Timing(), Nobody())


def finished(jobs: Jobs, token: str, now: float) -> None:
    """Run a job to its end."""
    photo = memoryview(b"photo")
    job = jobs.submit(b"a", Submit(token=token, photos=(PhotoHeader("a", 5),)), [photo])
    jobs.maintain(now)
    job.result_path.write_bytes(b"r" * 10)
    jobs.on_worker_event(1, {"type": "done", "job": job.id}, [], now)
    assert job.state is JobState.DONE


def test_only_so_many_finished_jobs_are_remembered(make_jobs: Callable[[Limits], Jobs]) -> None:
    jobs = make_jobs(Limits(finished_jobs=2))
    for number in range(4):
        finished(jobs, f"t{number}", float(number))
    jobs.maintain(4.0)
    assert [job.token for job in jobs] == ["t2", "t3"]


def test_photos_that_do_not_fit_push_out_the_oldest_results(
    make_jobs: Callable[[Limits], Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_jobs(Limits())
    for number in range(3):
        finished(store, f"t{number}", float(number))
    real, most = jobs._write_files, [1]

    def full_disk(job: Job, buffers: Sequence[memoryview]) -> None:
        if len(list(store)) > most[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(job, buffers)

    monkeypatch.setattr(jobs, "_write_files", full_disk)
    finished(store, "new", 3.0)
    assert [job.token for job in store] == ["t2", "new"]
    most[0] = -1
    with pytest.raises(ProtocolError, match="could not keep the files: No space left"):
        finished(store, "too much", 4.0)
    assert not list(store)


def test_shares_are_of_the_whole_time() -> None:
    assert sum(SHARES.values()) == sum(TRANSFER_SHARES.values()) == pytest.approx(1.0)
    assert sentence_for("unheard of") == "Unheard of"


def test_an_import_that_takes_long_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["import sys, time, types"]
    lines += [f"sys.modules['slow_part_{n}'] = types.ModuleType('slow_part_{n}'); time.sleep(0.05)" for n in range(10)]
    (tmp_path / "slow_runner.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(worker, "RUNNER_MODULES", 20)
    monkeypatch.setattr(worker, "LOADING_SECONDS", 0.02)
    heard: list[float] = []
    try:
        assert worker.import_runner("slow_runner", heard.append).__name__ == "slow_runner"
    finally:
        for name in ("slow_runner", *(f"slow_part_{n}" for n in range(10))):
            sys.modules.pop(name, None)
    assert heard == sorted(heard) and heard[-1] == 1.0
    assert len({fraction for fraction in heard if 0.0 < fraction < 0.6}) >= 3
    with pytest.raises(ModuleNotFoundError):
        worker.import_runner("no_such_runner", heard.append)


def test_warming_up_tells_of_each_thing_that_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    loaders = tuple(partial(done.append, name) for name in "abcd")
    monkeypatch.setattr(job_runner, "_first_loaders", lambda: loaders)
    monkeypatch.setattr(job_runner, "start_reading", lambda most: None)
    heard: list[tuple[str, float]] = []
    facts = job_runner.warm("cpu", lambda fraction: heard.append(("".join(done), fraction)))
    assert heard == [("a", 0.25), ("ab", 0.5), ("abc", 0.75), ("abcd", 1.0)]
    assert facts["device"]["kind"] == "cpu"


def test_the_time_left_of_a_silent_job_goes_down_slowly_and_not_to_nothing() -> None:
    assert JobProgress().seconds_left_at(9.0) is None
    told = JobProgress("texture", 0.5, 0.6, 12.0, noted=100.0)
    assert [told.seconds_left_at(now) for now in (100.0, 102.0, 104.0, 500.0)] == [12.0, 11.0, 10.0, 9.0]
    slower = replace(told, owed=3.0)
    assert [slower.seconds_left_at(now) for now in (100.0, 102.0, 103.0, 105.0)] == [12.0, 14.0, 15.0, 14.0]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "out_of_memory"),
        (OSError(28, "No space left on device"), "disk"),
        (OSError(2, "No such file"), "internal"),
        (ImportError("no", name="ai_edge_litert"), "missing_part"),
        (LikenessError("no_face", "No face."), "no_face"),
        (ZeroDivisionError("x"), "internal"),
    ],
)
def test_errors_in_words(error: Exception, code: str) -> None:
    told = explain(error)
    assert told.code == code and told.sentence


def test_a_fault_while_a_message_is_handled_says_which_message_it_was() -> None:
    header = b'{"type": "fetch", "request": "7", "token": "abc"}'
    message = decode(header, [], Limits())
    with pytest.raises(ProtocolError) as caught, about(message):
        raise RuntimeError("a fault of ours")
    assert (caught.value.code, caught.value.request, caught.value.token) == ("internal", "7", "abc")
