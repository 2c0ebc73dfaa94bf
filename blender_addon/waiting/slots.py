"""Places for heads on the disk: numbered files in one folder, each with a lock that one Blender at a time has."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..backend_process.file_lock import FileLock, is_locked


@dataclass(frozen=True)
class Slot:
    """A place that this Blender has until it lets it go, or ends; ``path`` is that of its head's file."""

    path: Path
    lock: FileLock

    def delete(self) -> None:
        """Delete the head and let the place go. Raises ``OSError`` with the place kept where the system refuses it."""
        self.path.unlink(missing_ok=True)
        self.lock.release()


def free_slot(folder: Path) -> Slot:
    """The first place without a head that no Blender has. Raises ``OSError`` where none can be made."""
    number = 1
    while True:
        slot = None if _head(folder, number).exists() else _claimed(folder, number)
        if slot is not None:
            if not slot.path.exists():
                return slot
            slot.lock.release()
        number += 1


def left_behind(folder: Path) -> list[Slot]:
    """The heads whose Blenders are gone; this one has them now. What these were still writing is deleted."""
    try:
        names = os.listdir(folder)
    except OSError:  # most likely there is no such folder: no head ever waited
        return []
    matches = (re.fullmatch(r"([0-9]{1,9})\.(head|part)", name) for name in names)
    found = []
    for number in sorted({int(match[1]) for match in matches if match}):
        with contextlib.suppress(OSError):
            slot = _claimed(folder, number)
            if slot is None:
                continue
            slot.path.with_suffix(".part").unlink(missing_ok=True)
            if slot.path.is_file():
                found.append(slot)
            else:
                slot.lock.release()
    return found


def _head(folder: Path, number: int) -> Path:
    return folder / f"{number}.head"


def _claimed(folder: Path, number: int) -> Slot | None:
    """The place, None where another Blender has it. Raises ``OSError`` where there can be no lock."""
    path = _head(folder, number)
    lock = path.with_suffix(".lock")
    if is_locked(lock):
        return None
    try:
        return Slot(path, FileLock(lock))
    except BlockingIOError:  # another one was quicker by a moment
        return None
