"""Blender timer that ticks the session and redraws its display."""

import time

import bpy

from . import redraw
from .many import run as many
from .runner import JobView
from .session import session

BUSY_SECONDS, IDLE_SECONDS = 0.03, 0.5

_drawn: tuple[JobView | None, float] = (None, 0.0)
"""What the panel shows, and since when."""


def start() -> None:
    """Start the timer; no effect if it already runs, or in background mode."""
    if not bpy.app.background and not bpy.app.timers.is_registered(_on_timer):
        bpy.app.timers.register(_on_timer, first_interval=0.0, persistent=True)


def stop() -> None:
    """Stop the timer."""
    if bpy.app.timers.is_registered(_on_timer):
        bpy.app.timers.unregister(_on_timer)


def _on_timer() -> float | None:
    """One tick; return seconds until the next, None if there is nothing to do."""
    global _drawn
    current = session()
    view, preview = current.view, current.preview
    current.tick()
    if (asked := current.asked()) is not None:
        make = bpy.ops.likeness.paint_texture if asked[0] == "texture" else bpy.ops.likeness.grow_hair
        try:
            begun = make("INVOKE_DEFAULT", head=asked[1])
        except RuntimeError:  # the head is gone, or the backend does not have it
            begun = {"CANCELLED"}
        if begun == {"CANCELLED"}:
            redraw.push_undo_soon("Change Head")
    writing = many.is_writing()
    many.tick()
    ended = (view.phase.busy and not current.busy) or many.is_writing() != writing
    now = time.monotonic()
    shown, since = _drawn
    if ended:
        redraw.everything()
    elif current.view != shown and now - since >= redraw.PROGRESS_REDRAW_SECONDS:
        _drawn = current.view, now
        redraw.regions("UI")
        redraw.status_bar()
    if current.preview is not preview:
        redraw.regions("UI")
    if current.busy or many.current() is not None:
        return BUSY_SECONDS
    return IDLE_SECONDS if current.runner.connected else None
