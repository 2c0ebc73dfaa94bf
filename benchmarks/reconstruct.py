"""Time and memory of heads from photos: python benchmarks/reconstruct.py.

Five photos of the person of ``assets/demo``, standard quality, all files written. The job
runs twice in one process; the second run, with everything loaded, is reported. ``--photos FOLDER`` takes others.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from measure import DEMO, benchmark_parser, report

from backend.exchange.all_or_none import OutputFolder
from backend.exchange.files import peak_rss_mb
from backend.exchange.folder import draw_preview
from backend.photos.collection import PhotoSource
from backend.pipeline import ReconstructOptions, Watch, reconstruct_into
from backend.system.processes import keep_freed_memory, release_freed_memory

PHOTOS = 5
BUDGETS = {"seconds.total": 8.0, "seconds.first_preview": 3.0, "peak_rss_mb": 2000.0}
"""On two CPU cores."""


def timed_run(photos: tuple[Path, ...], options: ReconstructOptions, out: Path) -> dict[str, float]:
    """Wall seconds of one reconstruction with its files, in total and per stage of ``report.json``; and its processor
    seconds, which other programs disturb less; then those of ``preview.png``, which nobody waits for."""
    start, begun = time.perf_counter(), time.process_time()
    previews: list[float] = []
    watch = Watch(preview=lambda head: previews.append(time.perf_counter() - start))
    sources = [PhotoSource.from_path(path) for path in photos]
    with OutputFolder(out) as folder:
        result = reconstruct_into(folder, sources, options, watch)
        total, used = time.perf_counter() - start, time.process_time() - begun
        draw_preview(result.asset, result.previews, folder)
    drawn = {"cpu_seconds.preview": time.process_time() - begun - used}
    report = json.loads((out / "report.json").read_text())
    stages = {key: float(value) for key, value in report.items() if key.startswith("seconds.")}
    return {**stages, "seconds.first_preview": previews[0], "seconds.total": total, "cpu_seconds.total": used, **drawn}


def head_figures(arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Time and memory of heads from photos."""
    keep_freed_memory()
    photos = tuple(sorted(arguments.photos.iterdir())) if arguments.photos else DEMO[:PHOTOS]
    options = ReconstructOptions(quality=arguments.quality)
    cold = timed_run(photos, options, folder / "first")
    release_freed_memory()  # as the service does between two jobs
    figures = timed_run(photos, options, folder / "second")
    memory = peak_rss_mb()
    figures["seconds.first_run"] = cold["seconds.total"]
    figures["cpu_seconds.first_run"] = cold["cpu_seconds.total"]
    return figures | {"photos": len(photos)} | ({} if memory is None else {"peak_rss_mb": memory})


def main() -> int:
    """Print the figures and write them to ``--json``; exit code 1 when a budget is exceeded."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--photos", type=Path, help="a folder of photos instead of rendered ones")
    parser.add_argument("--quality", default="standard", choices=("fast", "standard", "best"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = head_figures(arguments, Path(temporary))
    return report(figures, arguments.json, BUDGETS)


if __name__ == "__main__":
    sys.exit(main())
