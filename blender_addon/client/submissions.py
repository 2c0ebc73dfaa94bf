"""Jobs on the client's side, and the messages that submit them (docs/protocol.md), with photo and video files read into
buffers and checked against the server's limits first."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import AddonError
from ..shared.photo_folder import PHOTO_SUFFIXES
from .events import Limits, Welcomed

PHOTO_GLOB = ";".join(f"*{ending}" for ending in PHOTO_SUFFIXES)
"""Endings of the files that the backend reads, for a file browser, which ignores case."""
PIECE_BYTES = 32 * 2**20
"""A video is sent in buffers of this size."""


def unique_labels(names: Sequence[str]) -> tuple[str, ...]:
    """Turn names into labels of a job: printable, at most 255 characters, unique (``front.jpg``, ``front (2).jpg``)."""
    labels: list[str] = []
    for name in names:
        clean = "".join(c for c in name if c.isprintable()).strip()[-240:] or "photo"
        label, again = clean, 1
        while label in labels:
            again += 1
            stem, dot, ending = clean.rpartition(".")
            label = f"{stem} ({again}).{ending}" if dot and stem else f"{clean} ({again})"
        labels.append(label)
    return tuple(labels)


def is_text(path: str) -> bool:
    """Whether a path can be encoded in UTF-8, which file systems do not require."""
    return path.encode("utf-8", "ignore").decode("utf-8") == path


@dataclass(frozen=True)
class PhotoFile:
    """A photo to send: its label, unique within the job, and its path or its bytes."""

    label: str
    path: Path | None = None
    data: bytes | None = None


@contextmanager
def _reading(label: str, advice: str) -> Iterator[None]:
    """Raise ``AddonError`` ``no_photo`` where a file cannot be read."""
    try:
        yield
    except OSError as error:
        raise AddonError(f"{label} could not be read ({error.strerror or error}).", advice, "no_photo") from error


def read_photos(photos: Sequence[PhotoFile], limits: Limits) -> list[bytes]:
    """The bytes of each photo, read from its path if it has none.

    Raises
    ------
    AddonError : ``no_photo`` for a file that cannot be read, ``too_large`` for one above the server's limits.
    """
    contents = []
    for photo in photos:
        label = photo.label
        with _reading(label, "Put the file back, or remove it from the list."):
            data = photo.path.read_bytes() if photo.data is None else photo.data
        if not data:
            raise AddonError(f"{label} is an empty file.", "Remove it from the list.", "no_photo")
        if len(data) > limits.frame_bytes:
            size = f"{len(data) / 2**20:.0f} MiB, the backend takes {limits.frame_bytes / 2**20:.0f} a photo"
            raise AddonError(f"{label} has {size}.", "Save it smaller, as a JPEG for example.", "too_large")
        contents.append(data)
    return contents


def read_video(label: str, path: Path, limits: Limits) -> list[bytes]:
    """A video's bytes, in buffers within the server's limits.

    Raises
    ------
    AddonError : ``no_photo`` for a file that cannot be read, ``too_large`` for one above the server's limits.
    """
    most = limits.message_bytes - 2**20  # room for the header and a head
    with _reading(label, "Choose it again."):
        if path.stat().st_size > most:
            sentence = f"{label} is larger than the {most / 2**20:.0f} MiB that a backend on another machine takes."
            advice = "Cut it, or export it smaller: faces of 300 pixels are large enough."
            raise AddonError(sentence, advice, "too_large")
        size = min(PIECE_BYTES, limits.frame_bytes)
        with path.open("rb") as file:
            pieces = list(iter(lambda: file.read(size), b""))
    if not pieces:
        raise AddonError(f"{label} is an empty file.", "Copy or export it again.", "no_photo")
    return pieces


@dataclass(frozen=True)
class PhotoMask:
    """Masked area of a photo, as ``width`` x ``height`` cells over the whole photo.

    ``runs``: run lengths, row by row from the top left, alternating between usable and masked cells.
    """

    width: int
    height: int
    runs: tuple[int, ...]

    @property
    def share(self) -> float:
        """Masked fraction of the photo, 0 to 1."""
        return sum(self.runs[1::2]) / (self.width * self.height)


@dataclass(frozen=True)
class PhotoCorrections:
    """The artist's corrections of the photo ``label``.

    Attributes
    ----------
    use : ``both``, ``shape``, ``texture`` or ``neither``.
    points : (landmark, x, y): index of one of the 478 landmarks or, counting on, of ``HEAD_POINTS``, and its position
        in pixels of the photo after EXIF rotation.
    mask : masked area; None if nothing is masked.
    paints : regions of the texture that it alone paints. brush : a byte for each of the head's vertices, 255 where it
        alone paints them; empty if nothing was marked.
    """

    label: str
    use: str = "both"
    points: tuple[tuple[int, float, float], ...] = ()
    mask: PhotoMask | None = None
    paints: tuple[str, ...] = ()
    brush: bytes = b""

    @property
    def is_empty(self) -> bool:
        """Whether there are no corrections."""
        return self == PhotoCorrections(self.label)


def described(one: PhotoCorrections) -> dict[str, Any]:
    """A photo's corrections as messages and .blend files hold them."""
    points = [[landmark, round(x, 2), round(y, 2)] for landmark, x, y in one.points]
    said: dict[str, Any] = {"name": one.label, "use": one.use, "points": points}
    if one.mask is not None:
        said["mask"] = asdict(one.mask)
    if one.paints or one.brush:
        said |= {"paints": list(one.paints), "brush": b64encode(one.brush).decode()}
    return said


