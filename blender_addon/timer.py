"""Blender timer that ticks the session and redraws its display."""

import time
from collections.abc import Callable

import bpy

from . import redraw
from .many import run as many
from .session import session

BUSY_SECONDS, IDLE_SECONDS = 0.03, 0.5

on_tick: list[Callable[[], None]] = []
"""What else is called with every tick."""
_pace = redraw.RedrawPacing()


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
    for call in on_tick:
        call()
    ended = (view.phase.busy and not current.busy) or many.is_writing() != writing
    now = time.monotonic()
    turning = current.preview is not None and now - current.preview_at < redraw.SWING_SECONDS + redraw.TURN_SECONDS
    words, head = _pace.tick(now, current.view is not view, current.preview is not preview, turning)
    if ended:
        redraw.everything()
    elif words:
        redraw.regions("UI")
        redraw.status_bar()
    if head:
        redraw.regions("WINDOW")
    if current.busy or many.current() is not None:
        return BUSY_SECONDS
    return IDLE_SECONDS if current.runner.connected else None
