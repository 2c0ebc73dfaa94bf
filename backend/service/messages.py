"""Client messages, validated while decoded, their limits, and the errors for invalid ones (docs/protocol.md).

Multi-frame messages on a byte stream, between server and worker and in result files: a little-endian uint32 (number of
frames), a uint64 per frame (its length), and the frames.
"""

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import msgspec

from backend.errors import LikenessError
from backend.options import option_struct
from backend.photos.corrections import PhotoCorrections, check_corrections
from protocol.options import DEVICES, ONLY, REMADE

RESULT_HEADER_BYTES = 4 * 2**20
"""The largest header of a ``result``."""


@dataclass(frozen=True)
class Limits:
    """All limits of a server.

    Attributes
    ----------
    header_bytes, frame_bytes, message_bytes : of a client's message: its header, one buffer, all frames together.
    identity_bytes : of the neutral head in a transfer.
    photos, name_characters : of one job.
    queue : unfinished jobs.
    seconds_per_job, seconds_per_transfer : running time. An hour of video takes about two.
    result_seconds : how long a finished job is kept.
    waiting_bytes : photos of unfinished jobs on the disk. result_bytes : results on the disk; the oldest go first.
    finished_jobs : number kept; the oldest go first.
    """

    header_bytes: int = 64 * 2**10
    frame_bytes: int = 64 * 2**20
    message_bytes: int = 512 * 2**20
    identity_bytes: int = 2**20
    photos: int = 64
    name_characters: int = 255
    queue: int = 32
    seconds_per_job: float = 900.0
    seconds_per_transfer: float = 6 * 3600.0
    result_seconds: float = 3600.0
    waiting_bytes: int = 2 * 2**30
    result_bytes: int = 2 * 2**30
    finished_jobs: int = 256

    def seconds_of(self, kind: str) -> float:
        """Time limit of a job of this kind, in seconds."""
        return self.seconds_per_transfer if kind == "transfer" else self.seconds_per_job


@dataclass(frozen=True)
class Timing:
    """Time-outs and intervals of the server, in seconds.

    Attributes
    ----------
    heartbeat : a connection silent for so long is pinged; a running job's progress is sent at least as often.
    silence : after so long a client may consider the server gone. When no client has been there for so long, the worker
        forgets what it keeps.
    patience : a connection silent for so long is removed. It is long because a message counts only when complete, and
        photos take time on a slow line.
    cancel_grace : time for the worker to stop by itself before it is killed.
    worker_start : time for a worker to become ready.
    """

    heartbeat: float = 2.0
    silence: float = 15.0
    patience: float = 3600.0
    cancel_grace: float = 0.5
    worker_start: float = 600.0


MOST_FRAMES = 4096
MOST_BYTES = 2**30


class BrokenFramesError(ValueError):
    """The stream ends within a message, or has another format."""


def write_frames(stream: BinaryIO, frames: Sequence[bytes | memoryview]) -> None:
    """Write one message and flush. Raises ``OSError``."""
    stream.write(struct.pack(f"<I{len(frames)}Q", len(frames), *(memoryview(frame).nbytes for frame in frames)))
    for frame in frames:
        stream.write(frame)
    stream.flush()


def read_frames(stream: BinaryIO) -> list[bytes] | None:
    """The next message; None at the stream's end. Raises ``BrokenFramesError`` or ``OSError``."""
    start = stream.read(4)
    if not start:
        return None
    (count,) = struct.unpack("<I", _exactly(stream, 4 - len(start), start))
    if count > MOST_FRAMES:
        raise BrokenFramesError(f"{count} frames")
    sizes = struct.unpack(f"<{count}Q", _exactly(stream, 8 * count))
    if sum(sizes) > MOST_BYTES:
        raise BrokenFramesError(f"{sum(sizes)} bytes")
    return [_exactly(stream, size) for size in sizes]


def _exactly(stream: BinaryIO, count: int, start: bytes = b"") -> bytes:
    data = start + stream.read(count) if count else start
    if len(data) != len(start) + count:
        raise BrokenFramesError("the stream ends within a message")
    return data


PROTOCOL = 1
PROTOCOLS = (1,)

_Request = Annotated[str, msgspec.Meta(max_length=64)] | None
_JobId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
_Token = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]


class ProtocolError(Exception):
    """A message that is answered with an error; ``token`` is that of the job it refers to, None without one."""

    def __init__(self, code: str, sentence: str, advice: str = "", request: str | None = None) -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.advice, self.request = code, sentence, advice, request
        self.token: str | None = None


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    request: _Request = None


