"""Transfers over the wire, with a scripted worker that does what the pictures say; then the worker's own code."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from service_client import Message, ServerProcess, ServiceClient, photo_headers

from backend.errors import Cancelled, LikenessError
from backend.geometry.template import load_template
from backend.service.messages import JobOptions
from backend.service.worker import Task

GUEST = tuple(key.decode() for key in zmq.curve_keypair())


def transfer(client: ServiceClient, token: str, *buffers: bytes, **fields: Any) -> Message:
    return client.ask({"type": "transfer", "token": token, **fields}, *buffers)


def photos(client: ServiceClient, token: str, *data: bytes) -> Message:
    return transfer(client, token, *data, photos=photo_headers(data))


def video(client: ServiceClient, token: str, *pieces: bytes, **fields: Any) -> Message:
    return transfer(client, token, *pieces, video={"name": "clip.mp4", "bytes": sum(map(len, pieces))}, **fields)


def jobs_folder(server: ServerProcess, job: str) -> list[str]:
    folder = server.folder_of(job)
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_photos_and_a_head_become_a_result(server: ServerProcess, client: ServiceClient) -> None:
    head = np.arange(6, dtype="<f4").tobytes()
    data = [b"transfer", b"second"]
    header = {"photos": photo_headers(data), "identity": True}
    queued = transfer(client, "photos", *data, head, **header)
    assert queued.type == "queued", queued.header
    result = client.last_message(queued["token"])
    assert result["kind"] == "transfer" and result["version"] == 1 and result["token"] == "photos"
    assert [(entry["name"], entry["media_type"]) for entry in result["buffers"]] == [("expression", "application/json")]
    said = json.loads(result.buffers[0])
    assert said == {"names": ["photo 0.jpg", "photo 1.jpg"], "sizes": [8, 6], "video": False, "identity": 24}
    stages = [message["stage"] for message in client.ignored if message.type == "progress"]
    assert stages[-1] == "expression" and "Following the expression" in str(client.ignored)
    assert jobs_folder(server, queued["token"]) == ["result"]


def test_a_video_comes_in_pieces(server: ServerProcess, client: ServiceClient) -> None:
    queued = video(client, "pieces", b"transfer", b" and", b" more")
    said = json.loads(client.last_message(queued["token"]).buffers[0])
    assert said == {"names": ["clip.mp4"], "sizes": [17], "video": True, "identity": None}
    assert jobs_folder(server, queued["token"]) == ["result"]


def test_a_video_of_this_machine_is_read_where_it_lies(client: ServiceClient, tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    path.write_bytes(b"transfer " + bytes(10_000))
    queued = transfer(client, "path", video={"name": "long.mp4", "path": str(path)})
    assert json.loads(client.last_message(queued["token"]).buffers[0])["sizes"] == [10_009]
    assert path.exists()
    missing = transfer(client, "missing", video={"name": "long.mp4", "path": str(tmp_path / "none.mp4")})
    assert (missing["code"], missing["token"]) == ("no_path", "missing")


def test_paths_are_for_the_servers_own_user_only(start_server: Callable[..., ServerProcess], tmp_path: Path) -> None:
    guest = start_server(owner=GUEST[0]).client(GUEST)
    assert "path" not in guest.hello()["capabilities"]
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"transfer")
    refused = transfer(guest, "secret", video={"name": "a.mp4", "path": str(secret)})
    assert (refused.type, refused["code"], refused["token"]) == ("error", "no_path", "secret") and refused["advice"]
    assert guest.last_message(video(guest, "bytes", b"transfer")["token"]).type == "result"


@pytest.mark.parametrize(
    ("fields", "buffers", "code"),
    [
        ({}, (), "no_photo"),
        ({"photos": [{"name": "a", "bytes": 3}], "video": {"name": "b", "bytes": 3}}, (b"abc",), "malformed"),
        ({"video": {"name": "b"}}, (), "malformed"),
        ({"video": {"name": "b", "bytes": 3, "path": "/b"}}, (b"abc",), "malformed"),
        ({"video": {"name": "b", "path": "b.mp4"}}, (), "malformed"),
        ({"video": {"name": "b", "path": "/b\0.mp4"}}, (), "malformed"),
        ({"video": {"name": "b", "path": "/b.mp4"}}, (b"abc",), "malformed"),
        ({"video": {"name": "b", "bytes": 4}}, (b"abc",), "malformed"),
        ({"video": {"name": "b", "bytes": 0}}, (), "no_photo"),
        ({"video": {"name": "", "bytes": 3}}, (b"abc",), "malformed"),
        ({"video": {"name": "b", "bytes": 70}}, (b"a",) * 70, "too_large"),
        ({"video": {"name": "b", "bytes": 3}, "identity": True}, (b"abc",), "malformed"),
        ({"video": {"name": "b", "bytes": 3}, "identity": True}, (b"abc", b"12345"), "malformed"),
        ({"video": {"name": "b", "bytes": 3}, "identity": True}, (b"abc", bytes(12 * 2**17)), "malformed"),
        ({"video": {"name": "b", "bytes": 3}, "options": {}}, (b"abc",), "malformed"),
    ],
)
def test_malformed_transfers(
    client: ServiceClient, fields: dict[str, Any], buffers: tuple[bytes, ...], code: str
) -> None:
    answer = transfer(client, "bad", *buffers, **fields)
    assert (answer.type, answer["code"]) == ("error", code) and answer["sentence"]


def test_what_is_too_large(start_server: Callable[..., ServerProcess]) -> None:
    limits = {"frame_bytes": 100_000, "message_bytes": 250_000}
    client = start_server(limits=limits).client()
    for number, pieces in enumerate(([bytes(90_000)] * 3, [bytes(100_001)])):
        answer = video(client, f"large{number}", *pieces)
        assert answer["code"] == "too_large" and "clip.mp4 is larger" in answer["sentence"] and answer["advice"]
    exactly = [b"transfer" + bytes(99_992), bytes(100_000), bytes(50_000)]
    assert client.last_message(video(client, "exactly", *exactly)["token"]).type == "result"


def test_cancel_a_killed_worker_and_no_face(server: ServerProcess, client: ServiceClient) -> None:
    job = video(client, "cancel", b"sleep 30")["token"]
    client.wait_until_running(job)
    start = time.monotonic()
    client.send({"type": "cancel", "token": job})
    error = client.last_message(job)
    assert error["code"] == "cancelled" and "transfer" in error["sentence"] and time.monotonic() - start < 2
    assert jobs_folder(server, job) == []
    error = client.last_message(video(client, "kill", b"kill")["token"])
    assert error["code"] == "worker_died" and error["advice"]
    error = client.last_message(photos(client, "faceless", b"no_face")["token"])
    assert (error["code"], error["sentence"]) == ("no_face", "No face was found.")
    assert client.last_message(photos(client, "next", b"transfer")["token"]).type == "result"


def test_a_transfer_has_a_time_limit_of_its_own(start_server: Callable[..., ServerProcess]) -> None:
    client = start_server(limits={"seconds_per_job": 0.3, "seconds_per_transfer": 1.5}).client()
    assert client.last_message(video(client, "longer", b"sleep 0.6")["token"]).type == "result"
    error = client.last_message(video(client, "too-long", b"stuck 30")["token"])
    assert error["code"] == "time_limit" and error["sentence"].startswith("The transfer took longer")


@pytest.fixture(scope="module")
def portraits(small_photo: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A photograph of a person who does not exist, and the same once more."""
    folder = tmp_path_factory.mktemp("portraits")
    return [Path(shutil.copy(small_photo, folder / name)) for name in ("photo.jpg", "again.jpg")]


