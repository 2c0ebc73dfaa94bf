"""A reconstruction as it was started, and heads that wait on disk until a file takes them in.

A head waits in a numbered file of one folder (a slot), each with a lock for one Blender at a time: a ZIP of a note that
says when it was made and of which job, and of buffers (docs/files.md).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import struct
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .client.conversation import parse_header
from .client.photo_files import unique_labels
from .client.submissions import PhotoCorrections, PhotoFile
from .errors import AddonError
from .objects.tags import Place
from .protocol.result import HeadResult, decode_result
from .shared.file_lock import FileLock, is_locked, lock_file
from .shared.options import HeadOptions

_KEPT_FIELDS = {
    "missing": int, "frame": bool,
    "material_preview": bool, "pack_photos": bool, "armature": bool, "name": str,
}  # fmt: skip
"""Fields of a ``Job`` that matter once the result is there, with their types."""
VERSION = 1
MOST_NOTE_BYTES = 2**20
MOST_BUFFERS = 1024
MOST_BYTES = 2**31
"""Limit for a whole file; if the .blend holds the photos, the file contains all of them."""
_WINDOWS_DISK_FULL = 112
_DAMAGES = (zipfile.BadZipFile, ValueError, EOFError, RuntimeError, struct.error)
"""What ``zipfile`` and ``json`` raise for a file that is not as it was written."""


@dataclass(frozen=True)
class Job:
    """Settings of a reconstruction.

    Attributes
    ----------
    place : the scene whose photo list is used and which gets the head, and what was shown of it.
    photos : photos to send, old and new.
    given : (path as listed, label it was sent under) of the list.
    name : the person's, for a new head; may be empty.
    options : of the head; its look is a photo's label.
    armature : whether the head gets bones.
    frame : whether views turn to a new head.
    material_preview : whether views in Solid then switch to Material Preview.
    corrections : the artist's corrections of photos, by label.
    only : what alone of ``into`` is made anew: one of ``ONLY``.
    head : token of the job that solved ``into`` last; of this head the backend makes hair or texture alone.
    into : id of the head to solve again, None for a new one.
    missing : number of its photos whose files are gone.
    """

    place: Place
    photos: tuple[PhotoFile, ...]
    given: tuple[tuple[str, str], ...]
    options: HeadOptions = field(default_factory=HeadOptions)
    into: str | None = None
    missing: int = 0
    frame: bool = True
    material_preview: bool = False
    pack_photos: bool = True
    armature: bool = False
    name: str = ""
    corrections: tuple[PhotoCorrections, ...] = ()
    only: str = ""
    head: str = ""


@dataclass(frozen=True)
class Slot:
    """A slot that this Blender holds until it is released or Blender ends; ``path`` is its head's file."""

    path: Path
    lock: FileLock

    def delete(self) -> None:
        """Delete the head and release the slot. Raises ``OSError``, keeping the slot, if the system refuses."""
        self.path.unlink(missing_ok=True)
        self.lock.release()


def free_slot(folder: Path) -> Slot:
    """Claim the first slot without a head. Raises ``OSError`` if none can be created."""
    number = 1
    while True:
        slot = None if _head(folder, number).exists() else _claimed(folder, number)
        if slot is not None:
            if not slot.path.exists():
                return slot
            slot.lock.release()
        number += 1


def left_behind(folder: Path) -> list[Slot]:
    """Claim the heads of Blenders that ended. Files that they were still writing are deleted."""
    try:
        names = os.listdir(folder)
    except OSError:  # most likely the folder does not exist because no head ever waited
        return []
    matches = (re.fullmatch(r"([0-9]{1,9})\.(head|part)", name) for name in names)
    slots = []
    for number in sorted({int(match[1]) for match in matches if match}):
        with contextlib.suppress(OSError):
            slot = _claimed(folder, number)
            if slot is None:
                continue
            slot.path.with_suffix(".part").unlink(missing_ok=True)
            if slot.path.is_file():
                slots.append(slot)
            else:
                slot.lock.release()
    return slots


