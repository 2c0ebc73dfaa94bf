"""What the connection's thread tells the main thread."""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol.preview import Preview
from ..protocol.result import HeadResult
from ..transfer.clips import ExpressionClip


@dataclass(frozen=True)
class Limits:
    """What the server accepts: bytes per buffer and per message, photos per job."""

    frame_bytes: int
    message_bytes: int
    photos: int


@dataclass(frozen=True)
class Welcomed:
    """The server answered ``hello``.

    Attributes
    ----------
    likeness : version of the backend. instance : of this run of the server. pid : of its process.
    device : ``cpu`` or ``cuda``, "" until its worker has started. limits : what it accepts.
    same_server : whether it is the server of before, so that jobs of before are still there; True the first time.
    capabilities : names of what it can do besides.
    ping_seconds, silence_seconds : how often it wants to hear from us, and after how much silence either side is gone.
    """

    likeness: str
    instance: str
    pid: int | None
    device: str
    limits: Limits
    same_server: bool
    ping_seconds: float
    silence_seconds: float
    capabilities: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Queued:
    """The job waits behind ``position`` others."""

    token: str
    position: int


@dataclass(frozen=True)
class Progressed:
    """How far the job is: sentence of the stage, fraction of the whole (0–1), seconds left or None."""

    token: str
    stage: str
    sentence: str
    fraction: float
    seconds_left: float | None


@dataclass(frozen=True)
class Previewed:
    """The head so far."""

    token: str
    preview: Preview


@dataclass(frozen=True)
class Arrived:
    """The job's result; ``message`` is what it came as, header and buffers, whose memory the result shares."""

    token: str
    result: HeadResult
    message: tuple[bytes, ...]


@dataclass(frozen=True)
class Solved:
    """The result of a transfer."""

    token: str
    clip: ExpressionClip


@dataclass(frozen=True)
class JobFailed:
    """The job ended without a result; ``code`` as in docs/protocol.md or one of our own."""

    token: str
    code: str
    sentence: str
    advice: str


@dataclass(frozen=True)
class Lost:
    """Nothing was heard from the server for too long; the thread tries to reach it again."""

    sentence: str


@dataclass(frozen=True)
class GaveUp:
    """The server could not be reached; the thread has ended.

    ``code`` is ``unreachable``, ``refused`` (the keys do not fit), ``version``, or the server's own.
    """

    code: str
    sentence: str
    advice: str


Event = Welcomed | Queued | Progressed | Previewed | Arrived | Solved | JobFailed | Lost | GaveUp
