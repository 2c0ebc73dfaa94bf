"""Time and memory of heads from photos: python benchmarks/reconstruct.py [--json FILE].

Five photos of the person of ``assets/demo``, standard quality, all files written. The job
runs twice in one process; the second run, with everything loaded, is reported. ``--photos FOLDER`` takes others.

``--device cuda``: the same on a card, then on the CPU, and how far the files differ: vertices of ``face.obj`` in mm,
pictures in levels of 255. The networks run on the card; all other stages are numpy, numba and OpenCV.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measure import DEMO, benchmark_parser, report
from PIL import Image

from backend.command_line.terminal import check_device
from backend.exchange.all_or_none import OutputFolder
from backend.exchange.files import peak_rss_mb
from backend.exchange.folder import draw_preview
from backend.photos.collection import PhotoSource
from backend.pipeline import ReconstructOptions, Watch, reconstruct_into
from backend.system.processes import keep_freed_memory, release_freed_memory

PHOTOS = 5
BUDGETS = {"seconds.total": 8.0, "seconds.first_preview": 3.0, "peak_rss_mb": 2000.0}
"""On two CPU cores."""
TOLERANCES = {
    "differs.vertices_mm_p99": 0.2,
    "differs.albedo_levels": 1.0,
    "differs.normal_levels": 1.0,
    "differs.wrinkles_brows_up_levels": 1.0,
}
"""Other convolution kernels move landmarks by hundredths of a pixel; what follows from these must stay invisible."""


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


def head_figures(arguments: argparse.Namespace, device: str, folder: Path) -> dict[str, float]:
    """Time and memory of heads from photos; the files of the second run are in ``folder / device``."""
    keep_freed_memory()
    photos = tuple(sorted(arguments.photos.iterdir())) if arguments.photos else DEMO[:PHOTOS]
    options = ReconstructOptions(quality=arguments.quality, device=device)
    cold = timed_run(photos, options, folder / "first")
    release_freed_memory()  # as the service does between two jobs
    figures = timed_run(photos, options, folder / device)
    memory = peak_rss_mb()
    figures["seconds.first_run"] = cold["seconds.total"]
    figures["cpu_seconds.first_run"] = cold["cpu_seconds.total"]
    figures |= {"photos": len(photos)} | ({} if memory is None else {"peak_rss_mb": memory})
    return figures | ({"card.peak_mb": torch.cuda.max_memory_allocated() / 2**20} if device == "cuda" else {})


def differences(one: Path, other: Path) -> dict[str, float]:
    """How far two folders of results differ: percentiles of the vertices' distance, mean levels of pictures."""
    rows = [[line.split()[1:4] for line in (folder / "face.obj").open() if line[:2] == "v "] for folder in (one, other)]
    if len(rows[0]) != len(rows[1]):
        return {"differs.vertices_mm_p99": float("inf")}
    apart = 1000.0 * np.linalg.norm(np.array(rows[0], float) - np.array(rows[1], float), axis=1)
    figures = {f"differs.vertices_mm_p{part}": float(np.percentile(apart, part)) for part in (50, 99)}
    for picture in sorted(one.glob("*.png")):
        pair = [np.asarray(Image.open(folder / picture.name), dtype=np.float32) for folder in (one, other)]
        figures[f"differs.{picture.stem}_levels"] = float(np.abs(pair[0] - pair[1]).mean())
    return figures


def main() -> int:
    """Print the figures and write them to ``--json``; exit code 1 when a budget is exceeded, or a card's tolerance."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--photos", type=Path, help="a folder of photos instead of the person of assets/demo")
    parser.add_argument("--quality", default="standard", choices=("fast", "standard", "best"))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    arguments = parser.parse_args()
    check_device(arguments.device)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        figures = head_figures(arguments, arguments.device, folder)
        if arguments.device == "cpu":
            return report(figures, arguments.json, BUDGETS)
        figures |= {f"cpu.{name}": value for name, value in head_figures(arguments, "cpu", folder).items()}
        return report(figures | differences(folder / "cpu", folder / "cuda"), arguments.json, TOLERANCES)


if __name__ == "__main__":
    sys.exit(main())