def _head(folder: Path, number: int) -> Path:
    return folder / f"{number}.head"


def _claimed(folder: Path, number: int) -> Slot | None:
    """Claim a slot, None if another Blender holds it. Raises ``OSError`` if locks are not available."""
    path = _head(folder, number)
    lock = path.with_suffix(".lock")
    if is_locked(lock):
        return None
    taken = lock_file(lock, mode=0o600)
    return None if taken is None else Slot(path, taken)  # None: another Blender was faster


@dataclass(frozen=True)
class HeadNote:
    """Note of a waiting head.

    Attributes
    ----------
    kept_at : seconds since 1970.
    seconds : from the click to the result.
    fields : of the ``Job``, all but its place; a photo has its path, or its bytes are among the file's buffers.
    """

    kept_at: float
    seconds: float
    fields: Mapping[str, Any]

    @property
    def into(self) -> str | None:
        """Id of the head to solve again, None for a new one."""
        return self.fields["into"]

    @property
    def embedded(self) -> int:
        """Number of photos whose bytes are in the file."""
        return sum(photo.path is None for photo in self.fields["photos"])

    @property
    def words(self) -> str:
        """The person's name, and since when the head waits."""
        first, *others = (photo.label for photo in self.fields["photos"])
        (first,) = unique_labels([first])  # as written; or from an edited file, so sanitised for display
        rest = "" if not others else f" and {len(others)} more photo{'' if len(others) == 1 else 's'}"
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.kept_at))
        return f"A head from {first}{rest} is ready, since {since}"

    def job(self, place: Place, embedded: list[bytes]) -> Job:
        """The job with a scene of this Blender and the photo bytes from the file."""
        contents = iter(embedded)
        photos = [p if p.path else replace(p, data=next(contents)) for p in self.fields["photos"]]
        return Job(place=place, **{**self.fields, "photos": tuple(photos)})


def note_of(job: Job, seconds: float) -> tuple[dict[str, Any], list[bytes]]:
    """A note, JSON-ready, and the bytes of photos without a file."""
    note = {
        "kept_at": time.time(),
        "seconds": float(seconds),
        "photos": [{"label": p.label, "path": None if p.path is None else str(p.path)} for p in job.photos],
        "given": [list(pair) for pair in job.given],
        "into": job.into,
        "options": job.options.changed(),
        **{name: getattr(job, name) for name in _KEPT_FIELDS},
    }
    return note, [photo.data or b"" for photo in job.photos if photo.path is None]


def parse_note(note: Mapping[str, Any]) -> HeadNote:
    """Parse a note from JSON. Raises ``AddonError`` ``damaged`` for anything that ``note_of`` does not write."""
    try:
        time.localtime(note["kept_at"])
        photos = [PhotoFile(str(photo["label"]), photo["path"] and Path(photo["path"])) for photo in note["photos"]]
        fields = {
            "photos": (photos[0], *photos[1:]),
            "given": tuple((str(path), str(label)) for path, label in note["given"]),
            "into": note["into"],
            "options": HeadOptions.of(note["options"]),
            **{name: kind(note[name]) for name, kind in _KEPT_FIELDS.items()},
        }
        return HeadNote(float(note["kept_at"]), float(note["seconds"]), fields)
    except (AttributeError, LookupError, OSError, OverflowError, TypeError, ValueError) as error:
        raise damaged() from error


