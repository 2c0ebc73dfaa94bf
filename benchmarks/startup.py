"""Cold start-up times until work on the first photo begins: python benchmarks/startup.py [--json FILE] [--runs 5].

``help`` : ``--help``. ``first_photo`` : from the start of ``reconstruct`` to its first progress on a photo. ``click`` :
from a click in the extension to that progress; its client starts the server, which starts its worker.
``click_after_photos`` : the same with the server started when photos were added, three seconds before the click.
``libraries`` : the baseline, an interpreter that loads torch and LiteRT, which no code of ours can avoid. The
measurements alternate; figures are medians.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import DEMO, ROOT, benchmark_parser, report

from backend.progress import SENTENCES
from blender_addon.backend_process.server import LocalBackend
from blender_addon.client.submissions import PhotoFile, Submission
from blender_addon.runner import Runner

RUNS = 5
BUDGETS = {"seconds.help": 0.3, "seconds.first_photo": 2.5}
"""Budgets on two CPU cores."""
BETWEEN_SECONDS = 3.0
"""Seconds from adding photos to the click of a user in a hurry."""


def seconds_of(*command: str) -> float:
    """Wall seconds of a whole Python process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def seconds_to_first_photo(photo: Path, out: Path) -> float:
    """Wall seconds from the start of ``reconstruct`` to its first line of progress; the process is stopped then."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "backend", "reconstruct", str(photo), "--out", str(out)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        seconds = time.perf_counter() - start
        process.terminate()
        process.stderr.read()
    if "photos" not in line:
        raise RuntimeError(f"reconstruct began with: {line.strip()}")
    return seconds


def seconds_to_first_progress(photo: Path, folder: Path, prepared: bool = False) -> float:
    """Wall seconds from starting a job in the extension, without a running server, to its first progress on a photo.

    prepared : start the server ``BETWEEN_SECONDS`` before, as the extension does when photos are added.
    """
    folder.mkdir(mode=0o700)
    os.environ["LIKENESS_CONFIG_DIR"] = str(folder)
    runner = Runner("startup benchmark", folder)
    backend = LocalBackend(Path(sys.executable), ROOT, log=folder / "server.log")
    try:
        if prepared:
            runner.prepare(backend)
            until = time.perf_counter() + BETWEEN_SECONDS
            while time.perf_counter() < until:
                runner.tick()
                time.sleep(0.02)
        start = time.perf_counter()
        runner.begin(Submission("first", (PhotoFile(photo.name, path=photo),)), backend)
        while runner.view.sentence != SENTENCES["photos"]:
            if not runner.busy:
                raise RuntimeError(f"the job ended: {runner.view}")
            runner.tick()
            time.sleep(0.02)
        return time.perf_counter() - start
    finally:
        runner.stop(wait=True)


def main() -> int:
    """Print the figures, and write them to the file of ``--json``; exit code 1 if a budget is exceeded."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    arguments = parser.parse_args()
    rounds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        photo = DEMO[0]
        for number in range(arguments.runs):
            server = folder / f"prepared server {number}"
            seconds = {
                "help": seconds_of("-m", "backend", "--help"),
                "first_photo": seconds_to_first_photo(photo, folder / "head"),
                "click": seconds_to_first_progress(photo, folder / f"server {number}"),
                "click_after_photos": seconds_to_first_progress(photo, server, prepared=True),
                "libraries": seconds_of("-c", "import torch, ai_edge_litert.interpreter"),
            }
            for name, value in seconds.items():
                rounds.setdefault(name, []).append(value)
    figures = {f"seconds.{name}": statistics.median(seconds) for name, seconds in rounds.items()}
    for name in ("first_photo", "click", "click_after_photos"):
        figures[f"{name}_over_libraries"] = figures[f"seconds.{name}"] / figures["seconds.libraries"]
    return report(figures, arguments.json, BUDGETS)


if __name__ == "__main__":
    raise SystemExit(main())
