"""A cache for what is large: made once, even when several threads ask for it at the same time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from threading import RLock
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


def made_once(make: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """``functools.cache`` that calls ``make`` once for the same arguments: whoever asks while another thread makes it
    waits and gets the same object. ``functools.cache`` alone makes it again. What ``make`` raises is not kept."""
    kept, lock = cache(make), RLock()

    @wraps(make)
    def ask(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
        with lock:
            return kept(*args, **kwargs)

    ask.cache_clear = kept.cache_clear
    return ask
