"""Jobs over the wire, with a scripted worker in place of the reconstruction."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from service_client import ServerProcess, ServiceClient, children, photo_headers, wait_until


def test_hello_tells_versions_and_limits(client: ServiceClient) -> None:
    welcome = client.hello()
    assert welcome["protocol"] == 2 and len(welcome["instance"]) == 32
    assert {"photos", "frame_bytes", "message_bytes", "queue", "seconds_per_job"} <= set(welcome["limits"])
    assert welcome["capabilities"] == ["path"]


def test_a_job_from_photos_to_result(client: ServiceClient) -> None:
    queued = client.submit("full", b"answer", b"12345", texture_size=1024)
    assert queued.type == "queued" and queued["position"] == 0 and queued["token"] == "full"
    result = client.last_message(queued["token"])
    assert result.type == "result"
    assert result["names"] == ["photo 0.jpg", "photo 1.jpg"] and result["texture_size"] == 1024
    assert np.frombuffer(result.buffers[0], "<i4").tolist() == [6, 5]
    assert [entry["name"] for entry in result["buffers"]] == ["sizes", "ballast"]
    progress = [message for message in client.ignored if message.type == "progress"]
    fractions = [message["fraction"] for message in progress]
    assert fractions == sorted(fractions) and fractions[-1] > 0.2
    assert {message["stage"] for message in progress} >= {"photos", "landmarks", "dense"}
    assert all(message["sentence"] for message in progress)
    previews = [message for message in client.ignored if message.type == "preview"]
    assert [message["number"] for message in previews] == [1, 2, 3]
    assert previews[0].buffers[0].startswith(b"\x89PNG")


def test_submitting_twice_is_one_job(client: ServiceClient) -> None:
    first = client.submit("twice", "sleep 0.3")
    second = client.submit("twice", "sleep 0.3")
    assert first["token"] == second["token"]
    client.last_message(first["token"])
    third = client.submit("twice", "sleep 0.3")
    assert third.type == "result" and third["token"] == first["token"]


def test_photos_are_gone_when_the_job_is(server: ServerProcess, client: ServiceClient) -> None:
    job = client.submit("private", "sleep 0.4")["token"]
    folder = server.folder_of(job)
    assert (folder / "photo_0").read_bytes() == b"sleep 0.4"
    assert folder.stat().st_mode & 0o077 == 0
    client.last_message(job)
    assert os.listdir(folder) == ["result"]
    assert client.ask({"type": "forget", "token": job}).type == "forgotten"
    assert not folder.exists()
    assert client.ask({"type": "fetch", "token": job})["code"] == "unknown_job"


def test_what_the_runner_prints_harms_nothing(client: ServiceClient) -> None:
    assert client.last_message(client.submit("noise", "noise")["token"]).type == "result"


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("no_face", "no_face", "No face"),
        ("bug", "internal", "ValueError: a bug"),
        ("memory", "out_of_memory", "memory"),
        ("exit 5", "worker_died", "exit code 5"),
        ("kill", "worker_died", "killed"),
    ],
)
def test_a_job_that_fails_takes_nothing_with_it(client: ServiceClient, script: str, code: str, words: str) -> None:
    failed = client.submit(f"fails-{code}-{len(script)}", script)["token"]
    following = client.submit(f"after-{code}-{len(script)}", "answer")["token"]
    error = client.last_message(failed)
    assert error["code"] == code and words in error["sentence"]
    assert client.last_message(following).type == "result"
    assert client.ask({"type": "fetch", "token": failed})["code"] == code


@pytest.mark.parametrize("script", ["sleep 30", "stuck 30", "frozen"])
def test_cancelling_takes_less_than_a_second(client: ServiceClient, script: str) -> None:
    job = client.submit(f"cancel-{script.split()[0]}", script)["token"]
    client.wait_until_running(job)
    start = time.monotonic()
    client.send({"type": "cancel", "token": job})
    assert client.last_message(job)["code"] == "cancelled"
    assert time.monotonic() - start < 1.0
    assert client.last_message(client.submit(f"next-{script.split()[0]}", "answer")["token"]).type == "result"
    assert client.ask({"type": "cancel", "token": job})["code"] == "finished"


def test_cancelling_by_itself_keeps_the_worker_warm(client: ServiceClient) -> None:
    before = client.last_message(client.submit("warm-1", "answer")["token"])["pid"]
    job = client.submit("warm-2", "sleep 30")["token"]
    client.wait_until_running(job)
    client.send({"type": "cancel", "token": "warm-2"})
    client.last_message(job)
    assert client.last_message(client.submit("warm-3", "answer")["token"])["pid"] == before


def test_a_waiting_job_is_cancelled_at_once(client: ServiceClient) -> None:
    running = client.submit("runs", "sleep 0.5")["token"]
    waiting = client.submit("waits", "answer")
    assert waiting["position"] == 1
    client.send({"type": "cancel", "token": waiting["token"]})
    assert client.last_message(waiting["token"], 0.4)["code"] == "cancelled"
    assert client.last_message(running).type == "result"


def test_the_position_is_told_when_it_changes(client: ServiceClient) -> None:
    client.submit("p-1", "sleep 0.3")
    second = client.submit("p-2", "answer")
    assert second["position"] == 1
    moved = client.wait_for(lambda message: message.type == "queued" and message["token"] == second["token"])
    assert moved["position"] == 0 and "request" not in moved.header
    client.last_message(second["token"])


def test_a_result_can_be_fetched_by_another_connection(server: ServerProcess) -> None:
    first = server.client()
    job = first.submit("left", "sleep 0.6")["token"]
    first.send({"type": "bye"})
    while not first.is_silent(0.05):
        pass
    second = server.client()
    answer = second.ask({"type": "fetch", "token": "left"})
    assert answer.type == "queued" and answer["token"] == job
    assert second.last_message(job).type == "result"
    again = second.ask({"type": "fetch", "token": job})
    assert again.type == "result" and len(again.buffers) == 2
    assert first.is_silent(0.2)


def test_an_unfinished_job_is_not_forgotten(client: ServiceClient) -> None:
    job = client.submit("unfinished", "sleep 0.3")["token"]
    assert client.ask({"type": "forget", "token": job})["code"] == "unfinished"
    assert client.last_message(job).type == "result"


def test_heartbeats(client: ServiceClient) -> None:
    assert client.ask({"type": "ping"}).type == "pong"
    job = client.submit("stuck", "stuck 1.2")["token"]
    client.last_message(job)
    told = [message for message in client.ignored if message.type == "progress" and message["stage"] == "photos"]
    assert len(told) >= 3  # though the worker said it once
    assert client.socket.poll(2000)  # the server asks whether a silent client is still there
    assert b"ping" in client.socket.recv_multipart()[0]


def test_a_client_that_stays_silent_is_forgotten(start_server) -> None:
    server = start_server(timing={"heartbeat": 0.1, "patience": 0.4})
    client = server.client()
    time.sleep(1.0)
    while client.socket.poll(0):
        client.socket.recv_multipart()
    assert client.ask({"type": "ping"})["code"] == "hello_first"
    assert client.hello().type == "welcome"
    assert client.ask({"type": "ping"}).type == "pong"


def test_the_time_limit(start_server) -> None:
    server = start_server(limits={"seconds_per_job": 0.5})
    client = server.client()
    job = client.submit("long", "stuck 30")["token"]
    start = time.monotonic()
    assert client.last_message(job)["code"] == "time_limit"
    assert client.last_message(client.submit("short", "answer")["token"]).type == "result"
    assert time.monotonic() - start < 15


def test_old_results_go(start_server) -> None:
    server = start_server(limits={"result_seconds": 0.5, "result_bytes": 3000})
    client = server.client()
    jobs = [client.submit(f"r{number}", "large 2000")["token"] for number in range(2)]
    for job in jobs:
        assert client.last_message(job).type == "result"
    assert client.ask({"type": "fetch", "token": jobs[0]})["code"] == "unknown_job"  # too large together
    assert client.ask({"type": "fetch", "token": jobs[1]}).type == "result"
    time.sleep(1.0)
    assert client.ask({"type": "fetch", "token": jobs[1]})["code"] == "unknown_job"  # too old
    assert os.listdir(server.jobs) == []


@pytest.mark.parametrize(("mode", "code"), [("missing", "missing_part"), ("crash", "worker_died")])
def test_a_worker_that_cannot_start(start_server, mode: str, code: str) -> None:
    server = start_server(environment={"SCRIPTED_WARM": mode})
    client = server.client()
    error = client.last_message(client.submit("never", "answer")["token"])
    assert error["code"] == code and error["advice"]
    assert client.ask({"type": "ping"}).type == "pong"


def test_a_worker_that_says_nothing_at_its_start_is_given_up(start_server) -> None:
    client = start_server(environment={"SCRIPTED_WARM": "slow"}, timing={"worker_start": 0.5}).client()
    error = client.last_message(client.submit("never", "answer")["token"], 10.0)
    assert (
        error["code"] == "worker_died" and "did not start within" in error["sentence"] and "doctor" in error["advice"]
    )


def test_a_job_says_that_models_are_loaded_while_it_waits_for_that(start_server) -> None:
    client = start_server(environment={"SCRIPTED_WARM": "slow"}).client()
    cold = client.submit("cold", "answer")["token"]
    client.last_message(cold)
    told = [message for message in client.ignored if message.type == "progress" and message["token"] == cold]
    assert (told[0]["stage"], told[0]["sentence"]) == ("starting", "Loading the models")
    assert told[0]["seconds_left"] is None and told[0]["fraction"] == 0.0

    client.ignored.clear()
    warm = client.submit("warm", "answer")["token"]
    client.last_message(warm)
    told = [message for message in client.ignored if message.type == "progress" and message["token"] == warm]
    loaded = [message for message in told if message["sentence"] == "Loading the models"]
    first = next(message for message in told if message["stage"] == "photos")
    assert not loaded and first["fraction"] == 0.0, "a worker that is ready takes no share of the bar"


def test_a_job_waits_for_nothing_that_it_can_load_itself(start_server: Callable[..., ServerProcess]) -> None:
    """What a job needs late took 1.5 s of every first click."""
    client = start_server(environment={"SCRIPTED_LATER": "slow"}).client()
    first = client.submit("first", "answer")["token"]
    assert client.last_message(first)["kept"] == 0


def test_what_jobs_need_late_is_loaded_while_there_is_none(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    note = tmp_path / "loaded"
    client = start_server(environment={"SCRIPTED_LATER": "slow", "SCRIPTED_NOTE": str(note)}).client()
    assert wait_until(note.exists, 30.0)
    assert client.last_message(client.submit("after-a-while", "answer")["token"])["kept"] == 1


def test_an_idle_worker_that_is_stopped_blocks_nobody(start_server: Callable[..., ServerProcess]) -> None:
    """A job's line with many long names is longer than a pipe holds."""
    server = start_server()
    client = server.client()
    assert client.last_message(client.submit("first", "answer")["token"]).type == "result"
    (worker,) = children(server.process.pid)
    os.kill(worker, signal.SIGSTOP)
    data = [b"answer"] * 64
    long = "\U0001f600" * 238  # 64 of them just fit into a header
    photos = [own | {"name": f"{number} {long}"} for number, own in enumerate(photo_headers(data))]
    header = json.dumps({"type": "submit", "token": "long", "photos": photos}, ensure_ascii=False)
    client.send_raw(header.encode(), *data)
    job = client.wait_for(lambda message: message.type == "queued")["token"]
    time.sleep(0.3)
    asked = time.monotonic()
    assert client.ask({"type": "ping"}).type == "pong" and time.monotonic() - asked < 2.0
    client.send({"type": "cancel", "token": job})
    assert client.last_message(job)["code"] == "cancelled"
    assert client.last_message(client.submit("after", "answer")["token"]).type == "result"
    os.kill(children(server.process.pid)[0], signal.SIGSTOP)
    server.process.terminate()
    assert server.process.wait(timeout=10) == 0


def test_a_result_that_nobody_fetched_makes_room_for_a_new_one(start_server: Callable[..., ServerProcess]) -> None:
    client = start_server().client()
    kept = client.submit("kept", "answer")["token"]
    assert client.last_message(kept).type == "result"
    new = client.submit("new", "roomy")["token"]  # its disk is full as long as there is another result
    assert client.last_message(new).type == "result"
    assert client.ask({"type": "fetch", "token": kept})["code"] == "unknown_job"
