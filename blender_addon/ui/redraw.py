"""Telling Blender to draw again, and to remember an undo step, from a timer."""

from __future__ import annotations

import bpy


def everything() -> None:
    """Draw what shows progress: sidebars of 3D views, preferences, the status bar."""
    if bpy.app.background:
        return
    manager = bpy.context.window_manager
    for window in manager.windows:
        for area in window.screen.areas:
            if area.type in ("VIEW_3D", "PREFERENCES"):
                area.tag_redraw()
        window.workspace.status_text_set(None)  # there is no other way to have the status bar drawn


def push_undo(message: str) -> None:
    """One undo step for what was done since the last one."""
    windows = bpy.context.window_manager.windows
    if windows:
        with bpy.context.temp_override(window=windows[0]):
            bpy.ops.ed.undo_push(message=message)
