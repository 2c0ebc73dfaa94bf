"""Redraws and undo steps from a timer; the backend's report as statuses in the photo list and as one sentence."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bpy

TAB = "Likeness"
"""Our tab of the sidebar."""
OPENS_ON_HEAD = "likeness_opens_on_head"
"""Property of a scene in a file that is made to open on its head, until it was first opened."""
PROGRESS_REDRAW_SECONDS = 0.2
"""Minimum time between redraws of progress."""
SETTLED_SECONDS = 0.3
"""How long a slider must rest before its job starts and its undo step is pushed: a drag is one of each."""
_awaited: dict[str, Callable[[], None]] = {}
"""``what`` of ``once_quiet`` -> the timer that waits for it."""


def mark_photos(scene: bpy.types.Scene, given: Sequence[tuple[str, str]], report: Mapping[str, Any], head: str) -> None:
    """Set head, status and reason of photos still in the list; ``given``: (path in the list, label in the report)."""
    of_label = {entry.get("name"): entry for entry in _entries(report)}
    of_path = {path: of_label[label] for path, label in given if label in of_label}
    for photo in scene.likeness.photos:
        entry = of_path.get(photo.path)
        if entry is None:
            continue
        photo.head = head
        photo.status = "USED" if entry.get("used") else "LEFT_OUT"
        photo.reason = str(entry.get("reason") or "")
        error = entry.get("landmark_error_percent")
        photo.landmark_error = float(error) if isinstance(error, int | float) else -1.0


def summary(report: Mapping[str, Any], seconds: float, missing: int = 0) -> str:
    """A report in a sentence: its job took ``seconds`` from click to result; ``missing`` photo files were not found."""
    if "photos" not in report:
        return f"{'New hair' if 'hair' in report else 'A new texture'}, in {seconds:.1f} s."
    entries = _entries(report)
    used = sum(bool(entry.get("used")) for entry in entries)
    left_out = len(entries) - used
    rest = f", {left_out} left out" if left_out else ""
    gone = f" The files of {missing} of its photos are not there." if missing else ""
    return f"A head from {used} photo{'' if used == 1 else 's'}{rest}, in {seconds:.0f} s.{gone}"


def _entries(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries = report.get("photos")
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []


def everything() -> None:
    """Redraw everything that shows progress: 3D views, preferences, the status bar."""
    if bpy.app.background:
        return
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in ("VIEW_3D", "PREFERENCES"):
                area.tag_redraw()
    status_bar()


def schedule() -> None:
    """Redraw everything again in a moment, because what is drawn now is not final."""
    if not bpy.app.background and not bpy.app.timers.is_registered(everything):
        bpy.app.timers.register(everything, first_interval=0.5)


def status_bar() -> None:
    """Redraw the status bars. Setting the (empty) text of the workspace is the only way to trigger it.

    Blender redraws the bar of the context's window; after a script has just opened a file there may be none.
    """
    for window in bpy.context.window_manager.windows:
        with bpy.context.temp_override(window=window):
            window.workspace.status_text_set(None)


def regions(kind: str) -> None:
    """Redraw the regions of one kind in all 3D views: ``UI`` is the sidebar, ``WINDOW`` the view itself."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == kind:
                        region.tag_redraw()


def open_tab(tries: int = 10) -> None:
    """Turn the sidebars to our tab in a file that was made to open on its head, once Blender has drawn them."""
    if bpy.app.background or OPENS_ON_HEAD not in bpy.context.scene:
        return
    areas = [area for window in bpy.context.window_manager.windows for area in window.screen.areas]
    bars = [r for area in areas if area.type == "VIEW_3D" for r in area.regions if r.type == "UI" and r.width > 1]
    try:
        for bar in bars:
            bar.active_panel_category = TAB
        del bpy.context.scene[OPENS_ON_HEAD]
    except (AttributeError, TypeError):  # not drawn yet; before 5.0 only a click on the tab does it
        if tries > 0:
            bpy.app.timers.register(lambda: open_tab(tries - 1), first_interval=0.2)


def plays(context: bpy.types.Context) -> bool:
    """Whether an animation plays in the window; ESC then stops it."""
    return context.screen is not None and context.screen.is_animation_playing


def window_of(scene: bpy.types.Scene) -> bpy.types.Window | None:
    """The first window that shows ``scene``, else the first window, None without windows."""
    windows = bpy.context.window_manager.windows
    return next((window for window in windows if window.scene == scene), windows[0] if windows else None)


def once_quiet(what: str, function: Callable[[], None]) -> bool:
    """Call a function once nothing has asked for ``what`` for ``SETTLED_SECONDS``. Returns whether it will be
    called: not in background mode."""

    def call() -> None:
        function()

    if bpy.app.background:
        return False
    before = _awaited.get(what)
    if before is not None and bpy.app.timers.is_registered(before):
        bpy.app.timers.unregister(before)
    _awaited[what] = call
    bpy.app.timers.register(call, first_interval=SETTLED_SECONDS)
    return True


def push_undo_soon(message: str) -> None:
    """Push one undo step once nothing has asked for one for ``SETTLED_SECONDS``; not in background mode."""
    once_quiet("undo", lambda: push_undo(message, bpy.context.scene))


def push_undo(message: str, scene: bpy.types.Scene) -> None:
    """Push one undo step for the changes to ``scene`` since the last one; not in background mode."""
    window = None if bpy.app.background else window_of(scene)
    if window is not None:
        with bpy.context.temp_override(window=window):
            bpy.ops.ed.undo_push(message=message)
