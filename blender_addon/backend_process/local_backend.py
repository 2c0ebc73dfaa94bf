"""What a server on this computer is started with, and what to do where it cannot be."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class LocalBackend:
    """A backend of this computer: ``python`` runs it, out of ``source`` where it is not installed in ``python``.

    Attributes
    ----------
    device : ``auto``, ``cpu`` or ``cuda``. port : on loopback, 0 for any free one. log : the file for what it logs.
    folder : where the extension installed it, None where it did not. button : which button of the preferences installs
        it once more.
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
        """For ``serve``."""
        bind = ("--bind", f"tcp://127.0.0.1:{self.port}") if self.port else ()
        return ("--device", self.device, *bind)

    @property
    def remedy(self) -> str:
        """What to do where the backend is broken, to go on with after a comma."""
        if self.folder is not None:
            return f"choose {self.button} in the extension's preferences."
        return "install its packages again, or enter another Python in the extension's preferences."
