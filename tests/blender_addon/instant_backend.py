"""In place of a backend: one that has the result at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import addon_utils
import bpy
import pytest
from head_message import HeadMessage

from blender_addon.client.events import ResultReceived
from blender_addon.protocol.result import HeadResult
from blender_addon.runner import JobView
from blender_addon.session import session

PACKAGE = "blender_addon"


class Backend:
    """In place of the runner: it has the result at once, and ``meanwhile`` is what the artist does before it comes."""

    def __init__(self, message: HeadMessage, result: HeadResult) -> None:
        self.message, self.result, self.busy, self.connected = message, result, False, False
        self.view = JobView()
        self.meanwhile = lambda: None

    def begin(self, submission: object, backend: object) -> None:
        self.busy = True
        self.meanwhile()

    def tick(self) -> list[ResultReceived]:
        arrived, self.busy = [ResultReceived("", self.result)] if self.busy else [], False
        return arrived

    def cancel(self) -> None:
        self.busy = False

    def stop(self, wait: bool = False) -> None:
        self.busy = False


def enabled_backend(
    message: HeadMessage, result: HeadResult, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    """The extension enabled in an empty file with one listed photo, and a backend that makes ``result`` of anything.

    ``message`` is what ``result`` came as.
    """
    monkeypatch.setenv("LIKENESS_CONFIG_DIR", str(folder / "config"))
    monkeypatch.setenv("BLENDER_USER_DATAFILES", str(folder / "datafiles"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon_utils.enable(PACKAGE, default_set=True)
    from blender_addon.operators import reconstruct

    monkeypatch.setattr(reconstruct, "chosen_backend", lambda context: None)
    (folder / "a.jpg").write_bytes(b"\xff\xd8")
    bpy.ops.likeness.add_photos(directory=str(folder), files=[{"name": "a.jpg"}])
    made = Backend(message, result)
    session().runner = made
    yield made
    addon_utils.disable(PACKAGE, default_set=True)
