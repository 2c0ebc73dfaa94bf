"""Moves the view to a head that has arrived."""

from __future__ import annotations

from contextlib import suppress

import bpy

from ..protocol.names import BUST
from ..scene import tags
from .redraw import window_of

EVEN_LIGHT = "paint.sl"
"""Blender's own studio light for painting textures: under the usual one light skin looks brown, and waxen."""


def show_albedo(shading: bpy.types.View3DShading, material_preview: bool = False) -> None:
    """Solid shading with the texture's colours, under a light that leaves them as they are; only where nobody chose.

    Other modes, colours and lights that the artist has set stay as they are. With ``material_preview`` the view goes on
    to Material Preview, and shows the same colours when it is put back to Solid.
    """
    if shading.type != "SOLID" or shading.color_type not in ("MATERIAL", "TEXTURE"):
        return
    shading.color_type = "TEXTURE"
    if shading.light == "STUDIO" and shading.studio_light == "Default":
        with suppress(TypeError):  # somebody removed that light
            shading.studio_light = EVEN_LIGHT
    if material_preview:
        shading.type = "MATERIAL"


def frame_head(collection: str, scene: bpy.types.Scene, material_preview: bool = False) -> None:
    """Show the head ``collection`` and its bust from the front, as ``show_albedo`` does.

    In 3D views that look through no camera, of the first window that shows ``scene``; nothing where none does.
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
        if bust is not None:
            bust.select_set(False, view_layer=window.view_layer)


def fill_with_camera(context: bpy.types.Context) -> None:
    """Let the picture of the camera fill the window's 3D views that look through it, as *Home* does."""
    for area in context.screen.areas if context.screen is not None else ():
        region = next((region for region in area.regions if region.type == "WINDOW"), None)
        if area.type != "VIEW_3D" or region is None or bpy.app.background:
            continue
        if area.spaces.active.region_3d.view_perspective == "CAMERA":
            with context.temp_override(area=area, region=region):
                bpy.ops.view3d.view_center_camera()
