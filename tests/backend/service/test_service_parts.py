"""Parts of the service without sockets."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import LikenessError, explain
from backend.progress import SHARES, TRANSFER_SHARES, sentence_for
from backend.service import discovery, job_runner, jobs, worker
from backend.service.discovery import ServerState, lock_server, process_runs, read_state, remove_state, write_state
from backend.service.jobs import Job, JobBook, JobProgress, JobState
from backend.service.messages import (
    BrokenFramesError,
    Limits,
    PhotoHeader,
    ProtocolError,
    Submit,
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


def submit(book: JobBook, connection: bytes, token: str) -> Job:
    photo = memoryview(b"photo")
    return book.submit("key", connection, Submit(token=token, photos=(PhotoHeader("a", 5),)), [photo])


def test_everybody_gets_a_turn(tmp_path: Path) -> None:
    book = JobBook(tmp_path / "jobs", Limits(jobs_per_client=10))
    for token in ("a1", "a2", "a3"):
        submit(book, b"a", token)
    for token in ("b1", "b2"):
        submit(book, b"b", token)
    order = []
    while book.waiting():
        assert book.waiting()[0] is book.waiting()[0]
        job = book.waiting()[0]
        job.state = JobState.RUNNING
        order.append(job.token)
        if job.token == "b1":
            submit(book, b"c", "c1")  # new, and had no turn yet
        book.finish(job, JobState.CANCELLED, now=0.0)
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_only_so_many_finished_jobs_are_remembered(tmp_path: Path) -> None:
    book = JobBook(tmp_path / "jobs", Limits(finished_jobs=2))
    for number in range(4):
        job = submit(book, b"a", f"t{number}")
        book.finish(job, JobState.CANCELLED, now=float(number))
        book.expire(now=float(number))
    assert [job.token for job in book] == ["t2", "t3"]
    book.close()
    assert not (tmp_path / "jobs").exists()


def test_photos_that_do_not_fit_push_out_the_oldest_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = JobBook(tmp_path / "jobs", Limits())
    for number in range(3):
        job = submit(book, b"a", f"t{number}")
        job.result_path.write_bytes(b"r" * 10)
        book.finish(job, JobState.DONE, now=float(number))
    real, most = jobs._write_files, [1]

    def full_disk(job: Job, buffers: Sequence[memoryview]) -> None:
        if len(list(book)) > most[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(job, buffers)

    monkeypatch.setattr(jobs, "_write_files", full_disk)
    assert submit(book, b"a", "new").token == "new"
    assert [job.token for job in book] == ["t2", "new"]
    most[0] = 0
    with pytest.raises(ProtocolError, match="could not keep the files: No space left"):
        submit(book, b"b", "too much")
    assert [job.token for job in book] == ["new"]


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


def test_the_state_file(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    state = ServerState("tcp://127.0.0.1:1", "k" * 40, 1, "a" * 32)
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    remove_state(tmp_path, "b" * 32)  # another server's
    assert read_state(tmp_path) == state
    remove_state(tmp_path, "a" * 32)
    assert read_state(tmp_path) is None
    (tmp_path / "server.json").write_text("{")
    assert read_state(tmp_path) is None


def test_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "LOCK_SECONDS", 0.1)
    lock = lock_server(tmp_path)
    with pytest.raises(LikenessError, match="runs already"):
        lock_server(tmp_path)
    lock.release()
    lock_server(tmp_path).release()


def test_a_lock_is_waited_for_where_no_server_says_that_it_runs(tmp_path: Path) -> None:
    """It is held by one that is just ending, or that somebody looks for."""
    lock = lock_server(tmp_path)
    threading.Timer(0.2, lock.release).start()
    lock_server(tmp_path).release()
    lock = lock_server(tmp_path)
    write_state(tmp_path, ServerState("tcp://127.0.0.1:5", "k" * 40, os.getpid(), "a" * 32))
    start = time.monotonic()
    with pytest.raises(LikenessError, match=f"process {os.getpid()}"):
        lock_server(tmp_path)
    assert time.monotonic() - start < discovery.LOCK_SECONDS / 2
    lock.release()


def test_whether_a_process_runs() -> None:
    assert process_runs(os.getpid()) and process_runs(1)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.communicate()
    assert not process_runs(child.pid)
    assert not process_runs(0) and not process_runs(-1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "out_of_memory"),
        (OSError(28, "No space left on device"), "disk"),
        (OSError(2, "No such file"), "internal"),
        (ImportError("no", name="mediapipe"), "missing_part"),
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
