"""Waiting heads of this Blender: those left behind by others, and the one of its session."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from ..client.messages import parse_header
from ..errors import AddonError
from ..job import Job
from ..protocol.result import HeadResult, decode_result
from ..scene.place import Place
from . import head_file
from .head_note import HeadNote, note_of, parse_note
from .slots import Slot, free_slot, left_behind


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
        on a thread: ``keep`` or ``take`` begins that, ``forget`` or ``put_back`` ends it. Use on the main thread only.
    """

    def __init__(self, folder: Path) -> None:
        self.offered: tuple[WaitingHead, ...] = ()
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, "likeness-heads")
        self._current: Future[WaitingHead] | None = None
        self._reading: Future[LoadedHead] | None = None
        self._was_offered = False

    @property
    def is_offered_head(self) -> bool:
        """Whether the session's head was an offered one."""
        return self._was_offered

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
        found = [_seen(slot) for slot in left_behind(self._folder)]
        self._offer(*found)
        return len(found) > 0

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
        self._current, self._was_offered = Future(), True
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

    def throw_away(self, head: WaitingHead) -> None:
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
        self._was_offered = False
        return current


def _seen(slot: Slot) -> WaitingHead:
    try:
        return WaitingHead(slot, parse_note(head_file.read_note(slot.path)))
    except AddonError as error:
        return WaitingHead(slot, None, head_file.damaged() if error.code == "malformed" else error)


def _keep(folder: Path, job: Job, seconds: float, message: tuple[bytes, ...]) -> WaitingHead:
    note, photos = note_of(job, seconds)
    try:
        slot = free_slot(folder)
    except OSError as error:
        raise head_file.refused(error) from error
    try:
        head_file.write(slot.path, note, (*message, *photos))
    except BaseException:
        slot.lock.release()
        raise
    return WaitingHead(slot, parse_note(note))


def _read(head: WaitingHead, place: Place) -> LoadedHead:
    """Read a head and check it like a message from the network. Raises ``AddonError``."""
    raw, buffers = head_file.read(head.slot.path)
    try:
        note = parse_note(raw)
        if len(buffers) <= note.embedded:
            raise head_file.damaged()
        split = len(buffers) - note.embedded
        result = decode_result(parse_header(buffers[0]), buffers[1:split])
    except AddonError as error:
        raise (head_file.other_version() if error.code == "version" else head_file.damaged()) from error
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
