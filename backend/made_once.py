"""A thread-safe cache that computes each value only once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from threading import RLock
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


def made_once(make: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """``functools.cache`` that calls ``make`` only once per arguments, also across threads: other threads wait and get
    the same object, whereas ``functools.cache`` alone may compute it again. Exceptions are not cached."""
    kept, lock = cache(make), RLock()

    @wraps(make)
    def ask(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
        with lock:
            return kept(*args, **kwargs)

    ask.cache_clear = kept.cache_clear
    return ask
