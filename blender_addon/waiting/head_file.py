"""The file of a head that waits: a note that says whose head it is, and behind it buffers (docs/files.md)."""

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
"""Of a whole file; a head from photos that a .blend holds has all of these in it."""
_WINDOWS_DISK_FULL = 112
_NOTE_CHECKSUM = "note_crc32"
"""Of the rest of the note; files of earlier versions have none."""


def write(path: Path, note: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
    """Write the whole file or none; what is written is safe on the disk afterwards.

    Raises ``AddonError`` ``not_kept`` where the disk does not take it.
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
    """The note alone, of a file that is as long as it says; quick, however large the file is.

    Raises ``AddonError``: ``damaged``, ``version`` for a file of another version, ``disk`` where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _note(file)
    except OSError as error:
        raise _unreadable(error) from error


def read(path: Path) -> tuple[dict[str, Any], list[bytes]]:
    """Note and buffers. Takes its time, and raises as ``read_note`` does."""
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
    """Nothing can be done with a file that is not as it was written."""
    return AddonError(
        "The file of a head that waited is damaged.", "Throw it away, and reconstruct the face again.", "damaged"
    )


def other_version() -> AddonError:
    """What another version of the extension has kept is left to that."""
    return AddonError(
        "A head was kept by another version of the extension.",
        "Put it into a scene with that version, or throw it away.",
        "version",
    )


def not_kept(why: str) -> AddonError:
    """A head is in memory alone; ``why`` is half a sentence."""
    return AddonError(
        f"The head could not be kept on the disk: {why}.", "Put it into a scene before you quit Blender.", "not_kept"
    )


def refused(error: OSError) -> AddonError:
    """``not_kept`` for what the system says."""
    full = error.errno == errno.ENOSPC or getattr(error, "winerror", None) == _WINDOWS_DISK_FULL
    return not_kept("the disk is full" if full else error.strerror or str(error))


def _unreadable(error: OSError) -> AddonError:
    return AddonError(
        f"The file of a head that waits cannot be read ({error.strerror or error}).",
        "Check the disk and try again, or throw the head away.",
        "disk",
    )


def _note(file: BinaryIO) -> dict[str, Any]:
    """The note at the file's beginning; the file is read up to the first buffer then."""
    whole = os.fstat(file.fileno()).st_size
    start = file.read(16)
    length = int.from_bytes(start[8:], "little")
    if start[:8] != MAGIC or not 0 < length <= MOST_NOTE_BYTES:
        raise damaged()
    try:
        note = json.loads(file.read(length).decode("utf-8"))
        if checked_field(note, "version", int) != VERSION:
            raise other_version()
        if _NOTE_CHECKSUM in note and note.pop(_NOTE_CHECKSUM) != _note_checksum(note):
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
