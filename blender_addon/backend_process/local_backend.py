"""Start settings of a server on this computer, and what to do if it cannot start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class LocalBackend:
    """A backend on this computer. ``python`` runs it, from ``source`` if it is not installed in ``python``.

    Attributes
    ----------
    device : ``auto``, ``cpu`` or ``cuda``.
    port : on loopback, 0 for any free one.
    log : its log file.
    folder : where the extension installed it, None if it did not.
    button : name of the preferences button that reinstalls it.
    """

    python: Path
    source: Path | None = None
    device: str = "auto"
    port: int = 0
    log: Path | None = None
    folder: Path | None = None
    button: str = field(default="Repair", compare=False)

    @property
    def arguments(self) -> tuple[str, ...]:
        """Command-line arguments of ``serve``."""
        bind = ("--bind", f"tcp://127.0.0.1:{self.port}") if self.port else ()
        return ("--device", self.device, *bind)

    @property
    def remedy(self) -> str:
        """What to do if the backend is broken, to be appended after a comma."""
        if self.folder is not None:
            return f"choose {self.button} in the extension's preferences."
        return "install its packages again, or enter another Python in the extension's preferences."
