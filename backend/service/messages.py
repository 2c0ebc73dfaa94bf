"""Client messages, validated while decoded, their limits, and the errors for invalid ones (docs/protocol.md).

Messages between server and worker, and in result files: a little-endian uint64, the length, then header and buffers in
MessagePack.
"""

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, ClassVar, Literal

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


MOST_BYTES = 2**30
"""Of a result. PIPE_BYTES : of a message between server and worker, whose largest is a preview."""
PIPE_BYTES = 2**26
_LENGTH = struct.Struct("<Q")
_unpacker = msgspec.msgpack.Decoder(tuple[dict[str, Any], list[memoryview]])


def pack(header: Mapping[str, Any], buffers: Sequence[bytes] = ()) -> bytes:
    """A message in MessagePack."""
    return msgspec.msgpack.encode((header, buffers))


def unpack(packed: bytes) -> tuple[dict[str, Any], list[memoryview]]:
    """Header and buffers of a packed message, whose memory they share. Raises ``ValueError``."""
    return _unpacker.decode(packed)


def write_packed(stream: BinaryIO, packed: bytes) -> None:
    """Write one message and flush. Raises ``OSError``."""
    stream.write(_LENGTH.pack(len(packed)))
    stream.write(packed)
    stream.flush()


def read_packed(stream: BinaryIO, most: int = PIPE_BYTES) -> bytes | None:
    """The next message, still packed; None at the stream's end. Raises ``OSError``, and ``ValueError`` for one that is
    cut off or has more than ``most`` bytes."""
    if not (start := stream.read(_LENGTH.size)):
        return None
    (length,) = _LENGTH.unpack(start.ljust(_LENGTH.size, b"\0"))  # of which a part may be missing
    packed = stream.read(length) if len(start) == _LENGTH.size and length <= most else b""
    if len(start) < _LENGTH.size or len(packed) != length:
        raise ValueError(f"a message of {length} bytes is too large or cut off")
    return packed


PROTOCOL = 2

LONGEST_ID = 64
_Request = Annotated[str, msgspec.Meta(max_length=LONGEST_ID)] | None
_Token = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]


class ProtocolError(LikenessError):
    """Why a client's message is refused, or its job ended; ``code`` is one of docs/protocol.md."""

    def __init__(self, code: str, sentence: str, advice: str = "") -> None:
        Exception.__init__(self, f"{sentence} {advice}".strip())
        self.code, self.sentence, self.advice = code, sentence, advice


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
    video: ClassVar[None] = None
    identity: ClassVar[bool] = False


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
    options: ClassVar[JobOptions] = JobOptions()


class _AboutJob(_Message, frozen=True, kw_only=True):
    token: _Token


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


def decode(header: bytes, buffers: Sequence[memoryview], limits: Limits) -> ClientMessage:
    """Decode and validate a client's message. Raises ``LikenessError``."""
    if len(header) > limits.header_bytes:
        raise ProtocolError("too_large", f"The header has {len(header)} bytes; the limit is {limits.header_bytes}.")
    try:
        message = _decoder.decode(header)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError("malformed", f"Not a message of this protocol: {error}.", "Update the client.") from error
    if isinstance(message, Submit):
        if message.options.only not in REMADE:
            _check_photos(message.photos, buffers, limits)
        elif message.photos or buffers or not message.options.head:
            sentence = f"The {message.options.only} alone is made of an earlier job's head, without photos."
            raise ProtocolError("malformed", sentence)
        said = message.options.corrections
        names = message.photos or said  # of a head that is there, its photos are checked where it is
        check_corrections(said, [one.name for one in names])
    elif isinstance(message, Transfer):
        _check_transfer(message, buffers, limits)
    elif buffers:
        raise ProtocolError("malformed", "This message has no buffers.")
    return message


class _About(msgspec.Struct, frozen=True):
    request: msgspec.Raw = msgspec.Raw(b"null")
    token: msgspec.Raw = msgspec.Raw(b"null")


def about(header: bytes) -> dict[str, str]:
    """The ``request`` and ``token`` of a message, good or bad, as far as they can be read: an error repeats them."""
    try:
        said = msgspec.structs.asdict(msgspec.json.decode(header, type=_About))
        fields = {name: msgspec.json.decode(raw) for name, raw in said.items() if len(bytes(raw)) <= 6 * LONGEST_ID + 2}
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return {}
    return {name: text for name, text in fields.items() if isinstance(text, str) and len(text) <= LONGEST_ID}


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


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the worker receives it.

    kind : ``reconstruct`` or ``transfer``. names, paths : of the photos, or of one ``video``. result : file to write.
    identity : file with the neutral head of a transfer, ``<f4`` (V, 3); None: it is solved from the pictures.
    """

    token: str
    kind: Literal["reconstruct", "transfer"]
    options: JobOptions
    names: tuple[str, ...]
    paths: tuple[str, ...]
    result: str
    video: bool = False
    identity: str | None = None


def task_of(message: NewJob, folder: Path) -> Task:
    """The task of a new job with its files in ``folder``; a video may be in the client's own place."""
    video = message.video
    paths = tuple(str(folder / f"photo_{number}") for number in range(len(message.photos)))
    return Task(
        token=message.token,
        kind="reconstruct" if isinstance(message, Submit) else "transfer",
        options=message.options,
        names=tuple(photo.name for photo in message.photos) if video is None else (video.name,),
        paths=paths if video is None else (video.path or str(folder / "video"),),
        result=str(folder / "result"),
        video=video is not None,
        identity=str(folder / "identity") if message.identity else None,
    )
