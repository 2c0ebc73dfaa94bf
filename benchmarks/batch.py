"""Throughput and fault tolerance of batches on two workers: python benchmarks/batch.py [--json FILE].

Two parts, both with small synthetic people that the repository renders itself (``--photos FOLDER`` takes a folder of
folders instead), ``--quality fast`` and a texture of 1024 px:

- ``ratio``: ``batch`` on a local Ray cluster of two workers, compared with two plain single-threaded processes that
  share the people without Ray, in alternating rounds. Wall and CPU seconds per person, start-up included; the ratio is
  of the best rounds. The aim is 0.9 of the plain throughput.
- ``upheaval``: all people on a cluster of two machines (on 127.0.0.1). After a fifth of them one worker is killed,
  after
  two fifths a machine is removed (another joins later), after three fifths the batch gets Ctrl-C and is restarted.
  Counted: people lost, people made twice.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from measure import ROOT, benchmark_parser, processor_seconds, report

OPTIONS = ("--quality", "fast", "--texture", "1024")
SIDE = (320, 372)
BUDGETS = {"batch.plain_over_batch": 1 / 0.9, "upheaval.lost": 0, "upheaval.made_twice": 0}
"""Throughput of 0.9 of plain processes; nobody lost or made twice."""
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    **{name: "1" for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")},
}
_DONE = re.compile(r"^\d+/\d+  (\S+)  done \d", re.MULTILINE)


def render_people(folder: Path, count: int) -> list[Path]:
    """Render a folder of one photo, or two for every third, for each of ``count`` people; existing ones stay."""
    from trainer.heads.demo_person import demo_photographs, demo_shots, random_person

    folders = []
    for number in range(count):
        seed, photos = 1000 + number, 2 if number % 3 == 0 else 1
        person = folder / f"person_{number:03}"
        folders.append(person)
        if len(list(person.glob("*.jpg"))) == photos:
            continue
        person.mkdir(parents=True, exist_ok=True)
        shots = tuple(replace(shot, size=SIDE) for shot in demo_shots(photos, seed))
        for index, made in enumerate(demo_photographs(random_person(seed), shots, samples=1)):
            (person / f"photo_{index + 1}.jpg").write_bytes(made.jpeg)
    return folders


def write_manifest(path: Path, people: Sequence[Path]) -> Path:
    """Write the folders as JSON lines."""
    path.write_text("".join(json.dumps({"name": person.name, "folder": str(person)}) + "\n" for person in people))
    return path


def batch_command(manifest: Path, out: Path, *more: str) -> list[str]:
    """Build the command ``python -m backend batch``."""
    return [sys.executable, "-m", "backend", "batch", str(manifest), "--out", str(out), *OPTIONS, *more]


def timed(processes: Callable[[], Sequence[subprocess.Popen[bytes]]]) -> tuple[float, float]:
    """Wall and CPU seconds of processes and their descendants, possibly without the last half second of each."""
    start, used = time.perf_counter(), {}
    running = processes()
    while any([process.poll() is None for process in running]):
        for process in running:
            used |= processor_seconds(process.pid)
        time.sleep(0.5)
    if any(process.returncode for process in running):
        raise SystemExit("a run failed")
    return time.perf_counter() - start, sum(used.values())


def plain(people: Sequence[Path], out: Path) -> list[subprocess.Popen[bytes]]:
    """Start two single-threaded processes, each with every second person: only reconstruct and write."""
    program = (
        "import sys; from pathlib import Path; import backend;"
        "from backend.pipeline import ReconstructOptions, reconstruct;"
        "from backend.photos.formats import PhotoSource;"
        "from backend.exchange.folder import write_folder; from backend.system.processes import keep_freed_memory;"
        "keep_freed_memory(); out = Path(sys.argv[1])\n"
        "for person in map(Path, sys.argv[2:]):\n"
        "    photos = [PhotoSource.from_path(path) for path in sorted(person.glob('*.jpg'))]\n"
        "    result = reconstruct(photos, ReconstructOptions(quality='fast', texture_size=1024, device='cpu'))\n"
        "    write_folder(result.asset, result.previews, out / person.name)\n"
    )
    return [
        subprocess.Popen(
            [sys.executable, "-c", program, str(out), *map(str, people[part::2])],
            env=ENVIRONMENT,
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        for part in range(2)
    ]


def worker_seconds(out: Path) -> float:
    """CPU seconds for heads as reported by a batch's workers, without Ray's own processes."""
    return sum(json.loads(path.read_text())["cpu_seconds"] for path in out.glob("*/made_from.json"))


def ratio(people: Sequence[Path], folder: Path, rounds: int) -> dict[str, float]:
    """Measure the throughput of ``batch`` relative to two plain processes."""
    manifest = write_manifest(folder / "ratio.jsonl", people)
    walls: dict[str, list[float]] = {"plain": [], "batch": []}
    cpus: dict[str, list[float]] = {"plain": [], "batch": []}
    heads: list[float] = []
    nowhere = subprocess.DEVNULL
    for turn in range(rounds):
        out = folder / f"batch_{turn}"
        command = batch_command(manifest, out, "--workers", "2")
        runs = {
            "plain": lambda turn=turn: plain(people, folder / f"plain_{turn}"),
            "batch": lambda command=command: [
                subprocess.Popen(command, env=ENVIRONMENT, cwd=ROOT, stdout=nowhere, stderr=nowhere)
            ],
        }
        for name in ("plain", "batch") if turn % 2 == 0 else ("batch", "plain"):
            wall, cpu = timed(runs[name])
            walls[name].append(wall / len(people))
            cpus[name].append(cpu / len(people))
            print(
                f"round {turn + 1}: {name} {wall / len(people):.2f} s wall, {cpu / len(people):.2f} s CPU a person",
                flush=True,
            )
        heads.append(worker_seconds(out) / len(people))
    figures = {"batch.people": len(people), "batch.rounds": rounds}
    for name in walls:
        figures[f"batch.{name}_wall_seconds"] = min(walls[name])
        figures[f"batch.{name}_cpu_seconds"] = min(cpus[name])
    figures["batch.head_cpu_seconds"] = min(heads)
    figures["batch.cpu_ratio"] = min(cpus["plain"]) / min(cpus["batch"])
    figures["batch.throughput_ratio"] = min(walls["plain"]) / min(walls["batch"])
    figures["batch.plain_over_batch"] = min(walls["batch"]) / min(walls["plain"])
    return figures


class FaultyCluster:
    """A batch of all people on a cluster with failures."""

    def __init__(self, people: Sequence[Path], folder: Path) -> None:
        self._people, self._out = people, folder / "upheaval"
        self._manifest = write_manifest(folder / "upheaval.jsonl", people)
        self._log = folder / "upheaval.log"

    def run(self) -> dict[str, float]:
        """Run the batch; returns figures of what was lost and what was made twice."""
        settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        settings |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
        settings |= {"RAY_worker_niceness": "0"}
        os.environ.update({**settings, "PYTHONPATH": str(ROOT)})  # before ray is imported
        from ray.cluster_utils import Cluster

        few = {"object_store_memory": 100 * 2**20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **few})
        nodes = [cluster.add_node(num_cpus=1, **few) for _ in range(2)]
        self._command = batch_command(self._manifest, self._out, "--address", cluster.address)
        self._environment = {**ENVIRONMENT, **settings}
        count = len(self._people)
        start = time.perf_counter()
        try:
            batch = self._started()
            self._wait(batch, count // 5)
            killed = self._kill_a_worker()
            print(f"{self._made()} made: killed the worker with process id {killed}", flush=True)
            self._wait(batch, 2 * count // 5)
            cluster.remove_node(nodes[0], allow_graceful=False)
            print(f"{self._made()} made: removed one of two machines", flush=True)
            self._wait(batch, 2 * count // 5 + max(count // 20, 1))
            cluster.add_node(num_cpus=1, **few)
            print(f"{self._made()} made: another machine joined", flush=True)
            self._wait(batch, 3 * count // 5)
            batch.send_signal(signal.SIGINT)
            began = time.perf_counter()
            stopped_with = batch.wait()
            stop_seconds = time.perf_counter() - began
            print(
                f"{self._made()} made: stopped with Ctrl-C, exit code {stopped_with}, {stop_seconds:.1f} s", flush=True
            )
            left = [str(path) for path in self._out.rglob(".likeness-*")]
            ended_with = self._started().wait()
        finally:
            cluster.shutdown()
        made = Counter(_DONE.findall(self._log.read_text()))
        table = json.loads((self._out / "batch.json").read_text())
        complete = {path.parent.name for path in self._out.glob("*/made_from.json")}
        return {
            "upheaval.people": count,
            "upheaval.lost": count - len(complete & {person.name for person in self._people}),
            "upheaval.made_twice": sum(times > 1 for times in made.values()),
            "upheaval.failed": table["counts"].get("failed", 0),
            "upheaval.begun_again": self._log.read_text().count("who is done again"),
            "upheaval.stop_exit_code": stopped_with,
            "upheaval.stop_seconds": stop_seconds,
            "upheaval.left_behind_by_the_stop": len(left),
            "upheaval.end_exit_code": ended_with,
            "upheaval.seconds": time.perf_counter() - start,
            "upheaval.head_cpu_seconds": worker_seconds(self._out) / count,
            "upheaval.worker_peak_mb": table["worker_peak_mb"],
        }

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, env=self._environment, cwd=ROOT, stdout=log, stderr=log)

    def _made(self) -> int:
        return len(_DONE.findall(self._log.read_text()))

    def _wait(self, batch: subprocess.Popen[bytes], count: int) -> None:
        """Wait until ``count`` heads are made; stops the benchmark when the batch ends earlier."""
        while self._made() < count:
            if batch.poll() is not None:
                raise SystemExit(f"the batch ended with code {batch.returncode}:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.5)

    def _kill_a_worker(self) -> int:
        """Kill (-9) a process that makes a head for this cluster."""
        key = self._environment["RAY_AUTH_TOKEN"].encode()
        while True:
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    ours = key in (process / "environ").read_bytes()
                    if ours and (process / "cmdline").read_bytes().startswith(b"ray::Worker.make"):
                        os.kill(int(process.name), signal.SIGKILL)
                        return int(process.name)
                except OSError:
                    continue
            time.sleep(0.1)


def main() -> int:
    """Print the figures and write them to ``--json``; exit code 1 when an aim is missed."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--photos", type=Path, help="a folder of folders; people that are missing there are rendered")
    parser.add_argument("--folder", type=Path, help="for heads and logs; a temporary one if not given")
    parser.add_argument("--people", type=int, default=200, help="of the second part (default: 200; 0: leave it out)")
    parser.add_argument("--ratio-people", type=int, default=24, help="of the first part (default: 24; 0: leave it out)")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would ours
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        people = render_people(arguments.photos or folder / "photos", max(arguments.people, arguments.ratio_people))
        if arguments.ratio_people:
            figures |= ratio(people[: arguments.ratio_people], folder, arguments.rounds)
        if arguments.people:
            figures |= FaultyCluster(people[: arguments.people], folder).run()
    return report(figures, arguments.json, BUDGETS)


if __name__ == "__main__":
    sys.exit(main())
