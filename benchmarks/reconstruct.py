"""Time and memory of the two jobs, heads from photos and takes from videos: python benchmarks/reconstruct.py.

Five photos of the person of ``assets/demo``, standard quality, all files written. The job
runs twice in one process; the second run, with everything loaded, is reported. ``--photos FOLDER`` takes others.

``--video MINUTES`` transfers a long video instead: a synthetic person moves and talks for 20 seconds, forwards and
backwards, repeated, in 320 × 240 pixels. ``long_video.growth_kb_per_frame`` is the slope of the resident memory of the
process that reads it over its progress, after the first fifth (the take itself needs about 0.5 kB).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from measure import DEMO, ROOT, benchmark_parser, report, resident_mb

from backend.exchange.all_or_none import PREVIEW, RESULT_NAMES, OutputFolder
from backend.exchange.files import peak_rss_mb
from backend.exchange.folder import draw_preview, file_stages, write_last
from backend.photos.formats import PhotoSource
from backend.pipeline import ReconstructOptions, Watch, reconstruct
from backend.system.processes import keep_freed_memory, release_freed_memory

PHOTOS = 5
BUDGETS = {
    "seconds.total": 8.0,
    "seconds.first_preview": 3.0,
    "peak_rss_mb": 2000.0,
    "long_video.growth_kb_per_frame": 4.0,
    "long_video.peak_mb": 1600.0,
}
"""On two CPU cores."""
SIDE, SIZE = 208, (320, 240)
SEED, SECONDS = 9400, 20
READ = (
    "import sys; from pathlib import Path; from backend.expression.clip import write_clip;"
    "from backend.expression.transfer import transfer_video\n"
    "def progress(stage, fraction):\n"
    "    if stage == 'expression': print(fraction, flush=True)\n"
    "path = Path(sys.argv[1]); write_clip(transfer_video(path, None, progress), path.with_suffix('.json'))\n"
)
"""Program that processes a video as ``transfer`` does and prints its progress."""


def timed_run(photos: tuple[Path, ...], options: ReconstructOptions, out: Path) -> dict[str, float]:
    """Wall seconds of one reconstruction with its files, in total and per stage of ``report.json``; and its processor
    seconds, which other programs disturb less; then those of ``preview.png``, which nobody waits for."""
    start, begun = time.perf_counter(), time.process_time()
    previews: list[float] = []
    watch = Watch(preview=lambda head: previews.append(time.perf_counter() - start))
    sources = [PhotoSource.from_path(path) for path in photos]
    with OutputFolder(out) as folder:
        with folder.writing(RESULT_NAMES, outdated=[PREVIEW]) as files:
            result = reconstruct(sources, options, watch, file_stages(files, out))
            write_last(result.asset.report, files, out)
        total, used = time.perf_counter() - start, time.process_time() - begun
        draw_preview(result.asset, result.previews, folder)
    drawn = {"cpu_seconds.preview": time.process_time() - begun - used}
    report = json.loads((out / "report.json").read_text())
    stages = {key: float(value) for key, value in report.items() if key.startswith("seconds.")}
    return {**stages, "seconds.first_preview": previews[0], "seconds.total": total, "cpu_seconds.total": used, **drawn}


def write_video(path: Path, minutes: float) -> int:
    """Write the video; returns its number of frames."""
    import torch

    from trainer.people.scene import FRAMES_PER_SECOND
    from trainer.people.source import PeopleConfig

    source = PeopleConfig(size=SIDE, seed=SEED, photos=round(SECONDS * FRAMES_PER_SECOND), clips=True).build()
    images = source.batch(range(1), torch.device("cpu")).images.permute(0, 2, 3, 1).numpy()
    top, left = (SIZE[1] - SIDE) // 2, (SIZE[0] - SIDE) // 2
    edges = (top, SIZE[1] - SIDE - top, left, SIZE[0] - SIDE - left)
    frames = [
        cv2.copyMakeBorder((255 * image[..., ::-1] + 0.5).astype(np.uint8), *edges, cv2.BORDER_REPLICATE)
        for image in images
    ]
    count = round(60 * minutes * FRAMES_PER_SECOND)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), FRAMES_PER_SECOND, SIZE)
    for number in range(count):
        index = number % (2 * len(frames))
        writer.write(frames[min(index, 2 * len(frames) - 1 - index)])
    writer.release()
    return count


def video_figures(minutes: float, most_seconds: float, folder: Path) -> dict[str, float]:
    """Memory and speed of a process that reads the video, sampled every second, for ``most_seconds``."""
    path = folder / "long.mp4"
    count = write_video(path, minutes)
    start, samples, log = time.monotonic(), [], folder / "progress.txt"
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, "-c", READ, str(path)], stdout=output, cwd=ROOT)
        while process.poll() is None and time.monotonic() - start < most_seconds:
            lines = log.read_text().rpartition("\n")[0].split()
            samples.append((time.monotonic() - start, float(lines[-1]) if lines else 0.0, resident_mb(process.pid)))
            time.sleep(1.0)
        process.terminate()
        process.wait()
    samples = np.array(samples)
    times, done, memory = samples[samples[:, 2] > 0.0].T
    times = times - times[done > 0.0].min(initial=times.max())  # without start-up and the person's reconstruction
    late = done > 0.2 * done.max()
    return {
        "long_video.minutes": minutes * done.max(),
        "long_video.frames_per_second": done.max() * count / times.max(),
        "long_video.peak_mb": memory.max(),
        "long_video.growth_kb_per_frame": np.polyfit(done[late] * count, memory[late] * 1024.0, 1)[0],
    }


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
    parser.add_argument("--video", type=float, metavar="MINUTES", help="transfer a video of this length instead")
    parser.add_argument("--most-seconds", type=float, default=float("inf"), help="stop reading the video then")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.video:
            figures = video_figures(arguments.video, arguments.most_seconds, Path(temporary))
        else:
            figures = head_figures(arguments, Path(temporary))
    return report(figures, arguments.json, BUDGETS)


if __name__ == "__main__":
    sys.exit(main())
