"""Parts of the service without sockets: messages, jobs that are kept, faces of the last job, keys."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from plain_photo import plain_photo

from backend.errors import LikenessError
from backend.photos.collect import CollectOptions
from backend.photos.collection import PhotoCollection, PhotoSource
from backend.service import job_runner, jobs, worker
from backend.service import messages as service_messages
from backend.service.access import ServerSettings, make_private_folder, own_keys
from backend.service.jobs import Job, Jobs
from backend.service.server import Server
from protocol.file_lock import write_private_once
from protocol.keys import config_folder

BUFFERS = st.lists(st.binary(max_size=40), max_size=5)


@given(st.lists(st.tuples(st.dictionaries(st.text(), st.integers(0, 9)), BUFFERS), max_size=4))
def test_messages_survive_a_stream(said: list[tuple[dict[str, int], list[bytes]]]) -> None:
    stream = io.BytesIO()
    for message in said:
        service_messages.write_packed(stream, service_messages.pack(*message))
    stream.seek(0)
    for header, buffers in said:
        assert service_messages.unpack(service_messages.read_packed(stream)) == (header, buffers)
    assert service_messages.read_packed(stream) is None


@given(BUFFERS, st.data())
def test_a_stream_that_ends_early_is_noticed(buffers: list[bytes], data: st.DataObject) -> None:
    stream = io.BytesIO()
    service_messages.write_packed(stream, service_messages.pack({"type": "done"}, buffers))
    cut = data.draw(st.integers(1, len(stream.getvalue()) - 1))
    with pytest.raises(ValueError, match="cut off"):
        service_messages.read_packed(io.BytesIO(stream.getvalue()[:cut]))


@pytest.mark.parametrize("most", [service_messages.PIPE_BYTES, service_messages.MOST_BYTES])
def test_a_message_of_absurd_size_is_refused_unread(most: int) -> None:
    stream = io.BytesIO((most + 1).to_bytes(8, "little") + b"more")
    with pytest.raises(ValueError, match="too large"):
        service_messages.read_packed(stream, most)
    assert stream.read() == b"more"


generations: list[int] = []


@pytest.fixture
def make_jobs(tmp_path: Path) -> Callable[[service_messages.Limits], Jobs]:
    """Jobs with workers that say what a test says; ``generations``: of those started, -1 where one is killed."""
    generations.clear()

    def start(generation: int) -> Any:
        generations.append(generation)
        return SimpleNamespace(generation=generation, ready=False, send=lambda **_: None, kill=kill)

    kill, nobody = lambda: generations.append(-1), {"send": lambda *message: None, "ended": lambda job: None}
    return lambda limits: Jobs(tmp_path, start, limits, service_messages.Timing(), **nobody)


def submitted(jobs: Jobs, token: str) -> Job:
    photos = (service_messages.PhotoHeader("a", 5),)
    return jobs.submit(b"a", service_messages.Submit(token=token, photos=photos), [memoryview(b"photo")])


def finished(jobs: Jobs, token: str, now: float) -> None:
    """Run a job to its end, with ten bytes as its result."""
    job = submitted(jobs, token)
    jobs.maintain(now)
    said(jobs, "ready", now, memory=0)
    jobs.maintain(now)
    Path(job.task.result).write_bytes(b"r" * 10)
    said(jobs, "done", now)
    assert job.finished == now and job.error is None and os.listdir(job.folder) == ["result"]


def said(jobs: Jobs, kind: str, now: float = 0.0, **fields: Any) -> None:
    """An event of the last worker that was started."""
    jobs.on_worker_event(generations[-1], service_messages.pack({"type": kind, **fields}), now)


def test_a_worker_that_dies_idle_again_and_again_is_given_up(make_jobs: Callable[..., Jobs]) -> None:
    """It was started anew for ever, as each one had become ready."""
    store = make_jobs(service_messages.Limits())
    for second in range(100):
        store.maintain(second)
        said(store, "ready", second, memory=0)
        said(store, "ended", second, exit_code=7)
    assert len(generations) == jobs.MOST_EARLY_DEATHS
    job = submitted(store, "next")
    store.maintain(100)
    assert len(generations) == jobs.MOST_EARLY_DEATHS + 1
    said(store, "ready", 100, memory=0)
    said(store, "ended", 100, exit_code=7)  # before the job reaches it
    assert job.error and job.error.code == "worker_died" and "4 times in a row" in job.error.sentence
    late = submitted(store, "later")
    store.maintain(200)
    said(store, "ready", 200, memory=0)
    store.maintain(201)
    assert late.started == 201


def test_a_worker_that_says_why_it_is_broken_and_hangs(make_jobs: Callable[..., Jobs]) -> None:
    job = submitted(store := make_jobs(service_messages.Limits()), "waits")
    store.maintain(0.0)
    said(store, "broken", code="missing_part", sentence="A part is missing.", advice="")
    store.maintain(store._timing.worker_start + 1)
    assert job.error and job.error.sentence == "A part is missing." and generations[:2] == [1, -1]


def test_errors_of_the_server_itself_have_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object) -> None:
        raise OSError(errno.EAGAIN, "no more processes")

    store = Jobs(tmp_path, fault, service_messages.Limits(), service_messages.Timing(), fault, lambda job: None)
    job = submitted(store, "waits")
    store.maintain(0.0)
    assert job.error and job.error.code == "internal" and "cannot be started" in job.error.sentence
    answers: list[Any] = []
    with Server(ServerSettings(tmp_path / "likeness")) as server:
        monkeypatch.setattr(server, "_send", lambda identity, header, *_, **__: answers.append(header))
        monkeypatch.setattr(server, "_welcome", fault)
        server._take_message(b"a", [zmq.Frame(b'{"type": "hello", "protocol": 2, "request": "1"}')], 0.0)
    (answer,) = answers
    assert (answer["code"], answer["request"]) == ("internal", "1") and "could not handle" in answer["sentence"]


def test_only_so_many_finished_jobs_are_remembered(make_jobs: Callable[[service_messages.Limits], Jobs]) -> None:
    jobs = make_jobs(service_messages.Limits(finished_jobs=2))
    for number in range(4):
        finished(jobs, f"t{number}", float(number))
    jobs.maintain(4.0)
    assert [job.task.token for job in jobs] == ["t2", "t3"]


def test_photos_that_do_not_fit_push_out_the_oldest_results(
    make_jobs: Callable[[service_messages.Limits], Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_jobs(service_messages.Limits())
    for number in range(3):
        finished(store, f"t{number}", float(number))
    real, most = jobs._write_files, [1]

    def full_disk(job: Job, buffers: Sequence[memoryview]) -> None:
        if len(list(store)) > most[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(job, buffers)

    monkeypatch.setattr(jobs, "_write_files", full_disk)
    finished(store, "new", 3.0)
    assert [job.task.token for job in store] == ["t2", "new"]
    most[0] = -1
    with pytest.raises(service_messages.ProtocolError, match="could not keep the files: No space left"):
        finished(store, "too much", 4.0)
    assert not list(store)


def test_a_cancel_that_came_too_late_does_not_reach_the_next_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "_exit", lambda code: None)
    said = iter([worker.Instruction(cancel=True), worker.Instruction(task=SimpleNamespace()), None])
    one = worker.Worker(SimpleNamespace(receive=lambda: next(said)), tmp_path / "jobs")
    one._listen()
    assert not one._cancel.is_set() and one._tasks.qsize() == 1


def test_an_error_says_which_message_it_is_about() -> None:
    assert service_messages.about(b'{"request": "7", "token": "abc"}') == {"request": "7", "token": "abc"}
    assert service_messages.about(b'{"type": "explode", "token": "a/b"}') == {"token": "a/b"}
    assert service_messages.about(b"[") == service_messages.about(b'{"request": 7}') == {}
    assert service_messages.about(b'{"token": "abc", "request": [' + b"1e999," * 99 + b"1]}") == {"token": "abc"}


def test_only_the_same_photos_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def collect(sources, *, progress, options) -> PhotoCollection:
        read.append([source.name for source in sources])
        return PhotoCollection((plain_photo((8, 8)),))

    monkeypatch.setattr(job_runner, "collect", collect)
    faces, options = job_runner.CachedFaces(idle_seconds=0.3), CollectOptions()
    photos = [PhotoSource("a", data=b"1"), PhotoSource("b", data=b"2")]
    first = faces.read(photos, options=options)
    assert faces.read([PhotoSource("a", data=b"1"), PhotoSource("b", data=b"2")], options=options) is first
    assert read == [["a", "b"]]
    faces.read([PhotoSource("a", data=b"1"), PhotoSource("b", data=b"3")], options=options)
    faces.read([PhotoSource("a", data=b"1"), PhotoSource("b", data=b"3")], options=CollectOptions(surface=False))
    assert len(read) == 3 and faces.kept.value and faces.fit is None
    faces.keep_fit(fit := object())
    assert faces.fit is fit
    faces.token = "drag"
    faces.read([PhotoSource("a", data=b"1"), PhotoSource("b", data=b"3")], options=CollectOptions(surface=False))
    assert len(read) == 3 and faces.fit is fit
    faces.kept.forget("another")
    assert faces.fit is fit
    end = time.monotonic() + 10
    while faces.kept.value and time.monotonic() < end:
        time.sleep(0.05)
    assert not faces.kept.value and faces.fit is None  # which holds the photos, too
    faces.read(photos, options=options)
    faces.kept.forget("drag")
    assert not faces.kept.value


def test_more_than_fits_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_runner, "collect", lambda *_, **__: PhotoCollection((plain_photo((8, 8)),)))
    monkeypatch.setattr(job_runner, "MOST_BYTES", 100)
    faces = job_runner.CachedFaces()
    faces.read([PhotoSource("a", data=b"1")], options=CollectOptions())
    faces.keep_fit(object())
    assert not faces.kept.value and faces.fit is None


def test_where_the_folder_is() -> None:
    home = Path.home()
    assert config_folder({"LIKENESS_CONFIG_DIR": "here"}, "linux") == Path("here")
    assert config_folder({}, "linux") == home / ".config" / "likeness"
    assert config_folder({"XDG_CONFIG_HOME": "/xdg"}, "linux") == Path("/xdg/likeness")
    assert config_folder({"XDG_CONFIG_HOME": ""}, "freebsd") == home / ".config" / "likeness"
    assert config_folder({"XDG_CONFIG_HOME": "xdg"}, "darwin") == home / "Library/Application Support/likeness"
    assert config_folder({"APPDATA": "roaming"}, "win32") == Path("roaming/likeness")


def test_keys_are_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    keys = own_keys(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert zmq.curve_public(keys.secret.encode()).decode() == keys.public
    assert own_keys(path) == keys
    assert keys.secret not in repr(keys)


def test_a_key_that_others_can_read_is_shut(tmp_path: Path) -> None:
    path = tmp_path / "server_key.json"
    keys = own_keys(path)
    path.chmod(0o644)
    assert own_keys(path) == keys
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    tmp_path.chmod(0o755)
    make_private_folder(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


@pytest.mark.parametrize("content", ["", "{}", '{"public_key": "x", "secret_key": "y"}', "mismatch"])
def test_a_damaged_key_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key.json"
    if content == "mismatch":
        one, other = zmq.curve_keypair(), zmq.curve_keypair()
        content = json.dumps({"public_key": one[0].decode(), "secret_key": other[1].decode()})
    path.write_text(content)
    with pytest.raises(LikenessError, match=r"key\.json is damaged"):
        own_keys(path)
    assert path.read_text() == content


def test_private_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert write_private_once(path, b"first")
    assert not write_private_once(path, b"second")
    assert path.read_bytes() == b"first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
