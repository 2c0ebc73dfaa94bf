"""What goes wrong around a head, once: python tests/chaos.py [--parts kills disk …] [--photos FOLDER] [--json FILE].

``kills`` : a process that replaces the files of a folder again and again is killed (kill -9) or interrupted (Ctrl-C),
at any moment or just as it moves them. ``disk`` : disks of growing size on which a head's files just do not fit, and
one that is read-only (needs the right to mount). ``service`` : two clients at one server whose clock goes back by an
hour, and a third behind a line of 10 kB/s. ``batch`` : workers of a batch of people are killed (needs photos).
``messages``, ``files`` : 2,000 and 500 of ``attacks.py``.

``lost`` counts results that are neither the old nor the new one, whole, and other files that changed; ``tracebacks``;
``hangs`` of more than ten seconds. Exit code 1 where one is not 0.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attacks
from measure import ROOT, benchmark_parser, report
from service_client import ServerProcess, ServiceClient, photo_headers

from backend.errors import LikenessError
from backend.exchange.all_or_none import FILE_NAMES, OutputFolder

HANG_SECONDS = 10.0
LINE_BYTES = 10_000
"""Bytes a second of the slow line, in each direction."""
NOTES = b"the user's own"
Figures = Counter[str]


WRITER = """
import random, signal, sys
from pathlib import Path
from backend.exchange.all_or_none import FILE_NAMES, OutputFolder
out, generation, how, seed = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
draw, left = random.Random(seed), 1
for number in [signal.SIGINT] + [signal.SIGALRM] * (how == "Ctrl-C"):
    signal.signal(number, signal.default_int_handler)

def moving(stage, fraction):
    global left
    left -= 1
    if how and left == -1:
        signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-6, 0.0015))

while True:
    generation += 1
    print(generation, flush=True)
    with OutputFolder(out) as held, held.writing(FILE_NAMES, moving) as files:
        for name in FILE_NAMES:
            (files / name).write_text(str(generation))
"""
"""The process that is killed: each round's files hold its number. Where it is told how, it ends itself by an alarm,
just as it moves the files of its second round: SIGALRM kills as kill -9 does, or becomes Ctrl-C."""


def kills(count: int, draw: random.Random) -> Figures:
    """Kill ``WRITER`` so often; the next start puts back what it finds."""
    figures: Figures = Counter()
    with tempfile.TemporaryDirectory() as folder:
        out, last = Path(folder) / "out", 0
        out.mkdir()
        (out / "notes.txt").write_bytes(NOTES)
        for number in range(count):
            killed, aimed = number % 2 > 0, number % 4 < 2
            how = ("killed" if killed else "Ctrl-C") if aimed else ""
            command = [sys.executable, "-c", WRITER, str(out), str(last), how, str(draw.random())]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, **pipes)
            newest = int(process.stdout.readline())
            if not aimed:
                time.sleep(draw.uniform(0.0, 0.1))
                process.send_signal(signal.SIGKILL if killed else signal.SIGINT)
            try:
                said, _ = process.communicate(timeout=HANG_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                said, _ = process.communicate()
                figures["hangs"] += 1
            newest = max([newest, *map(int, said.split())])
            before = _rounds(out)
            figures["in_the_moves"] += (out / ".likeness" / "earlier").exists()
            figures["mixed_until_the_next_start"] += len(before) > 1
            with OutputFolder(out):
                pass
            rounds = _rounds(out)
            whole = len(rounds) == 1 and last <= max(rounds) <= newest
            figures["lost"] += not whole or (out / "notes.txt").read_bytes() != NOTES
            figures["new"] += max(rounds) > last
            last = max(rounds)
    figures["kills"] = count
    return figures


def _rounds(out: Path) -> set[int]:
    """Rounds of the files; 0 of those that are missing."""
    return {int((out / name).read_text()) if (out / name).exists() else 0 for name in FILE_NAMES}


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A disk in memory, as a context."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def disks() -> Figures:
    """Write a head over an older one on disks that hold both but for some kilobytes, and on one that is read-only."""
    sys.path.append(str(ROOT / "tests" / "backend" / "exchange"))
    from hand_made import make_asset

    from backend.exchange.folder import write_folder

    figures: Figures = Counter()
    asset = make_asset()
    with tempfile.TemporaryDirectory() as folder:
        write_folder(asset, [], Path(folder) / "whole")
        old = {path.name: b"old " + path.name.encode() for path in (Path(folder) / "whole").iterdir()}
        size = sum(path.stat().st_size for path in (Path(folder) / "whole").iterdir())
        steps = [*range(0, size, max(size // 24, 1)), "read-only"]
        for step in steps:
            room = 2 * size if step == "read-only" else step + 4096 * (len(old) + 12)
            with small_disk(Path(folder) / "disk", f"size={room}") as disk:
                out = disk / "out"
                out.mkdir()
                for name, content in (old | {"notes.txt": NOTES}).items():
                    (out / name).write_bytes(content)
                if step == "read-only":
                    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
                start, fitted = time.monotonic(), False
                try:
                    write_folder(asset, [], out)
                    fitted = True
                except LikenessError as error:
                    figures["refused"] += error.code == "disk"
                except BaseException as error:
                    figures["tracebacks"] += 1
                    print(f"disk {step}: {type(error).__name__}: {error}", file=sys.stderr)
                figures["hangs"] += time.monotonic() - start > HANG_SECONDS
                after = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
                same = {name: content for name, content in after.items() if name != "notes.txt"} == old
                figures["lost"] += not (fitted or same) or after.get("notes.txt") != NOTES
        figures["disks"] = len(steps)
    return figures


CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int code = real(id, at);
  if (id == CLOCK_REALTIME && getenv("CHAOS_BACK") && !access(getenv("CHAOS_BACK"), F_OK)) at->tv_sec -= 3600;
  return code;
}
"""
"""A library before the system's: the clock goes back by an hour as soon as a file exists."""


