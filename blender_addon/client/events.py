"""Events from the connection's thread to the main thread."""

from dataclasses import dataclass

from ..errors import AddonError
from ..protocol.clips import ExpressionClip
from ..protocol.result import HeadResult


class Event:
    """What happened."""


@dataclass(frozen=True)
class JobEvent(Event):
    """What happened to the job ``token``."""

    token: str


@dataclass(frozen=True)
class Limits:
    """The server's limits: bytes of a header, of a buffer and of a message, photos per job."""

    header_bytes: int
    frame_bytes: int
    message_bytes: int
    photos: int


@dataclass(frozen=True)
class Welcomed(Event):
    """The server answered ``hello``.

    Attributes
    ----------
    instance : id of this run of the server.
    limits : what it accepts.
    same_server : whether it is the same run as before, so that earlier jobs still exist; True the first time.
    capabilities : ``path`` if the server reads files where they are.
    ping_seconds, silence_seconds : heartbeat interval, and the silence after which either side counts as gone.
    """

    instance: str
    limits: Limits
    same_server: bool
    ping_seconds: float
    silence_seconds: float
    capabilities: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Queued(JobEvent):
    """The job waits in the queue behind ``position`` others."""

    position: int


@dataclass(frozen=True)
class Progressed(JobEvent):
    """Progress of the job: sentence of the stage, fraction of the whole (0-1), seconds left or None."""

    stage: str
    sentence: str
    fraction: float
    seconds_left: float | None


@dataclass(frozen=True)
class Previewed(JobEvent):
    """Picture of the head in progress, a PNG file."""

    picture: bytes


@dataclass(frozen=True)
class ResultReceived(JobEvent):
    """The job's result."""

    result: HeadResult


@dataclass(frozen=True)
class ExpressionsReceived(JobEvent):
    """The result of an expression transfer."""

    clip: ExpressionClip


@dataclass(frozen=True)
class JobFailed(JobEvent):
    """The job ended without a result; the error's code as in docs/protocol.md, or one of the extension."""

    error: AddonError


@dataclass(frozen=True)
class ConnectionLost(Event):
    """The server was silent for too long; the thread tries to reconnect."""

    sentence: str


@dataclass(frozen=True)
class ConnectFailed(Event):
    """The server could not be reached; the thread has ended.

    The error's code is ``unreachable``, ``refused`` (the keys do not match), ``version``, or the server's own.
    """

    error: AddonError