def understood(said: Mapping[str, Any]) -> PhotoCorrections:
    """The corrections that were ``described``."""
    mask, brush = said.get("mask"), b64decode(said.get("brush", ""))
    return PhotoCorrections(
        label=said["name"],
        use=said["use"],
        points=tuple(map(tuple, said["points"])),
        mask=None if mask is None else PhotoMask(mask["width"], mask["height"], tuple(mask["runs"])),
        paints=tuple(said.get("paints", ())),
        brush=brush,
    )


@dataclass(frozen=True)
class JobPhrases:
    """Wording for a kind of job: what it is, what is sent, how to repeat it."""

    what: str
    sending: str
    again: str


@dataclass(frozen=True)
class Submission:
    """Job: photos to a head. ``token`` is a random id chosen by the client."""

    token: str
    photos: tuple[PhotoFile, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    corrections: tuple[PhotoCorrections, ...] = ()

    @property
    def words(self) -> JobPhrases:
        """Its wording. Hair or texture of a head that the backend has needs no photos."""
        if not self.photos:
            return JobPhrases("change", "Asking the backend", "Change it once more.")
        return JobPhrases("reconstruction", "Sending the photos", "Click Reconstruct Face once more.")


@dataclass(frozen=True)
class Transfer:
    """Job: photos or a video to expressions.

    Attributes
    ----------
    head : neutral vertices of the person in the pictures, ``<f4`` (V, 3), parts in the order of ``PART_NAMES``, head
        frame; None to solve the face from the pictures.
    """

    token: str
    photos: tuple[PhotoFile, ...] = ()
    video: Path | None = None
    head: bytes | None = None
    words = JobPhrases("transfer", "Sending the pictures", "Click the button once more.")


AnyJob = Submission | Transfer


def header_frame(header: Mapping[str, Any]) -> bytes:
    """Encode a header as its frame."""
    return json.dumps(header, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def composed(job: AnyJob, welcome: Welcomed) -> tuple[dict[str, Any], list[bytes]]:
    """Header and buffers that submit a job. Reads the files.

    Raises
    ------
    AddonError : ``no_photo`` for a file that cannot be read, ``too_large`` for one above the server's limits.
    """
    if isinstance(job, Transfer):
        return _transfer(job, welcome)
    photos, contents = _photos(job.photos, welcome)
    header = {"type": "submit", "request": "submit", "token": job.token, "photos": photos}
    options = dict(job.options)
    if job.corrections:
        options["corrections"] = list(map(described, job.corrections))
    header["options"] = options
    if len(header_frame(header)) > welcome.limits.header_bytes:
        raise AddonError(
            "The photos have more corrections than the backend takes.",
            "Reset the points or clear the masks of some, or let photos paint regions instead of what a brush marked.",
            "too_large",
        )
    return header, contents


def _transfer(job: Transfer, welcome: Welcomed) -> tuple[dict[str, Any], list[bytes]]:
    header: dict[str, Any] = {"type": "transfer", "request": "submit", "token": job.token}
    contents: list[bytes] = []
    if job.video is None:
        header["photos"], contents = _photos(job.photos, welcome)
    else:
        header["video"], contents = _video(job.video, welcome)
    if job.head is not None:
        header["identity"] = True
        contents = [*contents, job.head]
    return header, contents


def _video(path: Path, welcome: Welcomed) -> tuple[dict[str, Any], list[bytes]]:
    (name,) = unique_labels([path.name])
    whole = str(path.absolute())
    if "path" in welcome.capabilities and is_text(whole):
        return {"name": name, "path": whole}, []
    contents = read_video(name, path, welcome.limits)
    return {"name": name, "bytes": sum(map(len, contents))}, contents


def _photos(photos: tuple[PhotoFile, ...], welcome: Welcomed) -> tuple[list[dict[str, Any]], list[bytes]]:
    contents = read_photos(photos, welcome.limits)
    entries = [{"name": photo.label, "bytes": len(content)} for photo, content in zip(photos, contents, strict=True)]
    return entries, contents
