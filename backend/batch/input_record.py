"""``made_from.json`` beside a head: a record of its input, so that a second run can skip it (docs/files.md)."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from backend.batch.person import PersonOptions
from backend.batch.stamp import Stamp
from backend.exchange.all_or_none import write_file
from backend.exchange.file_names import FILE_NAMES
from backend.photos.reading.source import ReadLimits

FILE_NAME = "made_from.json"
FORMAT_VERSION = 1
_BLOCK = 1 << 20


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


class InputRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``made_from.json``.

    Attributes
    ----------
    fingerprint : of ``input``. seconds, cpu_seconds : duration. photos_used : number of the given ones.
    peak_rss_mb : peak memory of the worker so far, in 10⁶ bytes. device : where the networks ran.
    """

    fingerprint: str
    input: Input
    seconds: float
    cpu_seconds: float
    photos_used: int
    peak_rss_mb: float | None
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
    """SHA-256 of a file; None where it cannot be read, is not a regular file or has more bytes."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > most_bytes:
            return None
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()
