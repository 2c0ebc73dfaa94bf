"""Time of redrawing the sidebar's tab: what its panels do, and what Blender asks of their buttons (``poll``).

``python tests/blender_addon/redraws.py`` prints the processor milliseconds of each panel, the least of several redraws.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np

from blender_addon.objects import tags
from blender_addon.protocol.result import HeadResult, decode_result
from blender_addon.scene import cameras, corrections
from blender_addon.scene.importing import import_head

RUNS = 15
PHOTOS = 20
MASKED_ROWS = range(90, 200)
"""Of a mask of 256 cells: 110 rows with an edge on both sides, a whole face."""


@cache
def _operator(name: str) -> Any:
    """The operator; Blender looks it up once, not in Python at each redraw."""
    group, _, operator = name.partition(".")
    return getattr(getattr(bpy.ops, group), operator)


class Layout:
    """Takes what a panel draws, asks of each button whether it may be clicked and reads what it shows, as Blender
    does."""

    def operator(self, name: str, **_: Any) -> Layout:
        _operator(name).poll()
        return self

    def operator_menu_enum(self, name: str, *_: Any, **__: Any) -> Layout:
        return self.operator(name)

    def prop(self, data: Any, name: str, **_: Any) -> None:
        getattr(data, name)

    def panel(self, *_: Any, **__: Any) -> tuple[Layout, Layout]:
        return self, self

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self


def head_of_many_photos(result: HeadResult) -> bpy.types.Collection:
    """A sculpted head, locked where it is, whose photos all have corrected landmarks and a mask; the first is looked
    through, its landmarks out."""
    many = tuple(replace(result.photos[n % len(result.photos)], name=f"{n}.jpg") for n in range(PHOTOS))
    report = dict(result.report) | {"photos": [{"name": photo.name, "used": True, "reason": ""} for photo in many]}
    collection = import_head(replace(result, photos=many, report=report), bpy.context)
    shift = np.random.default_rng(0).integers(20, size=(2, 256))
    for camera in tags.camera_objects(collection):
        for point in corrections.put_points(collection, camera):
            point.location.x += 0.01
        corrections.put_away(collection, camera[tags.PHOTO])
        cells = np.zeros((corrections.SIDE, corrections.SIDE), bool)
        for row in MASKED_ROWS:
            cells[row, 80 + shift[0, row] : 160 + shift[1, row]] = True
        corrections.set_mask(collection, camera[tags.PHOTO], corrections.photo_mask_of(cells))
    first = tags.camera_objects(collection)[0]
    corrections.put_points(collection, first)
    cameras.look_through(bpy.context, first)
    head = tags.part_object(collection, "head")
    head.data.shape_keys.reference_key.points[500].co.z += 0.004
    bpy.context.view_layer.objects.active = head
    bpy.ops.likeness.lock_skin()
    bpy.context.scene.likeness_keys.symmetric = False  # all 52 keys are drawn
    return collection


def redraw_milliseconds(runs: int = RUNS) -> dict[str, float]:
    """Processor milliseconds of the drawing thread by panel, and of the ``tab`` with all of them open: the least, as
    programs beside it make the time longer, never shorter."""
    from blender_addon.ui import keys_panel, many_panel, panel, transfer_panel

    modules = (panel, keys_panel, transfer_panel, many_panel)
    panels = [cls for module in modules for cls in module.CLASSES if issubclass(cls, bpy.types.Panel)]
    region = SimpleNamespace(view_perspective="CAMERA")
    space = SimpleNamespace(type="VIEW_3D", region_3d=region)
    every = []
    for _ in range(runs):
        taken = {}
        for cls in panels:
            context = Context(space)
            begun = time.thread_time()
            if not hasattr(cls, "poll") or cls.poll(context):
                for draw in (getattr(cls, "draw_header", None), cls.draw):
                    if draw is not None:
                        draw(SimpleNamespace(layout=Layout()), context)
            taken[cls.bl_idname.removeprefix("LIKENESS_PT_")] = 1000 * (time.thread_time() - begun)
        every.append(taken | {"tab": sum(taken.values())})
    return {name: min(run[name] for run in every) for name in every[0]}


class Context:
    """Blender's context, with a 3D View that looks through the camera."""

    def __init__(self, space: SimpleNamespace) -> None:
        self.space_data = space

    def __getattr__(self, name: str) -> Any:
        return getattr(bpy.context, name)


if __name__ == "__main__":
    import addon_utils

    sys.path.insert(0, str(Path(__file__).parent / "scene"))
    from head_message import load_or_make

    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon_utils.enable("blender_addon", default_set=True)
    message = load_or_make()
    head_of_many_photos(decode_result(message.header, message.buffers))
    for name, milliseconds in redraw_milliseconds().items():
        print(f"{name:12} {milliseconds:6.2f} ms")
