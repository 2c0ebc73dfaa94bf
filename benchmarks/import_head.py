"""Time of importing a head into Blender: python benchmarks/import_head.py [--json FILE]; needs bpy (extra ``blender``).

The extension decodes and imports a result with the template's face, 52 keys and a 2 k albedo, and renders its picture
for the Asset Browser as *Many People* does. The peer is Blender's own glTF importer on the same head's ``face.glb``, in
the same run. ``4k``: the same with an albedo of 4 k, without the peer. Medians of several runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bpy
import numpy as np

from backend.exchange.assemble import face_parts
from backend.exchange.face_asset import FaceAsset
from backend.exchange.gltf import write_glb
from backend.exchange.wire import encode_face
from backend.geometry.template import load_template
from blender_addon.protocol.result import decode_result
from blender_addon.scene.importing import import_steps
from blender_addon.scene.portrait import portrait_steps, small_pictures
from blender_addon.scene.tags import Place

RUNS, RUNS_4K = 7, 3
MOST_SECONDS, LONGEST_SLICE = 1.0, 0.1
"""Budgets in seconds: the import, and its longest slice."""


def made_head(texture_size: int = 2048) -> FaceAsset:
    """Make the template's mean face with a texture that compresses like skin: smooth, with a little noise."""
    template = load_template()
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:texture_size, :texture_size] / texture_size
    skin = np.stack([190 - 30 * rows, 140 - 20 * columns, 110 - 25 * rows * columns], -1)
    albedo = np.clip(skin + rng.normal(0, 3, skin.shape), 0, 255).astype(np.uint8)
    return FaceAsset(face_parts(template, template.vertices, template.expressions), albedo, (), {})


def empty_file() -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)


def our_seconds(header: dict, buffers: tuple[bytes, ...]) -> dict[str, float]:
    """Seconds of decoding, of all import slices and of the longest one, of the first evaluation afterwards, and of the
    picture's slices."""
    empty_file()
    start = time.perf_counter()
    result = decode_result(header, buffers)
    decoded = time.perf_counter()
    slices, name = timed(import_steps(result, Place.shown(bpy.context)))
    imported = time.perf_counter()
    bpy.context.view_layer.update()
    evaluated = time.perf_counter()
    picture, _ = timed(portrait_steps(bpy.data.collections[name], small=small_pictures(result)))
    return {
        "seconds.decode": decoded - start,
        "seconds.import": imported - decoded,
        "seconds.longest_slice": max(slices),
        "seconds.first_evaluation": evaluated - imported,
        "seconds.picture": sum(picture),
        "seconds.longest_picture_slice": max(picture),
    }


def timed(steps: Generator[object, None, str]) -> tuple[list[float], str]:
    """Run a generator to its end; returns the seconds of every slice, and the generator's return value."""
    seconds = []
    while True:
        start = time.perf_counter()
        try:
            next(steps)
        except StopIteration as stop:
            return [*seconds, time.perf_counter() - start], stop.value
        seconds.append(time.perf_counter() - start)


def gltf_seconds(path: Path) -> float:
    """Seconds of Blender's glTF importer."""
    empty_file()
    start = time.perf_counter()
    bpy.ops.import_scene.gltf(filepath=str(path))
    return time.perf_counter() - start


def main() -> int:
    """Print the figures and write them to ``--json``; exit code 1 when a budget is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures as flat JSON")
    arguments = parser.parse_args()
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
    figures["message_mb"] = sum(map(len, message.buffers)) / 1e6
    for key, value in figures.items():
        print(f"{key:32} {value:10.4f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({key: round(value, 5) for key, value in figures.items()}, indent=1) + "\n")
    longest = max(value for key, value in figures.items() if key.endswith("slice"))
    within = figures["seconds.import"] <= MOST_SECONDS and longest <= LONGEST_SLICE
    print(f"budget: {MOST_SECONDS:.0f} s, slices of {LONGEST_SLICE} s: {'kept' if within else 'overrun'}")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
