"""What Ray and its processes read from the environment. Imports no Ray, because Ray reads some of it when imported."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from backend.batch.threads import ONE_THREAD

LOOPBACK_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Set to 0, all of Ray's processes listen on 127.0.0.1 alone, on Linux, too."""
_QUIET_VARIABLE = "RAY_DEDUP_LOGS_SKIP_REGEX"
"""Lines like that are not printed: that a worker ended is told by us, in one sentence and once."""
_SOURCE = Path(__file__).resolve().parents[2]


@contextmanager
def ray_environment(local: bool) -> Iterator[None]:
    """Set the variables while it lasts; enter it before ``ray`` is imported.

    Parameters
    ----------
    local : for a cluster of our own on this machine. Elsewhere the cluster's own key and settings hold.
    """
    wanted = {"RAY_USAGE_STATS_ENABLED": "0", _QUIET_VARIABLE: "."}
    if local:
        wanted |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": _key(),
            LOOPBACK_VARIABLE: "0",
            "RAY_worker_niceness": "0",
        }
        wanted |= ONE_THREAD
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
    """Of this process' own clusters, given to their processes alone: whoever has it can run code as this user."""
    return secrets.token_hex(32)