def write(path: Path, note: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
    """Write the file atomically and flush it to disk.

    Raises ``AddonError`` ``not_kept`` if the disk refuses.
    """
    text = json.dumps({**note, "version": VERSION}).encode("ascii")
    if sum(map(len, buffers)) > MOST_BYTES or len(buffers) > MOST_BUFFERS or len(text) > MOST_NOTE_BYTES:
        raise not_kept("it is too large")
    part = path.with_suffix(".part")
    try:
        with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("note.json", text)
                for number, buffer in enumerate(buffers):
                    archive.writestr(str(number), buffer)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise refused(error) from error


def read_note(path: Path) -> dict[str, Any]:
    """Read only the note; fast, however large the file is.

    Raises ``AddonError``: ``damaged``, ``version`` for a file of another version, ``disk`` if it cannot be read.
    """
    with _archive(path) as archive:
        return _note(archive)


def read(path: Path) -> tuple[dict[str, Any], list[bytes]]:
    """Read note and buffers; slow for large files. Raises as ``read_note`` does."""
    with _archive(path) as archive:
        return _note(archive), [archive.read(entry) for entry in archive.infolist()[1:]]


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            yield archive
    except OSError as error:
        raise AddonError(
            f"The file of a head that waits cannot be read ({error.strerror or error}).",
            "Check the disk and try again, or throw the head away.",
            "disk",
        ) from error
    except _DAMAGES as error:
        raise damaged() from error


def _note(archive: zipfile.ZipFile) -> dict[str, Any]:
    entries = archive.infolist()
    if not 0 < len(entries) <= MOST_BUFFERS + 1 or entries[0].file_size > MOST_NOTE_BYTES:
        raise damaged()
    if sum(one.file_size for one in entries) > MOST_BYTES + MOST_NOTE_BYTES or any(
        one.compress_type for one in entries
    ):
        raise damaged()
    note = json.loads(archive.read(entries[0]))
    if not isinstance(note, dict) or type(note.get("version")) is not int:
        raise damaged()
    if note["version"] != VERSION:
        raise other_version()
    return note


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


@dataclass(frozen=True)
class WaitingHead:
    """A head on disk. ``note`` is None if unreadable; ``problem`` is the reason why it cannot be used."""

    slot: Slot
    note: HeadNote | None
    problem: AddonError | None = None

    @property
    def name(self) -> str:
        """Its key while this Blender runs."""
        return self.slot.path.stem


@dataclass(frozen=True)
class LoadedHead:
    """A head read from disk, with its job and the seconds that it took."""

    job: Job
    result: HeadResult
    seconds: float


class WaitingHeads:
    """Waiting heads in ``folder``, locked against other Blenders.

    ``offered`` : heads that wait for the artist, oldest first. The session may have one more, which is written or read
        on a thread: ``keep`` or ``take`` begins that, ``forget`` or ``put_back`` ends it; ``is_offered_head`` : whether
        that was an offered one. Use on the main thread only.
    """

    def __init__(self, folder: Path) -> None:
        self.offered: tuple[WaitingHead, ...] = ()
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, "likeness-heads")
        self._current: Future[WaitingHead] | None = None
        self._reading: Future[LoadedHead] | None = None
        self.is_offered_head = False

    @property
    def writing(self) -> bool:
        """Whether the session's head is being written."""
        return self._current is not None and not self._current.done()

    @property
    def problem(self) -> AddonError | None:
        """Why the waiting head is only in memory, not on disk; None if it is on disk or being written."""
        if self._current is None or not self._current.done():
            return None
        return _as_addon_error(self._current.exception())

    def look(self) -> bool:
        """Offer the heads that other Blenders left behind; return whether there were any. Reads little, so it is
        fast."""
        heads = [_seen(slot) for slot in left_behind(self._folder)]
        self._offer(*heads)
        return len(heads) > 0

    def offered_head(self, name: str) -> WaitingHead:
        """The offered head with this name, the first one for "". Raises ``AddonError`` ``gone`` if there is none."""
        head = next((head for head in self.offered if name in ("", head.name)), None)
        if head is None:
            raise AddonError("That head does not wait any more.", "Look at the panel once more.", "gone")
        return head

    def keep(self, job: Job, seconds: float, message: tuple[bytes, ...]) -> None:
        """Begin to write the session's head, which waits from now on; no effect if already begun."""
        if self._current is None:
            self._current = self._thread.submit(_keep, self._folder, job, seconds, message)

    def take(self, head: WaitingHead, place: Place) -> None:
        """Begin to read an offered head for a scene; ``taken`` returns it."""
        self.offered = tuple(other for other in self.offered if other is not head)
        self._current, self.is_offered_head = Future(), True
        self._current.set_result(head)
        self._reading = self._thread.submit(_read, head, place)

    def taken(self) -> LoadedHead | None:
        """The head that was read, once; None before. Raises ``AddonError`` if reading failed."""
        if self._reading is None or not self._reading.done():
            return None
        reading, self._reading = self._reading, None
        if (error := _as_addon_error(reading.exception())) is not None:
            raise error
        return reading.result()

    def forget(self) -> None:
        """Delete the file of the session's head, if any, in the background: it is in a scene, or discarded."""
        current = self._let_go()
        if current is not None:
            self._thread.submit(_delete, current)

    def put_back(self, error: AddonError | None = None) -> None:
        """Offer the session's head, if it has a file; ``error`` is why it could not be put into the scene.

        Not while ``writing``, because it would wait for the end of the write.
        """
        current = self._let_go()
        if current is not None and current.exception() is None:
            problem = None
            if error is not None and error.code in ("damaged", "version"):
                # a new error, because the traceback of ``error`` keeps the whole file in memory
                problem = AddonError(error.sentence, error.advice, error.code)
            self._offer(replace(current.result(), problem=problem))

    def discard_offered(self, head: WaitingHead) -> None:
        """Delete an offered head. Raises ``AddonError`` ``disk``; the head then stays offered."""
        try:
            head.slot.delete()
        except OSError as error:
            raise AddonError(
                f"The head could not be deleted ({error.strerror or error}).",
                f"Try again, or delete the file {head.slot.path} yourself.",
                "disk",
            ) from error
        self.offered = tuple(other for other in self.offered if other is not head)

    def close(self) -> None:
        """Finish writing and release all heads, so that another Blender can offer them."""
        current = self._let_go()
        self._thread.shutdown(wait=True)
        if current is not None and current.exception() is None:
            current.result().slot.lock.release()
        for head in self.offered:
            head.slot.lock.release()
        self.offered = ()

    def _offer(self, *heads: WaitingHead) -> None:
        self.offered = tuple(sorted((*self.offered, *heads), key=lambda head: head.note.kept_at if head.note else 0.0))

    def _let_go(self) -> Future[WaitingHead] | None:
        current = self._current
        if self._reading is not None:
            self._reading.cancel()
        self._current = self._reading = None
        self.is_offered_head = False
        return current