def slow_line(endpoint: str) -> str:
    """The endpoint of a line to ``endpoint`` with ``LINE_BYTES`` a second in each direction."""
    door = socket.create_server(("127.0.0.1", 0))
    host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(LINE_BYTES // 10):
                time.sleep(len(data) / LINE_BYTES)
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        while True:
            ours, _ = door.accept()
            theirs = socket.create_connection((host, int(port)))
            for pair in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return f"tcp://127.0.0.1:{door.getsockname()[1]}"


def service(rounds: int) -> Figures:
    """Jobs of two clients at once, before and after the clock goes back, beside one that has a slow line."""
    figures: Figures = Counter()
    with tempfile.TemporaryDirectory() as name, (Path(name) / "log").open("wb") as log:
        folder, back = Path(name), Path(name) / "back"
        (folder / "clock.c").write_text(CLOCK)
        library = folder / "clock.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, folder / "clock.c", "-ldl"], check=True)
        environment = {"LD_PRELOAD": str(library), "CHAOS_BACK": str(back)}
        server = ServerProcess(folder / "server", environment, log)
        try:
            clients, jobs = [server.client(), server.client()], []
            slow = ServiceClient(slow_line(server.endpoint), server.public_key, server.keys())
            slow.hello()
            photos = [b"large 40000", bytes(40_000)]
            begun = time.monotonic()
            slow.send({"type": "submit", "token": "slow", "photos": photo_headers(photos), "request": "s"}, *photos)
            for number in range(rounds):
                if number == rounds // 2:
                    back.touch()
                for which, client in enumerate(clients):
                    size = 1000 * which + number
                    job = client.submit(f"{which}-{number}", "answer", bytes(size))["job"]
                    jobs.append((client, job, size))
                for client, job, size in jobs[-2:]:
                    start = time.monotonic()
                    figures["lost"] += not _is_of(client.last_message(job), size)
                    figures["hangs"] += time.monotonic() - start > HANG_SECONDS
            for client, job, size in jobs:  # those from before the clock went back, too
                client.send({"type": "fetch", "job": job})
                figures["lost"] += not _is_of(client.last_message(job), size)
            job = slow.wait_for(lambda message: message.header.get("request") == "s")["job"]
            figures["lost"] += slow.last_message(job).type != "result"
            figures["slow_line_seconds"] = round(time.monotonic() - begun)
            slow.close()
        finally:
            server.close()
        figures["tracebacks"] = (folder / "log").read_text().count("Traceback")
        figures["jobs"] = len(jobs) + 1
    return figures


def _is_of(message: object, size: int) -> bool:
    """Whether a result is that of photos of which the second has ``size`` bytes."""
    return message.type == "result" and int.from_bytes(message.buffers[0][4:8], "little") == size


def batch(photos: Path, people: int, workers_killed: int) -> Figures:
    """A batch on this machine, of whose workers some are killed; all people get their head."""
    figures: Figures = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = sorted(path for path in photos.rglob("*.jpg"))[:people]
        lines = [{"name": f"p{number}", "photos": [str(path)]} for number, path in enumerate(found)]
        (folder / "people.jsonl").write_text("\n".join(map(json.dumps, lines)))
        command = [sys.executable, "-m", "backend", "batch", str(folder / "people.jsonl"), "--out", str(folder / "out")]
        log = folder / "log"
        with log.open("wb") as stream:
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            process = subprocess.Popen(
                [*command, "--workers", "2", "--texture", "1024", "--hair", "none"],
                env=environment,
                stdout=stream,
                stderr=stream,
            )
            last = time.monotonic()
            while process.poll() is None:
                time.sleep(0.5)
                if figures["workers_killed"] < workers_killed and time.monotonic() - last > 30.0:
                    for one in attacks.processor_seconds(process.pid):
                        with suppress(OSError):
                            if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes():
                                os.kill(one, signal.SIGKILL)
                                figures["workers_killed"] += 1
                                last = time.monotonic()
                                break
        whole = [
            len(set(FILE_NAMES) - {path.name for path in one.iterdir()}) == 0 for one in (folder / "out").glob("p*")
        ]
        figures["people"], figures["heads"] = len(lines), sum(whole)
        figures["lost"] += len(lines) - sum(whole)
        figures["tracebacks"] = log.read_text(errors="replace").count("Traceback")
        if figures["lost"] or figures["tracebacks"]:
            print(log.read_text(errors="replace")[-3000:], file=sys.stderr)
    return figures


def main() -> int:
    """Run the parts; returns the exit code."""
    parser = benchmark_parser(__doc__)
    names = ("kills", "disk", "service", "batch", "messages", "files")
    parser.add_argument("--parts", nargs="+", choices=names, default=names)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--photos", type=Path, help="of people, one photo each; without it there is no batch")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    for part in arguments.parts:
        start = time.monotonic()
        if part == "kills":
            made = kills(arguments.kills, random.Random(arguments.seed))
        elif part == "disk":
            made = disks()
        elif part == "service":
            made = service(20)
        elif part == "messages":
            told = attacks.message_figures(2000, arguments.seed)
            made = Counter({key: told[key] for key in ("unanswered", "jobs_ended_wrong", "results_escaped")})
        elif part == "files":
            told = attacks.file_figures(467, list(attacks.SHARES), 10_900, HANG_SECONDS, arguments.seed)
            made = Counter({key.removeprefix("bad_input."): value for key, value in told.items()})
        elif arguments.photos is None:
            continue
        else:
            made = batch(arguments.photos, 4, 2)
        made["seconds"] = time.monotonic() - start
        figures |= {f"{part}.{key}": value for key, value in made.items()}
    bad = ("lost", "tracebacks", "hangs", "unanswered", "jobs_ended_wrong", "results_escaped")
    return report(figures, arguments.json, {key: 0 for key in figures if key.split(".")[1] in bad})


if __name__ == "__main__":
    sys.exit(main())
