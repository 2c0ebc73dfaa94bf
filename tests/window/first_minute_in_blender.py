"""The first minute with a head in a window, from Blender's default scene, with a backend that runs: hidden cameras, the
photo that fills the view in local view, hair that is hidden, undo. Told by ``in_blender.py``; needs the photos alone.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import bpy
from points_in_blender import camera_of, head_from_photos, of_part, photo_in_view

Story = Generator[float, None, None]
FILLED = 0.8
"""Of the view's width or height, by the photo."""


def visible_objects() -> set[str]:
    """Names of the objects that the 3D View shows."""
    space = bpy.context.window_manager.windows[0].screen
    (view,) = [area.spaces.active for area in space.areas if area.type == "VIEW_3D"]
    return {obj.name for obj in bpy.context.scene.objects if obj.visible_get(viewport=view)}


def story(tools: Any) -> Story:
    yield from head_from_photos(tools)
    yield 2.0
    tools.screenshot("1_arrived")
    assert of_part("bust") is not None, "no neck that ends in a slant"
    photos = [
        str(one["likeness_photo"]) for one in bpy.data.objects if "likeness_photo" in one and one.type == "CAMERA"
    ]
    assert not visible_objects() & {camera_of(photo).name for photo in photos}, "cameras are hidden"
    _, area, _ = tools.view3d()
    space = area.spaces.active
    assert tools.call(bpy.ops.likeness.look_through, "EXEC_DEFAULT", True, photo=photos[0]) == {"FINISHED"}
    yield 2.0
    tools.screenshot("2_through_photo")
    assert space.local_view is not None and "Cube" not in visible_objects() and "Light" in visible_objects()
    assert {of_part("head").name, camera_of(photos[0]).name} <= visible_objects()
    tools.figures["photo_in_view"] = photo_in_view(tools, photos[0])
    assert max(photo_in_view(tools, photos[0])) > FILLED, "the photo fills the view"
    hair = next((obj for obj in bpy.data.objects if obj.type == "CURVES"), None)
    if hair is not None:
        hair.hide_viewport = True
        yield 1.0
        tools.screenshot("3_without_hair")
        assert hair.name not in visible_objects()
        hair.hide_viewport = False
    tools.call(bpy.ops.likeness.edit_landmarks, "EXEC_DEFAULT", True, photo=photos[0])
    yield 1.0
    points = [obj.name for obj in bpy.data.objects if "likeness_landmark" in obj]
    assert len(points) > 60 and set(points) <= visible_objects(), "landmarks are in the local view"
    tools.call(bpy.ops.ed.undo)
    yield 1.0
    assert tools.call(bpy.ops.likeness.leave_photo, "EXEC_DEFAULT", True) == {"FINISHED"}
    yield 1.0
    tools.screenshot("4_left")
    assert space.local_view is None and space.region_3d.view_perspective != "CAMERA" and "Cube" in visible_objects()
    assert not visible_objects() & {camera_of(photo).name for photo in photos}, "cameras are hidden again"