class Hello(_Message, frozen=True, kw_only=True, tag="hello", forbid_unknown_fields=False):
    """The first message; later versions may add fields."""

    protocol: int
    client: Annotated[str, msgspec.Meta(max_length=200)] = ""


class JobOptions(option_struct("Options", {}), frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a job: those of a head, and how it is made. ``head`` : token of the job that made the head whose hair
    or texture alone is made anew."""

    device: Literal[DEVICES] = "auto"
    corrections: Annotated[tuple[PhotoCorrections, ...], msgspec.Meta(max_length=64)] = ()
    only: Literal[ONLY] = ""
    head: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{0,64}\Z")] = ""


class PhotoHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One photo of a submit: its name, and its buffer's length."""

    name: str
    bytes: int


class Submit(_Message, frozen=True, kw_only=True, tag="submit"):
    """A job that makes a head from photos."""

    token: _Token
    photos: tuple[PhotoHeader, ...]
    options: JobOptions = JobOptions()


class VideoHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A video: its name, and either how many bytes its buffers have together, or its path on the server's machine."""

    name: str
    bytes: int | None = None
    path: Annotated[str, msgspec.Meta(max_length=4096)] | None = None


class Transfer(_Message, frozen=True, kw_only=True, tag="transfer"):
    """A job that reads expressions from photos or a video; ``identity``: the last buffer is the neutral head."""

    token: _Token
    photos: tuple[PhotoHeader, ...] = ()
    video: VideoHeader | None = None
    identity: bool = False


class _AboutJob(_Message, frozen=True, kw_only=True):
    job: _JobId | None = None
    token: _Token | None = None


class Cancel(_AboutJob, frozen=True, kw_only=True, tag="cancel"):
    """Stop a job."""


class Fetch(_AboutJob, frozen=True, kw_only=True, tag="fetch"):
    """Receive a job's messages on this connection."""


class Received(_AboutJob, frozen=True, kw_only=True, tag="received"):
    """The result has arrived: delete its file."""


class Forget(_AboutJob, frozen=True, kw_only=True, tag="forget"):
    """Delete a finished job, its result and what the worker keeps of it."""


class Ping(_Message, frozen=True, kw_only=True, tag="ping"):
    """Heartbeat request."""


class Pong(_Message, frozen=True, kw_only=True, tag="pong"):
    """Heartbeat answer."""


class Bye(_Message, frozen=True, kw_only=True, tag="bye"):
    """The client leaves."""


AboutJob = Cancel | Fetch | Received | Forget
NewJob = Submit | Transfer
ClientMessage = Hello | NewJob | AboutJob | Ping | Pong | Bye

_decoder = msgspec.json.Decoder(ClientMessage)


class _OnlyRequest(msgspec.Struct, frozen=True):
    request: _Request = None


def decode(header: bytes, buffers: Sequence[memoryview], limits: Limits) -> ClientMessage:
    """Decode and validate a client's message. Raises ``ProtocolError``."""
    if len(header) > limits.header_bytes:
        raise ProtocolError("too_large", f"The header has {len(header)} bytes; the limit is {limits.header_bytes}.")
    try:
        message = _decoder.decode(header)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        sentence = f"Not a message of this protocol: {error}."
        raise ProtocolError("malformed", sentence, "Update the client.", _request_of(header)) from error
    try:
        if isinstance(message, AboutJob) and (message.job is None) == (message.token is None):
            raise ProtocolError("malformed", "The message has to name either the job or its token.")
        if isinstance(message, Submit):
            if message.options.only not in REMADE:
                _check_photos(message.photos, buffers, limits)
            elif message.photos or buffers or not message.options.head:
                sentence = f"The {message.options.only} alone is made of an earlier job's head, without photos."
                raise ProtocolError("malformed", sentence)
            _check_corrections(message)
        elif isinstance(message, Transfer):
            _check_transfer(message, buffers, limits)
        elif buffers:
            raise ProtocolError("malformed", "This message has no buffers.")
    except ProtocolError as error:
        error.request = message.request
        error.token = token_of(message)
        raise
    return message


def token_of(message: ClientMessage) -> str | None:
    """The token of the job that a message refers to; None without one."""
    return message.token if isinstance(message, NewJob | AboutJob) else None


@contextmanager
def about(message: ClientMessage) -> Iterator[None]:
    """Turn any error while ``message`` is handled into a ``ProtocolError`` with its request and token."""
    try:
        yield
    except ProtocolError as error:
        error.token = token_of(message)
        raise
    except Exception as error:
        failed = ProtocolError("internal", "The server could not handle a message.", request=message.request)
        failed.token = token_of(message)
        raise failed from error


def _check_corrections(message: Submit) -> None:
    try:
        said = message.options.corrections
        names = message.photos or said  # of a head that is there, its photos are checked where it is
        check_corrections(said, [one.name for one in names])
    except LikenessError as error:
        raise ProtocolError(error.code, error.sentence, error.advice) from error


def _check_transfer(message: Transfer, buffers: Sequence[memoryview], limits: Limits) -> None:
    if message.identity:
        if not buffers:
            raise ProtocolError("malformed", "The buffer of the neutral head is missing.")
        head, buffers = buffers[-1], buffers[:-1]
        if not head.nbytes or head.nbytes % 12 or head.nbytes > limits.identity_bytes:
            raise ProtocolError("malformed", f"A neutral head has {head.nbytes} bytes; it has to be <f4 (V, 3).")
    if message.video is None:
        _check_photos(message.photos, buffers, limits)
    elif message.photos:
        raise ProtocolError("malformed", "Photos and a video were given.", "Give either.")
    else:
        _check_video(message.video, buffers, limits)


def _check_video(video: VideoHeader, buffers: Sequence[memoryview], limits: Limits) -> None:
    _check_name(video.name, limits)
    if (video.path is None) == (video.bytes is None):
        raise ProtocolError("malformed", "The message has to give either the video's bytes or its path.")
    if video.path is not None:
        if buffers:
            raise ProtocolError("malformed", "A video that is given by its path has no buffers.")
        if "\0" in video.path or not Path(video.path).is_absolute():
            raise ProtocolError("malformed", f"The path of {video.name} is not an absolute one.")
        return
    total = sum(buffer.nbytes for buffer in buffers)
    if total != video.bytes:
        raise ProtocolError("malformed", f"{video.name} has {total} bytes and not {video.bytes}.")
    if not total:
        raise ProtocolError("no_photo", f"{video.name} is empty.", "Copy or export it again.")
    most = max((buffer.nbytes for buffer in buffers), default=0)
    if total > limits.message_bytes or most > limits.frame_bytes or len(buffers) > limits.photos:
        sentence = f"{video.name} is larger than the {limits.message_bytes // 2**20} MiB that the server takes."
        advice = "Cut it, or export it smaller: faces of 300 pixels are large enough."
        raise ProtocolError("too_large", sentence, advice)


def _check_name(name: str, limits: Limits) -> None:
    if len(name) > limits.name_characters:
        raise ProtocolError("too_large", f"A file's name has more than {limits.name_characters} characters.")
    if not name or not name.isprintable():
        raise ProtocolError("malformed", "A file's name is empty or has control characters.", "Rename the file.")


def _check_photos(photos: Sequence[PhotoHeader], buffers: Sequence[memoryview], limits: Limits) -> None:
    if not photos:
        raise ProtocolError("no_photo", "No photo was given.", "Give at least one photo of the person's face.")
    if len(photos) > limits.photos:
        advice = "Give fewer; about ten good ones are enough."
        raise ProtocolError("too_large", f"{len(photos)} photos were given; the limit is {limits.photos}.", advice)
    if len(buffers) != len(photos):
        raise ProtocolError("malformed", f"{len(photos)} photos are named and {len(buffers)} came.")
    for photo, buffer in zip(photos, buffers, strict=True):
        _check_name(photo.name, limits)
        if photo.bytes != buffer.nbytes:
            raise ProtocolError("malformed", f"{photo.name} has {buffer.nbytes} bytes and not {photo.bytes}.")
        if buffer.nbytes > limits.frame_bytes:
            raise ProtocolError("too_large", f"{photo.name} has more than {limits.frame_bytes // 2**20} MiB.")
    twice = [name for name, count in Counter(photo.name for photo in photos).items() if count > 1]
    if twice:
        raise ProtocolError("malformed", f"Two photos are called {twice[0]}.", "Names have to be unique.")
    total = sum(buffer.nbytes for buffer in buffers)
    if total > limits.message_bytes:
        sentence = f"The photos have {total // 2**20} MiB together; the limit is {limits.message_bytes // 2**20} MiB."
        raise ProtocolError("too_large", sentence, "Give fewer or smaller photos.")


def _request_of(header: bytes) -> str | None:
    """The request id of a malformed message, if it is readable."""
    try:
        return msgspec.json.decode(header, type=_OnlyRequest).request
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
