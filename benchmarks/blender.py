"""Blender's time: python benchmarks/blender.py [--json FILE]; needs bpy (extra ``blender``).

The extension decodes and imports a result with the template's face, 52 keys and a 2 k albedo, and renders its picture
for the Asset Browser as *Many People* does. The peer is Blender's own glTF importer on the same head's ``face.glb``, in
the same run. ``4k``: the same with an albedo of 4 k, without the peer. Medians of several runs.

``--tool T --suite S`` measures redraws of Blender's window instead, with and without relief. The tool and the suite are
those of ``tests/window/drive.py``, which runs the story ``viewport``: the same head three times, with relief, as made
without relief (with generated pores), and with bare skin; keys move before each redraw, in Material Preview and in
Solid, alternating. The rate with relief is at least 0.9 of the rate without.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import numpy as np
from measure import ROOT, benchmark_parser, report

from backend.exchange.assemble import assemble, with_pictures
from backend.exchange.face_asset import FaceAsset
from backend.exchange.gltf import write_glb
from backend.exchange.wire import encode_face
from backend.geometry.template import load_template

RUNS, RUNS_4K = 7, 3
SLICES = tuple(f"{size}seconds.longest_{part}slice" for size in ("", "4k.") for part in ("", "picture_"))
BUDGETS = {
    "seconds.import": 1.0,
    **dict.fromkeys(SLICES, 0.1),
    **{f"{mode}.without_over_with_relief": 1 / 0.9 for mode in ("material", "solid")},
}
"""Seconds of the import and of its longest slices; redraw rates without relief over those with it."""


def made_head(texture_size: int = 2048) -> FaceAsset:
    """Make the template's mean face with a texture that compresses like skin: smooth, with a little noise."""
    template = load_template()
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:texture_size, :texture_size] / texture_size
    skin = np.stack([190 - 30 * rows, 140 - 20 * columns, 110 - 25 * rows * columns], -1)
    albedo = np.clip(skin + rng.normal(0, 3, skin.shape), 0, 255).astype(np.uint8)
    return with_pictures(assemble(template, template.vertices, template.expressions), template, albedo)


def empty_file() -> None:
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)


def our_seconds(header: dict, buffers: tuple[bytes, ...]) -> dict[str, float]:
    """Seconds of decoding, of all import slices and of the longest one, and of the first evaluation afterwards."""
    import bpy

    from blender_addon.objects.tags import Place
    from blender_addon.protocol.result import decode_result
    from blender_addon.scene.importing import import_steps

    empty_file()
    start = time.perf_counter()
    result = decode_result(header, buffers)
    decoded = time.perf_counter()
    slices = timed(import_steps(result, Place.shown(bpy.context)))
    imported = time.perf_counter()
    bpy.context.view_layer.update()
    evaluated = time.perf_counter()
    return {
        "seconds.decode": decoded - start,
        "seconds.import": imported - decoded,
        "seconds.longest_slice": max(slices),
        "seconds.first_evaluation": evaluated - imported,
    }


def timed(steps: Generator[object, None, str]) -> list[float]:
    """Run a generator to its end; returns the seconds of every slice."""
    seconds = []
    while True:
        start = time.perf_counter()
        try:
            next(steps)
        except StopIteration:
            return [*seconds, time.perf_counter() - start]
        seconds.append(time.perf_counter() - start)


def gltf_seconds(path: Path) -> float:
    """Seconds of Blender's glTF importer."""
    import bpy

    empty_file()
    start = time.perf_counter()
    bpy.ops.import_scene.gltf(filepath=str(path))
    return time.perf_counter() - start


def import_figures() -> dict[str, float]:
    """Medians of the import's times and of the peer's."""
    asset = made_head()
    message, large = encode_face(asset), encode_face(made_head(4096))
    header = json.loads(json.dumps(message.header))
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "face.glb"
        write_glb(asset, path)
        runs = [(our_seconds(header, message.buffers), gltf_seconds(path)) for _ in range(RUNS)]
    figures = {key: statistics.median(ours[key] for ours, _ in runs) for key in runs[0][0]}
    runs_4k = [our_seconds(json.loads(json.dumps(large.header)), large.buffers) for _ in range(RUNS_4K)]
    figures |= {f"4k.{key}": statistics.median(run[key] for run in runs_4k) for key in runs_4k[0]}
    figures["seconds.gltf_import"] = statistics.median(gltf for _, gltf in runs)
    figures["ratio.import_to_gltf"] = statistics.median(
        (ours["seconds.decode"] + ours["seconds.import"]) / gltf for ours, gltf in runs
    )
    return figures | {"message_mb": sum(map(len, message.buffers)) / 1e6}


def viewport_figures(arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Redraw rates in a window; raises ``SystemExit`` where the story fails."""
    extra, out = folder / "extra", arguments.out or folder / "out"
    extra.mkdir()
    if arguments.head:
        (extra / "message.npz").write_bytes(arguments.head.read_bytes())
    else:
        make = [sys.executable, "tests/window/wrinkled_head.py", str(extra / "message.npz")]
        subprocess.run(make, cwd=ROOT, check=True)
    drive = [sys.executable, "tests/window/drive.py", "--tool", str(arguments.tool), "--suite", arguments.suite]
    drive += ["--out", str(out), "--extra", str(extra), "--story", "viewport", "--size", arguments.size]
    code = subprocess.run([*drive, "--patience", "6"], cwd=ROOT, stdout=subprocess.DEVNULL).returncode
    if code:
        raise SystemExit(code)
    figures = json.loads((out / "figures.json").read_text())
    print(f"Blender {figures.get('blender')}; failed: {figures.get('failed')}")
    rates = {name: value for name, value in figures.items() if name.startswith(("material", "solid"))}
    for mode in ("material", "solid"):
        rates[f"{mode}.without_over_with_relief"] = 1 / max(rates.get(f"{mode}.rate_of_without.processor", 0.0), 1e-3)
    return rates


def main() -> int:
    """Print the figures and write them to ``--json``; exit code 1 when a budget is exceeded."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--tool", type=Path, help="measure redraws of a window, driven by this tool")
    parser.add_argument("--suite", help="the Blender of the window")
    parser.add_argument("--head", type=Path, help="message.npz of tests/window/wrinkled_head.py (default: made here)")
    parser.add_argument("--out", type=Path, help="folder that keeps pictures and figures of the window")
    parser.add_argument("--size", default="900x700")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = viewport_figures(arguments, Path(temporary)) if arguments.tool else import_figures()
    return report(figures, arguments.json, BUDGETS)


if __name__ == "__main__":
    sys.exit(main())
