"""Blender's time: python benchmarks/blender.py [--json FILE]; needs bpy (extra ``blender``).

The extension decodes and imports a result with the template's face, 52 keys and a 2 k albedo. The peer is Blender's
own glTF importer on the same head's ``face.glb``, in the same run. ``4k``: the same with an albedo of 4 k, without the
peer. Medians of several runs.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import bpy
import numpy as np
from measure import benchmark_parser, report

from backend.exchange.assemble import assemble, with_pictures
from backend.exchange.buffers import WireMessage
from backend.exchange.face_asset import FaceAsset
from backend.exchange.gltf import write_glb
from backend.exchange.wire import encode_face
from backend.geometry.template import load_template
from blender_addon.objects.tags import Place
from blender_addon.protocol.result import decode_result
from blender_addon.scene.importing import import_steps

RUNS, RUNS_4K = 7, 3
BUDGETS = {"seconds.import": 1.0} | dict.fromkeys(("seconds.longest_slice", "4k.seconds.longest_slice"), 0.1)
"""Seconds of the import and of its longest slices."""


def made_head(texture_size: int = 2048) -> FaceAsset:
    """Make the template's mean face with a texture that compresses like skin: smooth, with a little noise."""
    template = load_template()
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:texture_size, :texture_size] / texture_size
    skin = np.stack([190 - 30 * rows, 140 - 20 * columns, 110 - 25 * rows * columns], -1)
    albedo = np.clip(skin + rng.normal(0, 3, skin.shape), 0, 255).astype(np.uint8)
    return with_pictures(assemble(template, template.vertices, template.expressions), template, albedo)


def our_seconds(message: WireMessage) -> dict[str, float]:
    """Seconds of decoding, of all import slices and of the longest one, and of the first evaluation afterwards."""
    header = json.loads(json.dumps(message.header))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    start = time.perf_counter()
    result = decode_result(header, message.buffers)
    decoded = time.perf_counter()
    slices = [time.perf_counter() for _ in import_steps(result, Place.shown(bpy.context))]
    imported = time.perf_counter()
    bpy.context.view_layer.update()
    return {
        "seconds.decode": decoded - start,
        "seconds.import": imported - decoded,
        "seconds.longest_slice": max(np.diff([decoded, *slices, imported])),
        "seconds.first_evaluation": time.perf_counter() - imported,
    }


def gltf_seconds(path: Path) -> float:
    """Seconds of Blender's glTF importer."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    start = time.perf_counter()
    bpy.ops.import_scene.gltf(filepath=str(path))
    return time.perf_counter() - start


def import_figures() -> dict[str, float]:
    """Medians of the import's times and of the peer's."""
    asset = made_head()
    message, large = encode_face(asset), encode_face(made_head(4096))
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "face.glb"
        write_glb(asset, path)
        runs = [(our_seconds(message), gltf_seconds(path)) for _ in range(RUNS)]
    figures = {key: statistics.median(ours[key] for ours, _ in runs) for key in runs[0][0]}
    runs_4k = [our_seconds(large) for _ in range(RUNS_4K)]
    figures |= {f"4k.{key}": statistics.median(run[key] for run in runs_4k) for key in runs_4k[0]}
    figures["seconds.gltf_import"] = statistics.median(gltf for _, gltf in runs)
    figures["ratio.import_to_gltf"] = statistics.median(
        (ours["seconds.decode"] + ours["seconds.import"]) / gltf for ours, gltf in runs
    )
    return figures | {"message_mb": sum(map(len, message.buffers)) / 1e6}


def main() -> int:
    """Print the figures and write them to ``--json``; exit code 1 when a budget is exceeded."""
    parser = benchmark_parser(__doc__)
    return report(import_figures(), parser.parse_args().json, BUDGETS)


if __name__ == "__main__":
    sys.exit(main())
