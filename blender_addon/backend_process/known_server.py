"""Start settings of the server in use, and which changed settings apply only at its next start."""

from __future__ import annotations

from dataclasses import dataclass

from .local_backend import LocalBackend


@dataclass(frozen=True)
class KnownServer:
    """A server on this computer.

    Attributes
    ----------
    instance : id of its run.
    started : its start settings; None if another Blender started it. Then these are observed:
    port : where it listens.
    kind : ``cpu`` or ``cuda``, "" if not reported.
    """

    instance: str
    started: LocalBackend | None = None
    port: int = 0
    kind: str = ""

    def differs(self, wanted: LocalBackend) -> tuple[str, ...]:
        """Names of the settings that differ from ``wanted``: ``backend`` (its program), ``device``, ``port``."""
        if self.started is not None:
            before, after = self.started, wanted
            other = {
                "backend": (before.python, before.source) != (after.python, after.source),
                "device": before.device != after.device,
                "port": before.port != after.port,
            }
        else:
            other = {
                "device": bool(self.kind) and wanted.device not in ("auto", self.kind),
                "port": wanted.port not in (0, self.port),
            }
        return tuple(name for name, differs in other.items() if differs)


def pending_settings_sentence(names: tuple[str, ...], mine: bool, busy: bool) -> str:
    """A sentence about settings that apply from the next start; "" for none.

    mine : whether this Blender started the server.
    busy : whether a job of this Blender runs.
    """
    if not names:
        return ""
    sentence = f"What is set here ({', '.join(names)}) counts from the next start of the backend"
    if not mine:
        return f"{sentence}: once the other Blenders that use it have been quit."
    when = "with the next click after this job" if busy else "with the next click"
    return f"{sentence}: {when}, unless another Blender uses it; then quit that one first."
