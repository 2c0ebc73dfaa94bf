"""Move the view to a new head."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import bpy
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Vector

from ..protocol.names import BUST
from ..scene import tags
from .redraw import window_of

EVEN_LIGHT = "paint.sl"
"""Blender's studio light for texture painting: under the default one light skin looks brown and waxen."""


def show_albedo(shading: bpy.types.View3DShading, material_preview: bool = False) -> None:
    """Solid shading with texture colours under a neutral light; only if the user has not changed these settings.

    Other modes, colours and lights set by the artist stay. With ``material_preview`` the view switches to Material
    Preview, and shows the same colours when switched back to Solid.
    """
    if shading.type != "SOLID" or shading.color_type not in ("MATERIAL", "TEXTURE"):
        return
    shading.color_type = "TEXTURE"
    if shading.light == "STUDIO" and shading.studio_light == "Default":
        with suppress(TypeError):  # that light was removed by the user
            shading.studio_light = EVEN_LIGHT
    if material_preview:
        shading.type = "MATERIAL"


def frame_head(collection: str, scene: bpy.types.Scene, material_preview: bool = False) -> None:
    """Show the head ``collection`` and its bust from the front, beside the sidebar, with ``show_albedo``.

    Applies to 3D views that look through no camera, in the first window that shows ``scene``; no effect if there is
    none.
    """
    found = bpy.data.collections.get(collection)
    head, bust = (None if found is None else tags.part_object(found, part) for part in ("head", BUST))
    window = window_of(scene)
    if head is None or window is None or window.scene != scene:
        return
    for area in window.screen.areas:
        if area.type != "VIEW_3D" or area.spaces.active.region_3d.view_perspective == "CAMERA":
            continue
        region = next((region for region in area.regions if region.type == "WINDOW"), None)
        if region is None:
            continue
        show_albedo(area.spaces.active.shading, material_preview)
        if bust is not None:
            bust.select_set(True, view_layer=window.view_layer)
        with bpy.context.temp_override(window=window, area=area, region=region):
            bpy.ops.view3d.view_axis(type="FRONT")
            bpy.ops.view3d.view_selected()
            _into_free_part(area.spaces.active.region_3d, region, area)
        if bust is not None:
            bust.select_set(False, view_layer=window.view_layer)


def free_span(region: bpy.types.Region, beside: Iterable[bpy.types.Region]) -> tuple[int, int]:
    """Left and right end, in pixels of a view's ``region``, of the part not covered by toolbar and sidebar."""
    left, right = 0, region.width
    for other in beside:
        start, end = other.x - region.x, other.x - region.x + other.width
        if other.type not in ("TOOLS", "UI") or other.width <= 1 or end <= 0 or start >= region.width:
            continue  # hidden, or beside the view
        if start + end < region.width:
            left = max(left, end)
        else:
            right = min(right, start)
    return (left, right) if left < right else (0, region.width)


def _into_free_part(view: bpy.types.RegionView3D, region: bpy.types.Region, area: bpy.types.Area) -> None:
    """Centre the view's content in its free part, and zoom out if that is narrow."""
    left, right = free_span(region, area.regions)
    shorter = min(region.width, region.height)
    view.view_distance *= max(1.0, shorter / min(right - left, shorter))
    view.update()
    across = view.view_rotation @ Vector((1.0, 0.0, 0.0))
    ends = [location_3d_to_region_2d(region, view, view.view_location + way * across) for way in (0.0, 1.0)]
    if None not in ends and (ends[1] - ends[0]).length > 0.0:
        pixels = 0.5 * (left + right - region.width)
        view.view_location -= across * (pixels / (ends[1] - ends[0]).length)


def fill_with_camera(context: bpy.types.Context) -> None:
    """Zoom the window's camera views so that the camera frame fills them, as *Home* does."""
    for area in context.screen.areas if context.screen is not None else ():
        region = next((region for region in area.regions if region.type == "WINDOW"), None)
        if area.type != "VIEW_3D" or region is None or bpy.app.background:
            continue
        if area.spaces.active.region_3d.view_perspective == "CAMERA":
            with context.temp_override(area=area, region=region):
                bpy.ops.view3d.view_center_camera()
