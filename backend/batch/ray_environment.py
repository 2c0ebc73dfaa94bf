"""Environment variables of Ray and its processes. Imports no Ray, because Ray reads some of them when imported."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from backend.batch.threads import SINGLE_THREAD_ENVIRONMENT

LOOPBACK_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""With 0, all of Ray's processes listen on 127.0.0.1 alone, on Linux too."""
_QUIET_VARIABLE = "RAY_DEDUP_LOGS_SKIP_REGEX"
"""Regular expression of lines that are not printed; the engine reports the end of a worker itself."""
_SOURCE = Path(__file__).resolve().parents[2]


@contextmanager
def ray_environment(local: bool) -> Iterator[None]:
    """Set the variables, as a context; enter it before ``ray`` is imported.

    Parameters
    ----------
    local : for a private cluster on this machine. Otherwise the cluster's own key and settings apply.
    """
    wanted = {"RAY_USAGE_STATS_ENABLED": "0", _QUIET_VARIABLE: "."}
    if local:
        wanted |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": _key(),
            LOOPBACK_VARIABLE: "0",
            "RAY_worker_niceness": "0",
        }
        wanted |= SINGLE_THREAD_ENVIRONMENT
        wanted["PYTHONPATH"] = os.pathsep.join([str(_SOURCE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is not None:
                os.environ[name] = value
            else:
                os.environ.pop(name, None)


@cache
def _key() -> str:
    """Token of this process' private clusters, known to their processes alone, because it permits running code."""
    return secrets.token_hex(32)
