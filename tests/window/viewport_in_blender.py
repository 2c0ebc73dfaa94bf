"""How fast the window draws a head whose keys move, with relief and without. Told by ``in_blender.py`` for
``benchmarks/blender.py``.

Needs ``message.npz`` in its folder, besides, as the story ``relief``.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import bpy
import numpy as np
from relief_in_blender import fill_window, settled_picture

Story = Generator[float, None, None]
ROUNDS, FRAMES, WARM_UP = 8, 10, 3
"""Each kind of head is drawn so often in each round, after some drawings that are not counted."""
MOVED = (
    "browInnerUp",
    "browDownLeft",
    "browDownRight",
    "mouthSmileLeft",
    "mouthSmileRight",
    "jawOpen",
    "noseSneerLeft",
)


def without_pores(head: bpy.types.Object) -> None:
    """Skin with neither relief nor made-up pores."""
    nodes = head.material_slots[0].material.node_tree.nodes
    for node in [node for node in nodes if node.name == "Pores" or node.type == "BUMP"]:
        nodes.remove(node)


def put_kinds(tools: Any) -> dict[str, list[bpy.types.Object]]:
    """The same head three times at one place: with relief, as it is made without, and without made-up pores."""
    with np.load(tools.HERE / "message.npz") as arrays:
        header = json.loads(arrays["text"].tobytes())["header"]
        buffers = [arrays[name].tobytes() for name in sorted(arrays.files) if name.startswith("buffer")]
    result = tools.addon("protocol.result").decode_result(header, buffers)
    plain = replace(result, detail=None)
    kinds = {}
    for name, one in (("relief", result), ("without", plain), ("bare", plain)):
        collection = tools.addon("scene.importing").import_head(one, bpy.context)
        head = next(obj for obj in collection.objects if obj.get("likeness_part") == "head")
        head.location = (0.0, 0.0, 0.0)
        if name == "bare":
            without_pores(head)
        kinds[name] = [head, *head.children_recursive]
    return kinds


def show(kinds: dict[str, list[bpy.types.Object]], name: str) -> bpy.types.Object:
    for kind, objects in kinds.items():
        for obj in objects:
            obj.hide_set(kind != name)
    return kinds[name][0]


def drawing_seconds(tools: Any, head: bpy.types.Object, count: int) -> list[tuple[float, float]]:
    """Wall and processor seconds of each of ``count`` drawings of the window, between which keys move."""
    blocks = head.data.shape_keys.key_blocks
    redraw: Callable[..., Any] = bpy.ops.wm.redraw_timer
    taken = []
    for number in range(count):
        for place, name in enumerate(MOVED):
            blocks[name].value = 0.5 + 0.5 * np.sin(0.9 * number + place)
        began, used = time.perf_counter(), time.process_time()
        tools.call(redraw, type="DRAW_WIN_SWAP", iterations=1)
        taken.append((time.perf_counter() - began, time.process_time() - used))
    return taken


def story(tools: Any) -> Story:
    yield from tools.installed()
    kinds = put_kinds(tools)
    bpy.data.objects["Cube"].hide_set(True)
    yield 1.0
    for name in kinds:  # each material is compiled before anything is counted
        show(kinds, name)
        fill_window(tools, kinds[name][0])
        yield from settled_picture(tools, f"viewport_{name}")
    shading = tools.view3d()[1].spaces.active.shading
    for mode in ("MATERIAL", "SOLID"):
        shading.type = mode
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for number in range(ROUNDS):
            for name in list(kinds)[:: 1 if number % 2 else -1]:
                head = show(kinds, name)
                yield 0.2
                drawing_seconds(tools, head, WARM_UP)
                taken[name] += drawing_seconds(tools, head, FRAMES)
                tools.forget_gap()
        seconds = {
            name: [statistics.median(one[which] for one in values) for which in (0, 1)]
            for name, values in taken.items()
        }
        for name, (wall, processor) in seconds.items():
            tools.figures[f"{mode.lower()}.{name}.wall_ms"] = round(1000 * wall, 1)
            tools.figures[f"{mode.lower()}.{name}.processor_ms"] = round(1000 * processor, 1)
        for name in ("without", "bare"):
            for which, kind in enumerate(("wall", "processor")):
                rate = seconds[name][which] / seconds["relief"][which]
                tools.figures[f"{mode.lower()}.rate_of_{name}.{kind}"] = round(rate, 3)
