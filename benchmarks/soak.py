"""Long soak test of the service and the extension: python benchmarks/soak.py [--share 0.1] [--json FILE].

A server with the tests' scripted worker, on 127.0.0.1 only, gets 4,000 malformed messages from a client with its key,
1,500 from clients without, 600 incomplete handshakes and 20 workers that are killed; the extension's reader gets 4,000
mutated results. All numbers are fixed; everything takes about a minute on two cores, mostly for the results. Exit code
1
where a server did not answer, an unexpected error occurred, or memory grew.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/backend/service"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/blender_addon/scene"))

from bad_messages import half_handshake, malformed, mutated, say, unknown_client
from head_message import make
from memory import resident_mb
from service_client import ServerProcess, ServiceClient

from blender_addon.client.conversation import parse_header
from blender_addon.errors import AddonError
from blender_addon.protocol.result import decode_result

MOST_GROWTH_MB = 150.0
"""Growth limit of the server's resident memory from its first job to the end; photos of 40 bytes leave nothing
behind."""
HALF_OPEN = 50
"""Incomplete handshakes that are open at a time, fewer than the server's file limit."""


def malformed_with_the_key(server: ServerProcess, count: int, draw: random.Random) -> int:
    """Send invalid messages; returns how often the server then did not answer."""
    unanswered = 0
    for first in range(0, count, 200):
        client = ServiceClient(server.endpoint, server.public_key, server.keys())
        client.hello()
        for _ in range(min(200, count - first)):
            client.send_raw(*malformed(draw))
        unanswered += not answers(client)
        client.close()
    return unanswered


def unknown_client_replies(server: ServerProcess, count: int, draw: random.Random) -> int:
    """Send messages under unknown keys; returns how many were answered."""
    answered = 0
    for first in range(0, count, 50):
        client = unknown_client(server, draw)
        for _ in range(min(50, count - first)):
            if not say(client, draw):
                break
        answered += bool(client.socket.poll(100))
        client.close()
    return answered


def half_handshakes(server: ServerProcess, count: int, draw: random.Random) -> None:
    """Open connections that do not complete their greeting, ``HALF_OPEN`` at a time."""
    for first in range(0, count, HALF_OPEN):
        lines = [half_handshake(server, draw) for _ in range(min(HALF_OPEN, count - first))]
        time.sleep(0.05)
        for line in lines:
            line.close()


def killed_workers(server: ServerProcess, count: int) -> int:
    """Run jobs whose worker is killed; returns how many did not end with the proper error."""
    client, wrong = server.client(), 0
    for number in range(count):
        job = client.submit(f"kill{number}", "kill")["job"]
        wrong += client.last_message(job).header.get("code") != "worker_died"
    return wrong


def mutated_results(count: int, draw: random.Random) -> tuple[int, list[str]]:
    """Give mutated results to the extension's reader; returns how many were refused, and other exceptions."""
    message = make()
    header, refused, escaped = json.dumps(message.header).encode(), 0, []
    for _ in range(count):
        buffers = list(message.buffers)
        if draw.random() < 0.6:
            which = draw.randrange(len(buffers))
            if draw.random() < 0.5:
                buffers[which] = mutated(buffers[which][:4096], draw) + buffers[which][4096:]
            else:
                del buffers[which]
        try:
            decode_result(parse_header(mutated(header, draw) if draw.random() < 0.7 else header), buffers)
        except AddonError:
            refused += 1
        except Exception as error:  # what is looked for
            escaped.append(f"{type(error).__name__}: {error}"[:200])
    return refused, escaped


def answers(client: ServiceClient) -> bool:
    """Whether a ping is answered within ten seconds."""
    try:
        client.send({"type": "ping", "request": "soak"})
        return bool(client.wait_for(lambda message: message.header.get("request") == "soak", 10.0))
    except AssertionError:
        return False


def main() -> int:
    """Run all parts, print the figures and write them to ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures as flat JSON")
    parser.add_argument("--share", type=float, default=1.0, help="of the numbers above, 1 by default")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    draw, figures = random.Random(arguments.seed), {}

    def number(whole: int) -> int:
        return max(1, round(whole * arguments.share))

    def timed(name: str, work: Callable[[], object]) -> object:
        start = time.perf_counter()
        found = work()
        figures[f"seconds.{name}"] = time.perf_counter() - start
        return found

    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder) / "server")
        try:
            client = server.client()
            assert client.last_message(client.submit("first", "answer")["job"]).type == "result"
            before = resident_mb(server.process.pid)
            figures["unanswered"] = timed("malformed", lambda: malformed_with_the_key(server, number(4000), draw))
            figures["strangers_answered"] = timed(
                "strangers", lambda: unknown_client_replies(server, number(1500), draw)
            )
            timed("half_handshakes", lambda: half_handshakes(server, number(600), draw))
            figures["jobs_ended_wrong"] = timed("killed_workers", lambda: killed_workers(server, number(20)))
            last = server.client()
            figures["works_afterwards"] = int(last.last_message(last.submit("last", "answer")["job"]).type == "result")
            figures["server_growth_mb"] = resident_mb(server.process.pid) - before
        finally:
            server.close()
    refused, escaped = timed("results", lambda: mutated_results(number(4000), draw))
    figures |= {"results_refused": refused, "results_escaped": len(escaped)}
    for key, value in figures.items():
        print(f"{key:24} {value:10.2f}")
    for text in sorted(set(escaped))[:10]:
        print(f"escaped: {text}")
    if arguments.json:
        arguments.json.write_text(json.dumps({key: round(float(v), 3) for key, v in figures.items()}, indent=1) + "\n")
    held = not (figures["unanswered"] or figures["strangers_answered"] or figures["jobs_ended_wrong"] or escaped)
    return 0 if held and figures["works_afterwards"] and figures["server_growth_mb"] < MOST_GROWTH_MB else 1


if __name__ == "__main__":
    sys.exit(main())
