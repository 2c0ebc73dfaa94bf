"""Telling Blender to draw again, and to remember an undo step, from a timer."""

from __future__ import annotations

import bpy

WORDS_SECONDS = 0.2
"""Progress is not drawn more often than this."""
SWING_SECONDS = 6.0
"""After each preview the head turns to one side, to the other and back, once."""
TURN_SECONDS = 0.08
TURN_SHARE = 0.15
"""Turning the head takes at most this share of the time: where drawing is slow, it turns in larger steps."""
USUAL_TICK_SECONDS = 0.03


def everything() -> None:
    """Draw all of what shows progress: 3D views, preferences, the status bar."""
    if bpy.app.background:
        return
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in ("VIEW_3D", "PREFERENCES"):
                area.tag_redraw()
    status_bar()


def soon() -> None:
    """Draw all of that once more in a moment: what is drawn now is not known to the end."""
    if not bpy.app.background and not bpy.app.timers.is_registered(everything):
        bpy.app.timers.register(everything, first_interval=0.5)


def status_bar() -> None:
    """Draw the status bars; there is no other way to have them drawn than to set the (empty) text of the workspace.

    It is the context's window whose bar Blender draws; none may be there yet where a script has just opened a file.
    """
    for window in bpy.context.window_manager.windows:
        with bpy.context.temp_override(window=window):
            window.workspace.status_text_set(None)


def regions(kind: str) -> None:
    """Draw the regions of one kind in all 3D views: ``UI`` is the sidebar, ``WINDOW`` the view itself."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == kind:
                        region.tag_redraw()


class Pace:
    """Decides on every tick what has to be drawn, so that drawing never holds up what it shows."""

    def __init__(self) -> None:
        self._dirty = False
        self._dirty_at = self._words_at = self._view_at = self._ticked_at = 0.0
        self._view_drawn = False
        self._cost = 0.0

    def tick(self, now: float, words_changed: bool, head_changed: bool, turning: bool) -> tuple[bool, bool]:
        """Whether to draw words (sidebar, status bar) and whether to draw the 3D View, at time ``now`` in seconds."""
        if self._view_drawn:
            self._cost = max(now - self._ticked_at - USUAL_TICK_SECONDS, 0.0)
        if words_changed and not self._dirty:
            self._dirty, self._dirty_at = True, now
        self._ticked_at = now
        pause = max(TURN_SECONDS, self._cost / TURN_SHARE)
        view = head_changed or (turning and now - self._view_at >= pause)
        # Both at once would take twice as long; but words do not wait for ever.
        waited = now - self._dirty_at
        words = self._dirty and now - self._words_at >= WORDS_SECONDS and (not view or waited >= WORDS_SECONDS)
        if words:
            self._words_at, self._dirty = now, False
        if view:
            self._view_at = now
        self._view_drawn = view
        return words, view


def plays(context: bpy.types.Context) -> bool:
    """Whether an animation plays in the window: ESC is for that then."""
    return context.screen is not None and context.screen.is_animation_playing


def window_of(scene: bpy.types.Scene) -> bpy.types.Window | None:
    """The first window that shows ``scene``, else the first one, None where there is none."""
    windows = bpy.context.window_manager.windows
    return next((window for window in windows if window.scene == scene), windows[0] if windows else None)


def push_undo(message: str, scene: bpy.types.Scene) -> None:
    """One undo step for what was done to ``scene`` since the last one."""
    window = window_of(scene)
    if window is not None:
        with bpy.context.temp_override(window=window):
            bpy.ops.ed.undo_push(message=message)
