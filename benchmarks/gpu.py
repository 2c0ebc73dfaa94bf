"""Heads on the CPU and on CUDA, in one call on a machine with a card: python benchmarks/gpu.py [--json FILE].

Five photos, standard quality, each device twice; the second run counts. Prints seconds by stage of both devices and
the card's peak memory, and how far the files differ: vertices of ``face.obj`` in mm, pictures in levels of 255. The
networks run on the card (parsing, landmarks, LAP, the learned basis' encoder, wrinkles), and ``dense`` loops where
numba's CUDA target is installed (unwrapping, the finest band); all other stages are numpy, numba and OpenCV.

``--texels`` measures the loops alone, without networks: five photos of the tests' head, with what goes to
the card and back. ``--rehearse`` compares the CPU with itself where there is no card. Exit code 1 where the devices
differ by more than ``TOLERANCES``, or without a card.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measure import DEMO, benchmark_parser, report
from PIL import Image
from reconstruct import PHOTOS, timed_run

from backend.pipeline import ReconstructOptions
from backend.system.processes import keep_freed_memory, release_freed_memory
from backend.texture import albedo
from backend.texture.surface import head_surface
from backend.texture.unwrap import chosen_views

TOLERANCES = {
    "differs.vertices_mm_p99": 0.2,
    "differs.albedo_levels": 1.0,
    "differs.linear_most": 1e-4,
    "differs.weight": 1e-5,
    "differs.finest_band": 1e-5,
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


def texel_figures(card: str, side: int, yaws: tuple[float, ...] = (0.0, 25.0, -25.0, 50.0, -50.0)) -> dict[str, float]:
    """Seconds of unwrapping and of the finest band on both devices, of each the second run, and their differences, for
    a map of ``side`` texels and photos half as wide, in which the head is turned by ``yaws`` degrees."""
    from tests.texture_scene import Shot, make_scene

    scene = make_scene([Shot(yaw=yaw, size=side // 2) for yaw in yaws])
    figures, made, fine_band = {}, {}, albedo.fine_band
    for name, device in (("cpu", "cpu"), ("card", card)):

        def timed(*arguments: object, name: str = name) -> np.ndarray:
            start = time.perf_counter()
            result = fine_band(*arguments)
            figures[f"{name}.seconds.finest_band"] = time.perf_counter() - start
            made[f"{name}.finest_band"] = result
            return result

        albedo.fine_band = timed
        for run in ("first", "seconds"):
            start = time.perf_counter()
            chosen = chosen_views(head_surface(scene.template), scene.fitted, scene.faces)
            photos = albedo.unwrap_photos(scene.template, scene.fitted, chosen, side, device)
            figures[f"{name}.{run}.unwrapped"] = time.perf_counter() - start
            for field in ("linear", "weight", "near_eye"):
                made[f"{name}.{field}"] = np.stack([getattr(photo.unwrap, field) for photo in photos.photos])
            start = time.perf_counter()
            painted = albedo.build_albedo(scene.template, scene.fitted, scene.faces, side, unwrapped=photos)
            figures[f"{name}.{run}.texture"] = time.perf_counter() - start
            made[f"{name}.albedo_levels"] = painted.albedo.astype(np.float32)
    for key in [key.removeprefix("cpu.") for key in made if key.startswith("cpu.")]:
        apart = np.abs(made[f"cpu.{key}"] - made[f"card.{key}"])
        figures |= {f"differs.{key}": float(apart.mean()), f"differs.{key}_most": float(apart.max())}
    return figures


def main() -> int:
    """Print the figures and write them to ``--json``."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--photos", type=Path, help="a folder of photos instead of the demo's")
    parser.add_argument("--rehearse", action="store_true", help="without a card: the CPU against itself")
    parser.add_argument("--texels", action="store_true", help="the dense loops alone, on a head of the tests")
    parser.add_argument("--side", type=int, default=2048, help="of the map of --texels (2048)")
    arguments = parser.parse_args()
    if not torch.cuda.is_available() and not arguments.rehearse:
        print("torch finds no CUDA card; --rehearse runs the same on the CPU", file=sys.stderr)
        return 1
    keep_freed_memory()
    if arguments.texels:
        card = "cpu" if arguments.rehearse else "cuda"
        return report(texel_figures(card, arguments.side), arguments.json, TOLERANCES)
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
        figures |= differences(folder / "cpu", folder / "card")
    return report(figures, arguments.json, TOLERANCES)


if __name__ == "__main__":
    sys.exit(main())
