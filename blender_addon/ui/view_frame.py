"""Moves the view to a head that has arrived."""

from __future__ import annotations

import bpy

from ..scene import tags


def frame_head(collection: str) -> None:
    """Show the head ``collection`` from the front in the first window's 3D views that look through no camera."""
    found = bpy.data.collections.get(collection)
    head = None if found is None else tags.part_object(found, "head")
    windows = bpy.context.window_manager.windows
    if head is None or not windows:
        return
    window = windows[0]
    for area in window.screen.areas:
        if area.type != "VIEW_3D" or area.spaces.active.region_3d.view_perspective == "CAMERA":
            continue
        region = next((region for region in area.regions if region.type == "WINDOW"), None)
        if region is None:
            continue
        shading = area.spaces.active.shading
        if shading.type == "SOLID" and shading.color_type == "MATERIAL":
            shading.color_type = "TEXTURE"
        with bpy.context.temp_override(window=window, area=area, region=region):
            bpy.ops.view3d.view_axis(type="FRONT")
            bpy.ops.view3d.view_selected()
