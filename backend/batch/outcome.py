"""Result of one person."""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["done", "kept", "failed", "waiting"]
"""done: made in this run. kept: made before from the same photos, options and version. failed: not made. waiting: not
reached, or stopped."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of one person.

    Attributes
    ----------
    code : of a failure, one of ``errors.EXIT_CODES``. reason, advice : its sentences.
    detail : the traceback of an error inside Likeness.
    seconds, cpu_seconds : duration for the head, in this run or in the one that made it.
    photos_given, photos_used : numbers. peak_rss_mb : peak memory of the worker, in 10⁶ bytes.
    worker : machine and process id. attempts : number of starts in this run.
    fingerprint : of the input (``made_from``).
    """

    name: str
    status: Status
    code: str = ""
    reason: str = ""
    advice: str = ""
    detail: str = ""
    seconds: float | None = None
    cpu_seconds: float | None = None
    photos_given: int | None = None
    photos_used: int | None = None
    peak_rss_mb: float | None = None
    worker: str = ""
    attempts: int = 0
    fingerprint: str = ""
