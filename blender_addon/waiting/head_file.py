"""File of a waiting head: a note that identifies the head, followed by buffers (docs/files.md)."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import AddonError
from ..protocol.buffers import checked_field

VERSION = 1
MAGIC = b"LIKENESS"
MOST_NOTE_BYTES = 2**20
MOST_BUFFERS = 1024
MOST_BYTES = 2**31
"""Limit for a whole file; if the .blend holds the photos, the file contains all of them."""
_WINDOWS_DISK_FULL = 112
_NOTE_CHECKSUM = "note_crc32"
"""Key of the checksum over the rest of the note."""


def write(path: Path, note: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
    """Write the file atomically and flush it to disk.

    Raises ``AddonError`` ``not_kept`` if the disk refuses.
    """
    checksum = 0
    for buffer in buffers:
        checksum = zlib.crc32(buffer, checksum)
    sizes = [len(buffer) for buffer in buffers]
    told = {**note, "version": VERSION, "buffers": sizes, "crc32": checksum}
    text = json.dumps({**told, _NOTE_CHECKSUM: _note_checksum(told)}).encode("ascii")
    if sum(sizes) > MOST_BYTES or len(sizes) > MOST_BUFFERS or len(text) > MOST_NOTE_BYTES:
        raise not_kept("it is too large")
    part = path.with_suffix(".part")
    try:
        with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            for piece in (MAGIC, len(text).to_bytes(8, "little"), text, *buffers):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise refused(error) from error


def read_note(path: Path) -> dict[str, Any]:
    """Read only the note, of a file whose length is correct; fast, however large the file is.

    Raises ``AddonError``: ``damaged``, ``version`` for a file of another version, ``disk`` if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _note(file)
    except OSError as error:
        raise _unreadable(error) from error


def read(path: Path) -> tuple[dict[str, Any], list[bytes]]:
    """Read note and buffers; slow for large files. Raises as ``read_note`` does."""
    try:
        with path.open("rb") as file:
            note = _note(file)
            buffers = [file.read(size) for size in note["buffers"]]
    except OSError as error:
        raise _unreadable(error) from error
    checksum = 0
    for buffer in buffers:
        checksum = zlib.crc32(buffer, checksum)
    if checksum != note["crc32"]:
        raise damaged()
    return note, buffers


def _note_checksum(note: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(note).encode("ascii"))


def damaged() -> AddonError:
    """The error for a file that is not as it was written."""
    return AddonError(
        "The file of a head that waited is damaged.", "Throw it away, and reconstruct the face again.", "damaged"
    )


def other_version() -> AddonError:
    """The error for a file of another version of the extension, which is left alone."""
    return AddonError(
        "A head was kept by another version of the extension.",
        "Put it into a scene with that version, or throw it away.",
        "version",
    )


def not_kept(why: str) -> AddonError:
    """The error for a head that exists only in memory; ``why`` is half a sentence."""
    return AddonError(
        f"The head could not be kept on the disk: {why}.", "Put it into a scene before you quit Blender.", "not_kept"
    )


def refused(error: OSError) -> AddonError:
    """``not_kept`` with the system's reason."""
    full = error.errno == errno.ENOSPC or getattr(error, "winerror", None) == _WINDOWS_DISK_FULL
    return not_kept("the disk is full" if full else error.strerror or str(error))


def _unreadable(error: OSError) -> AddonError:
    return AddonError(
        f"The file of a head that waits cannot be read ({error.strerror or error}).",
        "Check the disk and try again, or throw the head away.",
        "disk",
    )


def _note(file: BinaryIO) -> dict[str, Any]:
    """Read the note at the file's beginning; leaves the file at the first buffer."""
    whole = os.fstat(file.fileno()).st_size
    start = file.read(16)
    length = int.from_bytes(start[8:], "little")
    if start[:8] != MAGIC or not 0 < length <= MOST_NOTE_BYTES:
        raise damaged()
    try:
        note = json.loads(file.read(length).decode("utf-8"))
        if checked_field(note, "version", int) != VERSION:
            raise other_version()
        if note.pop(_NOTE_CHECKSUM, None) != _note_checksum(note):
            raise damaged()
        sizes = checked_field(note, "buffers", list)
        checked_field(note, "crc32", int)
    except (ValueError, RecursionError) as error:
        raise damaged() from error
    except AddonError as error:
        raise (error if error.code == "version" else damaged()) from error
    if len(sizes) > MOST_BUFFERS or not all(type(size) is int and size >= 0 for size in sizes):
        raise damaged()
    if sum(sizes) > MOST_BYTES or whole != 16 + length + sum(sizes):
        raise damaged()
    return note
