"""Settings of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from backend.service.bind_address import BindAddress
from backend.service.limits import Limits, Timing

RUNNER = "backend.service.job_runner"


@dataclass(frozen=True)
class ServerSettings:
    """Settings of a server.

    Attributes
    ----------
    config_folder : folder of keys, state and job files.
    owner_token : token that permits stopping the server; None: nobody may.
    allow : accepted public keys besides those in the configuration folder.
    idle_exit : seconds without job and message after which the server stops; None: never.
    parent : process id; when that process is gone, the server stops, or stays as long as others use it.
    runner, search_path : the worker's module and where it is searched (see ``worker``).
    """

    config_folder: Path
    bind: BindAddress = field(default_factory=BindAddress)
    device: str = "auto"
    owner_token: str | None = None
    allow: frozenset[str] = frozenset()
    idle_exit: float | None = None
    parent: int | None = None
    limits: Limits = field(default_factory=Limits)
    timing: Timing = field(default_factory=Timing)
    runner: str = RUNNER
    search_path: tuple[Path, ...] = ()
