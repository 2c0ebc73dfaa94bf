"""Steps of the tests of heads that wait: a click, the ticks after it, another file, and what the panel shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import bpy
from blender_addon.shared.options import HeadOptions

from blender_addon.objects.tags import Place
from blender_addon.session import Job, listed_photos, session
from blender_addon.ui.panel import MainPanel


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
