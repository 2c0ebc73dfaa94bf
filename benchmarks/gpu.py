"""Heads on the CPU and on CUDA, in one call on a machine with a card: python benchmarks/gpu.py [--json FILE].

Five photos, standard quality, each device twice; the second run counts. Prints seconds by stage of both devices and
the card's peak memory, and how far the files differ: vertices of ``face.obj`` in mm, pictures in levels of 255. The
networks run on the card (parsing, landmarks, LAP, the learned basis' encoder, wrinkles); all other stages are numpy,
numba and OpenCV. ``--rehearse`` compares the CPU with itself where there is no card. Exit code 1 where the devices
differ by more than ``TOLERANCES``, or without a card. Where PyTorch3D is installed, its face ids of four heads in 256 x
256 pixels are timed and compared with torch's.
"""

import statistics
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from measure import DEMO, benchmark_parser, report
from PIL import Image
from reconstruct import PHOTOS, timed_run

from backend.geometry.subdivision import subdivision
from backend.geometry.template import load_template, triangles_from_quads
from backend.pipeline import ReconstructOptions
from backend.rendering.rasterize import face_ids
from backend.system.processes import keep_freed_memory, release_freed_memory

TOLERANCES = {
    "differs.vertices_mm_p99": 0.2,
    "differs.albedo_levels": 1.0,
    "differs.normal_levels": 1.0,
    "differs.wrinkles_brows_up_levels": 1.0,
}
"""Other convolution kernels move landmarks by hundredths of a pixel; what follows from these must stay invisible."""


def vertices(path: Path) -> np.ndarray:
    """(V, 3) metres of a Wavefront OBJ."""
    rows = [line.split()[1:4] for line in path.read_text().splitlines() if line.startswith("v ")]
    return np.array(rows, dtype=float)


def differences(one: Path, other: Path) -> dict[str, float]:
    """How far two folders of results differ: percentiles of the vertices' distance, mean levels of pictures."""
    first, second = vertices(one / "face.obj"), vertices(other / "face.obj")
    if first.shape != second.shape:
        return {"differs.vertices_mm_p99": float("inf")}
    apart = 1000.0 * np.linalg.norm(first - second, axis=1)
    figures = {f"differs.vertices_mm_p{part}": float(np.percentile(apart, part)) for part in (50, 99)}
    for picture in sorted(one.glob("*.png")):
        pair = [np.asarray(Image.open(folder / picture.name), dtype=np.float32) for folder in (one, other)]
        figures[f"differs.{picture.stem}_levels"] = float(np.abs(pair[0] - pair[1]).mean())
    return figures


def rasterizers() -> dict[str, float]:
    """Milliseconds of each rasterizer on the card, median of ten, and the share of pixels with another face."""
    surface = subdivision(1)
    faces = torch.from_numpy(triangles_from_quads(surface.quads)).long().cuda()
    points = torch.from_numpy(surface.matrix @ load_template().vertices).float().cuda()
    points = (points - points.mean(0)) * points.new_tensor([800.0, -800.0, -1.0]) + points.new_tensor([128, 128, 1])
    figures, found = {}, []
    for name in ("torch", "pytorch3d"):
        milliseconds = []
        for _ in range(11):
            torch.cuda.synchronize()
            start = time.perf_counter()
            ids = face_ids(points.expand(4, -1, -1), faces, (256, 256), backend=name)
            torch.cuda.synchronize()
            milliseconds.append(1000.0 * (time.perf_counter() - start))
        figures[f"rasterizer.{name}_ms"] = statistics.median(milliseconds[1:])
        found.append(ids)
    return figures | {"rasterizer.differ": float((found[0] != found[1]).float().mean())}


def main() -> int:
    """Print the figures and write them to ``--json``."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--photos", type=Path, help="a folder of photos instead of the demo's")
    parser.add_argument("--rehearse", action="store_true", help="without a card: the CPU against itself")
    arguments = parser.parse_args()
    if not torch.cuda.is_available() and not arguments.rehearse:
        print("torch finds no CUDA card; --rehearse runs the same on the CPU", file=sys.stderr)
        return 1
    keep_freed_memory()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        photos = tuple(sorted(arguments.photos.iterdir())) if arguments.photos else DEMO[:PHOTOS]
        for name in ("cpu", "card"):
            options = ReconstructOptions(device="cuda" if name == "card" and not arguments.rehearse else "cpu")
            for out in ("first", name):
                release_freed_memory()
                seconds = timed_run(photos, options, folder / out)
            figures |= {f"{name}.{key}": value for key, value in seconds.items()}
        if torch.cuda.is_available():
            figures["card.peak_mb"] = torch.cuda.max_memory_allocated() / 2**20
            figures |= rasterizers() if find_spec("pytorch3d") else {}
        figures |= differences(folder / "cpu", folder / "card")
    return report(figures, arguments.json, TOLERANCES)


if __name__ == "__main__":
    sys.exit(main())
