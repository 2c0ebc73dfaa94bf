"""Content of ``batch.json`` (docs/files.md)."""

from __future__ import annotations

from typing import Literal

import msgspec

from backend import __version__
from backend.batch.outcome import Outcome
from backend.batch.stamp import Stamp

FORMAT_VERSION = 1
State = Literal["running", "stopped", "finished"]


class Row(Outcome, frozen=True, kw_only=True):
    """An outcome and its place. ``line`` : in the manifest. ``folder`` : of the head, beside the table."""

    line: int
    folder: str = ""


class BatchFile(msgspec.Struct, frozen=True, kw_only=True):
    """``batch.json`` (docs/files.md).

    Attributes
    ----------
    counts : number of people per ``Status``. workers : largest number of simultaneous workers.
    seconds : wall seconds of the run. started, written : UTC, ISO 8601. worker_peak_mb : largest of all workers.
    """

    manifest: str
    state: State
    counts: dict[str, int]
    people: list[Row]
    started: str
    written: str
    seconds: float
    workers: int
    worker_peak_mb: float | None
    stamp: Stamp
    likeness: str = __version__
    version: int = FORMAT_VERSION
