"""Read broken and hostile files: python benchmarks/bad_input.py [--count 500] [--kinds ...] [--json FILE].

Makes photos of every format, model files, heads, videos and takes, and damages them randomly with a seed. Adds files
that cost far more to read than their size suggests, and paths that are not files. Each is read as the commands read it,
in a monitored process. Messages go to a server: changed ones from a client with its key, some without a key, and
incomplete handshakes (``bad_messages.py``). Each input should be read or refused with a sentence; strangers get no
answer.

Figures: ``bad_input.inputs``, ``.tracebacks``, ``.hangs`` (more than ``--seconds`` of processor time, or six times as
many by the clock, because other programs run, too), ``.above_4_gb`` (processes), ``.peak_mb`` of the largest process,
and ``.seconds`` for all. Exit code 1 where tracebacks, hangs or processes above 4 GB are not 0. On two cores with other
work, 500 took two to four minutes, 3,000 photos (``--side 6000``) two, and 400 videos half a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bad_files import SHARES, inputs
from bad_messages import MessageReader, hostile_messages, ways
from memory import Watch

import backend  # noqa: F401  # its settings for numpy must be set before numpy is imported

MOST_MB = 4096.0
_LOOK_SECONDS = 0.01
_CLOCK_FACTOR = 6.0


@dataclass(frozen=True)
class Outcome:
    """Result of one input: ``read``, ``refused``, ``traceback`` or ``hang``; the message, and the processor time in
    seconds."""

    kind: str
    path: str
    result: str
    text: str
    seconds: float


# -- reading them ----------------------------------------------------------------------------------------------------


def read_input(kind: str, path: Path) -> None:
    """Read an input as the commands do; raises the errors that they turn into a sentence."""
    if kind == "photos":
        from backend.photos.formats import PhotoSource
        from backend.photos.reading import read_photo

        read_photo(PhotoSource.from_path(path))
    elif kind == "takes":
        from backend.expression.live_link import read_live_link

        read_live_link(path)
    elif kind == "videos":
        from backend.expression.video import Video

        with Video(path) as video:
            for _ in video.frames():
                pass
    elif kind == "models":
        from backend.models.checkpoints import load_model

        load_model("small", path.parent)
    else:
        from backend.expression.subject import read_neutral, read_texture

        read_texture(path.parent)
        read_neutral(path.parent)


def run_reader() -> None:
    """Run the reading process: a line of JSON in, a line out, in an endless loop."""
    from backend.errors import LikenessError
    from backend.photos.formats import PhotoUnreadableError

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of libraries goes to stderr
    for line in sys.stdin:
        kind, path = json.loads(line)
        try:
            read_input(kind, Path(path))
            result = "read", ""
        except (LikenessError, PhotoUnreadableError) as error:
            result = "refused", str(error)
        except BaseException as error:
            result = "traceback", f"{type(error).__name__}: {error}"
        print(json.dumps(result), file=answers, flush=True)


class Reader:
    """The reading process, seen from the benchmark."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._start()

    def read(self, kind: str, path: Path, seconds: float) -> Outcome:
        """Read one input with a limit of ``seconds``."""
        start, before, took = time.monotonic(), self._look(), 0.0
        self._process.stdin.write(json.dumps([kind, str(path)]).encode() + b"\n")
        self._process.stdin.flush()
        os.set_blocking(self._process.stdout.fileno(), False)
        while True:
            took = max(took, self._look() - before)  # child processes may be gone by now
            line = self._process.stdout.readline()
            if line:
                result, text = json.loads(line)
                return Outcome(kind, str(path), result, text, took)
            if self._process.poll() is not None:
                code = self._process.returncode
                self._start()
                return Outcome(kind, str(path), "traceback", f"the process ended with code {code}", took)
            if took > seconds or time.monotonic() - start > _CLOCK_FACTOR * seconds:
                self.close()
                self._start()
                return Outcome(kind, str(path), "hang", "", took)
            time.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        command = [sys.executable, __file__, "--reader"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def _look(self) -> float:
        return self._watch.look(self._process.pid)


def read_messages(count: int, seconds: float, seed: int, folder: Path, watch: Watch) -> list[Outcome]:
    """Send ``count`` messages, plus the hostile ones, and return their outcomes."""
    every = [*(("known", frames) for frames in hostile_messages()), *ways(count, random.Random(seed))]
    reader, outcomes = MessageReader(folder, seed, watch), []
    try:
        for number, (way, frames) in enumerate(every):
            result, text, took = reader.read(way, frames, seconds, _CLOCK_FACTOR * seconds)
            outcomes.append(Outcome("messages", f"{number} ({way})", result, text, took))
            if result == "hang" or "the server ended" in text:
                reader.close()
                reader = MessageReader(folder / str(number), seed + number, watch)
    finally:
        reader.close()
    return outcomes


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500, help="damaged ones; those made to harm come on top")
    parser.add_argument("--kinds", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument("--side", type=int, default=10_900, help="of the photos that cost much, in pixels")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the processor; more is a hang")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--reader", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reader:
        run_reader()
        return 0
    start = time.monotonic()
    outcomes: list[Outcome] = []
    watch = Watch(MOST_MB)
    share = arguments.count / sum(SHARES[kind] for kind in arguments.kinds)
    with tempfile.TemporaryDirectory() as temporary:
        folder, files = Path(temporary), [kind for kind in arguments.kinds if kind != "messages"]
        reader = Reader(watch)
        try:
            for kind in files:  # imports for a kind are not counted for its first file
                reader.read(kind, folder / "none" / "none", 600.0)
            for kind, path in inputs(files, share, arguments.side, arguments.seed, folder):
                outcomes.append(reader.read(kind, path, arguments.seconds))
        finally:
            reader.close()
        if "messages" in arguments.kinds:
            count = round(share * SHARES["messages"])
            outcomes += read_messages(count, arguments.seconds, arguments.seed, folder / "messages", watch)
    for outcome in outcomes:
        if outcome.result in ("traceback", "hang"):
            print(f"{outcome.result}: {outcome.kind} {Path(outcome.path).name}: {outcome.text}", file=sys.stderr)
    count = Counter((outcome.kind, outcome.result) for outcome in outcomes)
    for kind in arguments.kinds:
        told = ", ".join(f"{count[kind, result]} {result}" for result in ("read", "refused", "traceback", "hang"))
        slowest = max((outcome.seconds for outcome in outcomes if outcome.kind == kind), default=0.0)
        print(f"{kind:10}{told}; the slowest {slowest:.1f} s")
    figures = {
        "bad_input.inputs": len(outcomes),
        "bad_input.tracebacks": sum(outcome.result == "traceback" for outcome in outcomes),
        "bad_input.hangs": sum(outcome.result == "hang" for outcome in outcomes),
        "bad_input.above_4_gb": len(watch.above),
        "bad_input.peak_mb": round(watch.peak_mb),
        "bad_input.seconds": round(time.monotonic() - start, 1),
    }
    for name, value in figures.items():
        print(f"{name:24}{value:>10}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return int(any(figures[f"bad_input.{name}"] for name in ("tracebacks", "hangs", "above_4_gb")))


if __name__ == "__main__":
    sys.exit(main())
