"""What a batch remembers of each person: ``batch.json`` and, beside each head, ``made_from.json`` (docs/files.md).

A second run leaves out whoever has the same input and the same stamp.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from backend.batch.manifest import PersonOptions
from backend.exchange.all_or_none import FILE_NAMES, write_file
from backend.models.registry import Stamp
from backend.photos.collection import PhotoUnreadableError, ReadLimits
from backend.photos.decoding import read_file

Status = Literal["done", "kept", "failed", "waiting"]
"""done: made in this run. kept: made before from the same photos, options and version. failed: not made. waiting: not
reached, or stopped."""


class Measured(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What making a head took.

    Attributes
    ----------
    fingerprint : of the input. seconds, cpu_seconds : duration, in this run or in the one that made it.
    photos_used : number of the given ones. peak_rss_mb : peak memory of the worker so far, in 10⁶ bytes.
    """

    fingerprint: str = ""
    seconds: float | None = None
    cpu_seconds: float | None = None
    photos_used: int | None = None
    peak_rss_mb: float | None = None


class Outcome(Measured, frozen=True, kw_only=True, omit_defaults=True):
    """Result of one person: a row of ``batch.json``.

    Attributes
    ----------
    line : in the manifest. folder : of the head, beside the table; "" without one.
    code : of a failure, one of ``errors.EXIT_CODES``. reason, advice : its sentences.
    detail : the traceback of an error inside Likeness.
    photos_given : number. worker : machine and process id. attempts : number of starts in this run.
    """

    name: str
    status: Status
    line: int = 0
    folder: str = ""
    code: str = ""
    reason: str = ""
    advice: str = ""
    detail: str = ""
    photos_given: int | None = None
    worker: str = ""
    attempts: int = 0


FORMAT_VERSION = 1
FILE_NAME = "made_from.json"


class PhotoDigest(msgspec.Struct, frozen=True):
    """An input photo: its name and SHA-256; None where the file is missing, or of a kind that is never read."""

    name: str
    sha256: str | None


class Input(msgspec.Struct, frozen=True):
    """Everything that determines a head, on any machine. ``corrections`` : SHA-256 of their file."""

    photos: tuple[PhotoDigest, ...]
    options: PersonOptions
    stamp: Stamp
    corrections: str | None = None
    version: int = FORMAT_VERSION

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the input, 64 hexadecimal digits."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


class InputRecord(Measured, frozen=True, kw_only=True, omit_defaults=False):
    """``made_from.json``. ``device`` : where the networks ran."""

    input: Input
    device: str
    version: int = FORMAT_VERSION


def photos_in(photos: Sequence[tuple[str, Path]]) -> tuple[PhotoDigest, ...]:
    """Hash (name, path) of photos; one that cannot be read counts as missing."""
    most = ReadLimits().max_file_bytes
    return tuple(PhotoDigest(name, sha256_of(path, most)) for name, path in photos)


def made_before(folder: Path, fingerprint: str) -> InputRecord | None:
    """The record of the head in ``folder`` if it is complete and was made from the same input."""
    try:
        record = msgspec.json.decode((folder / FILE_NAME).read_bytes(), type=InputRecord)
    except (OSError, msgspec.DecodeError, RecursionError):
        return None
    complete = all((folder / name).is_file() for name in FILE_NAMES)
    return record if complete and record.fingerprint == fingerprint else None


def forget(folder: Path) -> None:
    """Delete the record before new files are written. Raises ``OSError``."""
    (folder / FILE_NAME).unlink(missing_ok=True)


def remember(folder: Path, record: InputRecord) -> None:
    """Write the record after all files. Raises ``LikenessError`` ("disk")."""
    write_file(folder / FILE_NAME, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def sha256_of(path: Path, most_bytes: int) -> str | None:
    """SHA-256 of a file; None where it cannot be read, is empty, is not a regular file or has more bytes."""
    try:
        return hashlib.sha256(read_file(path, ReadLimits(max_file_bytes=most_bytes))).hexdigest()
    except PhotoUnreadableError:
        return None
