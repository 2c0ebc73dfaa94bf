"""Time and memory of the main job: python benchmarks/reconstruct.py [--json FILE].

Five photos of a synthetic person, which the repository renders itself, standard quality, all files written. The job
runs twice in one process; the second run, with everything loaded, is reported. ``--photos FOLDER`` takes others.
``--without-detail N`` runs N more pairs with and without relief, alternating, and reports the time that relief adds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads sleep

from backend.exchange.files import peak_rss_mb
from backend.exchange.folder import write_folder
from backend.models.registry import DETAIL
from backend.photos.formats import PhotoSource
from backend.pipeline import ReconstructOptions, reconstruct
from backend.system.processes import keep_freed_memory, release_freed_memory

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = 5
MOST_SECONDS = 8.0
MOST_PREVIEW_SECONDS = 3.0
MOST_MEMORY_MB = 2000.0
MOST_DETAIL_SECONDS = 2.0
"""Budgets on two CPU cores."""


def demo_photos(folder: Path) -> tuple[Path, ...]:
    """Render the photos in a separate process, so that its memory does not count."""
    command = [sys.executable, "-m", "trainer", "demo-photos", "--out", str(folder), "--count", str(PHOTOS)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return tuple(sorted(folder.glob("*.jpg")))


def timed_run(photos: tuple[Path, ...], options: ReconstructOptions, out: Path) -> dict[str, float]:
    """Wall seconds of one reconstruction with its files, in total and per stage of ``report.json``; and its processor
    seconds, which other programs disturb less."""
    start, used = time.perf_counter(), time.process_time()
    previews: list[float] = []
    result = reconstruct(
        [PhotoSource.from_path(path) for path in photos],
        options,
        preview=lambda head: previews.append(time.perf_counter() - start),
    )
    write_folder(result.asset, result.previews, out)
    total, used = time.perf_counter() - start, time.process_time() - used
    report = json.loads((out / "report.json").read_text())
    stages = {key: float(value) for key, value in report.items() if key.startswith("seconds.")}
    return {**stages, "seconds.first_preview": previews[0], "seconds.total": total, "cpu_seconds.total": used}


def seconds_of_detail(
    photos: tuple[Path, ...], options: ReconstructOptions, folder: Path, runs: int
) -> dict[str, float]:
    """Time added by relief, files included: medians over ``runs`` pairs of runs, one with it and one without."""
    pairs = []
    for number in range(runs):
        own = []
        for name, without in (("with", options.without), ("without", options.without | {DETAIL.name})):
            release_freed_memory()
            own.append(timed_run(photos, replace(options, without=without), folder / f"{name}_{number}"))
        pairs.append(own)
    names = {"detail.adds_seconds": "seconds.total", "detail.adds_cpu_seconds": "cpu_seconds.total"}
    return {name: statistics.median(one[key] - other[key] for one, other in pairs) for name, key in names.items()}


def main() -> int:
    """Print the figures and write them to ``--json``; exit code 1 when a budget is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures as flat JSON")
    parser.add_argument("--photos", type=Path, help="a folder of photos instead of rendered ones")
    parser.add_argument("--quality", default="standard", choices=("fast", "standard", "best"))
    parser.add_argument("--without-detail", type=int, default=0, metavar="N", help="N pairs of runs with and without")
    arguments = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        photos = tuple(sorted(arguments.photos.iterdir())) if arguments.photos else demo_photos(folder / "photos")
        options = ReconstructOptions(quality=arguments.quality)
        cold = timed_run(photos, options, folder / "first")
        release_freed_memory()  # as the service does between two jobs
        figures = timed_run(photos, options, folder / "second")
        memory = peak_rss_mb()
        if arguments.without_detail:
            figures |= seconds_of_detail(photos, options, folder, arguments.without_detail)
    figures["seconds.first_run"] = cold["seconds.total"]
    figures["cpu_seconds.first_run"] = cold["cpu_seconds.total"]
    figures["photos"] = len(photos)
    if memory is not None:
        figures["peak_rss_mb"] = memory
    for key, value in figures.items():
        print(f"{key:24} {value:10.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({key: round(value, 4) for key, value in figures.items()}, indent=1) + "\n")
    budgets = {
        "seconds.total": MOST_SECONDS,
        "seconds.first_preview": MOST_PREVIEW_SECONDS,
        "peak_rss_mb": MOST_MEMORY_MB,
        "detail.adds_seconds": MOST_DETAIL_SECONDS,
    }
    overrun = [f"{name} (at most {most:g})" for name, most in budgets.items() if figures.get(name, 0.0) > most]
    print(f"budgets on two cores: {'overrun: ' + ', '.join(overrun) if overrun else 'kept'}")
    return 1 if overrun else 0


if __name__ == "__main__":
    sys.exit(main())