def _seen(slot: Slot) -> WaitingHead:
    try:
        return WaitingHead(slot, parse_note(read_note(slot.path)))
    except AddonError as error:
        return WaitingHead(slot, None, error)


def _keep(folder: Path, job: Job, seconds: float, message: tuple[bytes, ...]) -> WaitingHead:
    note, photos = note_of(job, seconds)
    try:
        slot = free_slot(folder)
    except OSError as error:
        raise refused(error) from error
    try:
        write(slot.path, note, (*message, *photos))
    except BaseException:
        slot.lock.release()
        raise
    return WaitingHead(slot, parse_note(note))


def _read(head: WaitingHead, place: Place) -> LoadedHead:
    """Read a head and check it like a message from the network. Raises ``AddonError``."""
    raw, buffers = read(head.slot.path)
    try:
        note = parse_note(raw)
        if len(buffers) <= note.embedded:
            raise damaged()
        split = len(buffers) - note.embedded
        result = decode_result(parse_header(buffers[0]), buffers[1:split])
    except AddonError as error:
        raise (other_version() if error.code == "version" else damaged()) from error
    return LoadedHead(note.job(place, buffers[split:]), result, note.seconds)


def _delete(current: Future[WaitingHead]) -> None:
    if current.exception() is None:
        with contextlib.suppress(OSError):  # at worst it is offered once more
            current.result().slot.delete()


def _as_addon_error(error: BaseException | None) -> AddonError | None:
    """Convert the thread's exception; an unexpected one becomes an error to report."""
    if error is None or isinstance(error, AddonError):
        return error
    return AddonError(f"A head that waits could not be written or read: {error!r}.", "Please report it.")
