"""How fast the window draws a head whose keys move, with relief and without. Told by ``in_blender.py`` for
``benchmarks/blender.py``.

Needs ``message.npz`` in its folder, besides: a head with wrinkles as ``wrinkled_head.py`` saves it. Slow without a
graphics card: shaders are compiled and drawn by the processor.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import bpy
import numpy as np

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
SAMPLES = 4
"""Of Eevee in the viewport; the light of Material Preview is soft already."""
STILL, SOMETHING = 0.1, 8.0
"""Levels of 255: pictures of a face that differ by less on average are the same; deviation of a view with a face."""


def picture(tools: Any, name: str) -> np.ndarray:
    """(H, W) luminance, row 0 at the top, of the window as it is on the screen; kept as ``NAME.png``."""
    tools.screenshot(name)
    path = tools.HERE / f"{name}.png"
    size = subprocess.run(["identify", "-format", "%w %h", path], check=True, capture_output=True, text=True).stdout
    width, height = map(int, size.split())
    levels = subprocess.run(["convert", path, "-depth", "8", "gray:-"], check=True, capture_output=True).stdout
    tools.forget_gap()
    return np.frombuffer(levels, np.uint8).reshape(height, width).astype(np.float64)


def settled_picture(tools: Any, name: str) -> Generator[float, None, np.ndarray]:
    """The picture once Blender has drawn all of it: there is a face, and two in a row are the same.

    Until shaders are compiled, which it does beside the window, Eevee draws nothing.
    """
    end, before = time.monotonic() + 60 * tools.SETTINGS["patience"], None
    while True:
        tools.addon("redraw").everything()
        yield 2.0
        now = picture(tools, name)
        face = face_in_view(tools)
        if before is not None and now[face].std() > SOMETHING and np.abs(now - before)[face].mean() < STILL:
            return now
        assert time.monotonic() < end, f"{name} was not drawn to its end"
        before = now


def face_in_view(tools: Any) -> tuple[slice, slice]:
    """Rows and columns of the window's picture that the middle of the 3D View has."""
    window, _, region = tools.view3d()
    top, quarter = window.height - region.y - region.height, region.height // 4
    across = region.x + region.width // 2
    return slice(top + quarter, top + 3 * quarter), slice(across - quarter, across + quarter)


def fill_window(tools: Any, obj: bpy.types.Object) -> None:
    """A head's face fills the window, in Material Preview, without what distracts."""
    window, area, region = tools.view3d()
    space = area.spaces.active
    space.show_region_ui = False
    space.overlay.show_overlays = False
    space.show_gizmo = False
    space.shading.type = "MATERIAL"
    bpy.context.scene.eevee.taa_samples = SAMPLES
    low, high = tools.box(obj)
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.view3d.view_axis(type="FRONT")
    view = space.region_3d
    view.view_perspective = "PERSP"
    view.view_location = (*(0.5 * (low + high))[:2], float(low[2] + 0.6 * (high[2] - low[2])))
    view.view_distance = 0.26


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
