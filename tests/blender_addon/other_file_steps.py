"""Steps of the tests of heads that wait: a click, the ticks after it, another file, and what the panel shows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import bpy
from blender_addon.shared.options import HeadOptions
from instant_backend import Backend

from blender_addon.objects.tags import Place
from blender_addon.session import listed_photos, session, shut_down
from blender_addon.ui.panel import MainPanel
from blender_addon.waiting import Job


def new_file(folder: Path | None = None) -> None:
    bpy.ops.wm.read_homefile(use_empty=True)


def drawn(draw: Callable[[object, bpy.types.Context], None] = MainPanel.draw) -> tuple[str, set[str]]:
    """Words and operators of the panel."""
    layout = MagicMock()
    draw(MagicMock(layout=layout), bpy.context)
    calls = [call for call in layout.mock_calls if call.args or "text" in call.kwargs]
    operators = {call.args[0] for call in calls if call.args and str(call.args[0]).startswith("likeness.")}
    return " ".join(str(call.kwargs["text"]) for call in calls if "text" in call.kwargs), operators


def begin(into: str | None = None) -> None:
    """What a click in a window does."""
    job = Job(Place.shown(bpy.context), *listed_photos(bpy.context.scene), HeadOptions("fast", 1024), into=into)
    session().begin(job, None)


def tick(times: int = 200) -> None:
    for _ in range(times):
        session().tick()


def tick_while_busy(seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while session().busy:
        assert time.monotonic() < until, session().view
        session().tick()
        time.sleep(0.001)


def a_head_waits(into: str | None = None) -> None:
    """A head that was asked for in a file that is closed."""
    begin(into)
    new_file()
    tick()
    assert session().has_lost_scene


def list_photo(folder: Path) -> None:
    """The photo that every test's folder has, into the list of the file that is open."""
    bpy.ops.likeness.add_photos(directory=str(folder), files=[{"name": "a.jpg"}])


def kept(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.endswith(".lock")) if folder.exists() else []


def written() -> None:
    """Until the head that waits is on the disk, or could not be written."""
    current = session().waiting._current
    assert current is not None
    current.exception(20)


def quit_and_start(backend: Backend) -> None:
    """This Blender is quit, and started again."""
    shut_down()
    session().runner = backend
    new_file()
    session().waiting.look()