def task(paths: list[Path], **fields: Any) -> Task:
    names = tuple(path.name for path in paths)
    places = tuple(map(str, paths))
    return Task(token="t", kind="transfer", options=JobOptions(), names=names, paths=places, result="", **fields)


def test_the_worker_solves_photos_of_a_known_head(portraits: list[Path], tmp_path: Path) -> None:
    from backend.service.job_runner import run

    head = tmp_path / "identity"
    head.write_bytes(load_template().vertices.astype("<f4").tobytes())
    stages: list[str] = []
    message = run(task(portraits, identity=str(head)), lambda stage, fraction: stages.append(stage))
    said = json.loads(message.buffers[0])
    assert said["format"] == "likeness-expression" and said["kind"] == "photos" and said["source"] == "2 photos"
    assert said["frame_names"] == [path.name for path in portraits] and len(said["weights"]) == 2
    assert {"identity", "expression"} == set(stages)
    assert message.header["buffers"][0]["bytes"] == len(message.buffers[0])
    head.write_bytes(bytes(12 * 100))
    with pytest.raises(LikenessError, match="is not one that this version"):
        run(task(portraits, identity=str(head)), lambda stage, fraction: None)


def test_the_worker_names_a_file_as_the_client_did_and_stops_when_told(tmp_path: Path, portraits: list[Path]) -> None:
    from backend.service.job_runner import run

    kept = tmp_path / "video"
    kept.write_bytes(b"no video at all")
    broken = task([kept], video=True)
    with pytest.raises(LikenessError) as caught:
        run(Task(**{**{f: getattr(broken, f) for f in broken.__struct_fields__}, "names": ("holiday.mov",)}), print)
    assert caught.value.sentence == "holiday.mov is not a video that can be read."
    assert str(os.sep) not in caught.value.sentence

    def stop(stage: str, fraction: float) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        run(task(portraits), stop)
