"""Transfer of a long video to an expression.json: python benchmarks/long_video.py --minutes 10 [--json FILE].

A synthetic person moves and talks for 20 seconds, forwards and backwards, repeated, in a video of 320 × 240 pixels.
``python -m backend transfer`` reads it in its own process, whose resident memory is sampled. Figures:
``long_video.minutes`` read, ``.frames_per_second``, ``.peak_mb``, and ``.growth_kb_per_frame``: the slope of the
resident memory over the progress, after its first fifth.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
from memory import resident_mb

from trainer.people.scene import FRAMES_PER_SECOND
from trainer.people.source import PeopleConfig

SIDE, SIZE = 208, (320, 240)
SEED, SECONDS = 9400, 20
MOST_GROWTH_KB, MOST_MB = 4.0, 1600.0
"""Limits: growth per frame (the take itself needs about 0.5 kB), and the process's peak memory."""


def write_video(path: Path, minutes: float) -> int:
    """Write the video; returns its number of frames."""
    import torch

    source = PeopleConfig(size=SIDE, seed=SEED, photos=round(SECONDS * FRAMES_PER_SECOND), clips=True).build()
    images = source.batch(range(1), torch.device("cpu")).images.permute(0, 2, 3, 1).numpy()
    frames = [cv2.cvtColor((255 * image + 0.5).astype(np.uint8), cv2.COLOR_RGB2BGR) for image in images]
    top, left = (SIZE[1] - SIDE) // 2, (SIZE[0] - SIDE) // 2
    frames = [
        cv2.copyMakeBorder(one, top, SIZE[1] - SIDE - top, left, SIZE[0] - SIDE - left, cv2.BORDER_REPLICATE)
        for one in frames
    ]
    count = round(60 * minutes * FRAMES_PER_SECOND)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), FRAMES_PER_SECOND, SIZE)
    for number in range(count):
        place = number % (2 * len(frames))
        writer.write(frames[min(place, 2 * len(frames) - 1 - place)])
    writer.release()
    return count


def read(path: Path) -> None:
    """Process a video as ``transfer`` does; prints the progress from time to time."""
    from backend.expression.clip import write_clip
    from backend.expression.transfer import transfer_video

    told = 0.0

    def progress(stage: str, fraction: float) -> None:
        nonlocal told
        if stage == "expression" and fraction > told + 1e-3:
            told = fraction
            print(fraction, flush=True)

    write_clip(transfer_video(path, None, progress), path.with_suffix(".json"))


def read_in_process(path: Path, most_seconds: float) -> np.ndarray:
    """Read the video in a process; returns (N, 3) samples, one per second: seconds, share done and resident MB."""
    began, samples = time.monotonic(), []
    log = path.with_suffix(".txt")
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, __file__, "--read", str(path)], stdout=output)
        while process.poll() is None and time.monotonic() - began < most_seconds:
            lines = log.read_text().rpartition("\n")[0].split()
            samples.append((time.monotonic() - began, float(lines[-1]) if lines else 0.0, resident_mb(process.pid)))
            time.sleep(1.0)
        process.terminate()
        process.wait()
    return np.array(samples)


def main() -> int:
    """Write the video, read it, print the figures and check the limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--most-seconds", type=float, default=float("inf"), help="stop then, and judge what was read")
    parser.add_argument("--json", type=Path, help="write the figures as flat JSON")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read(arguments.read)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        count = write_video(path, arguments.minutes)
        samples = read_in_process(path, arguments.most_seconds)
    times, done, memory = samples[samples[:, 2] > 0.0].T
    times = times - times[done > 0.0].min(initial=times.max())  # without start-up and the person's reconstruction
    late = done > 0.2 * done.max()
    growth = np.polyfit(done[late] * count, memory[late] * 1024.0, 1)[0]
    figures = {
        "long_video.minutes": arguments.minutes * done.max(),
        "long_video.frames_per_second": done.max() * count / times.max(),
        "long_video.peak_mb": memory.max(),
        "long_video.growth_kb_per_frame": growth,
    }
    for name, value in figures.items():
        print(f"{name}: {value:.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))
    return int(growth > MOST_GROWTH_KB or memory.max() > MOST_MB)


if __name__ == "__main__":
    raise SystemExit(main())
