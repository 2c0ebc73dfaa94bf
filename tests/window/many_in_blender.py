"""*Many People* with *A File for Each* in a window, from Blender's default scene, with a backend that runs: what is
selected stays so, each head is a file that opens on it, lit and beside an open sidebar. Told by ``in_blender.py``;
needs the photos alone.
"""

from __future__ import annotations

import shutil
from typing import Any

import bpy
import numpy as np
from points_in_blender import Story, of_part

PEOPLE = {"Anna": 0, "Ben": 1}
"""Name -> which of the photos is theirs."""


def story(tools: Any) -> Story:
    folder = tools.HERE / "people"
    shutil.rmtree(folder, ignore_errors=True)
    for name, number in PEOPLE.items():
        (folder / name).mkdir(parents=True)
        shutil.copy2(tools.HERE / "photos" / tools.SETTINGS["photos"][number], folder / name)
    yield from tools.installed()
    assert set(bpy.data.objects.keys()) == tools.DEFAULT_SCENE, "the default scene"
    tools.view3d()[1].spaces.active.show_region_ui = True
    yield 1.0
    tools.show_sidebar()
    wished, many = bpy.context.scene.likeness, bpy.context.scene.likeness_many
    wished.quality, wished.texture_size = "fast", tools.SETTINGS["texture_size"]
    assert tools.call(bpy.ops.likeness.choose_people, "EXEC_DEFAULT", True, directory=str(folder)) == {"FINISHED"}
    many.apart = True
    yield 1.0
    tools.screenshot("1_table")
    tools.phase = "many"
    assert tools.call(bpy.ops.likeness.reconstruct_many, "INVOKE_DEFAULT") == {"FINISHED"}
    yield from tools.until(lambda: all(one.state in ("DONE", "FAILED") for one in many.people), 400, "the heads")
    yield from tools.until(lambda: tools.addon("many.run").current() is None, 60, "the run's end")
    tools.phase = "after"
    assert [one.state for one in many.people] == ["DONE"] * len(PEOPLE), [one.sentence for one in many.people]
    assert bpy.context.view_layer.objects.active.name == "Cube" and tools.heads() == 0
    assert [obj.name for obj in bpy.context.selected_objects] == ["Cube"], "the selection is left alone"
    yield 1.0
    tools.screenshot("2_made")
    for name in PEOPLE:
        tools.call(bpy.ops.wm.open_mainfile, filepath=str(folder / name / f"{name}.blend"))
        yield 20.0  # Material Preview is drawn without a graphics card
        tools.screenshot(f"3_{name}")
        head = of_part("head")
        assert head.name == name and head.visible_get() and bpy.context.view_layer.objects.active == head
        assert all(obj.name.startswith(name) for obj in bpy.data.objects if "likeness_part" in obj)
        assert [obj.type for obj in bpy.context.scene.objects].count("LIGHT") == 3 and bpy.context.scene.camera
        _, area, _ = tools.view3d()
        space = area.spaces.active
        assert space.show_region_ui and space.shading.type == "MATERIAL"
        (low, high), looked_at = tools.box(head), np.array(space.region_3d.view_location)
        assert all(low < looked_at) and all(looked_at < high), "framed"
