"""Slots for heads on disk: numbered files in one folder, each with a lock for one Blender at a time."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..backend_process.file_lock import FileLock, is_locked


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
    """Claim a slot, None if another Blender holds it. Raises ``OSError`` if locks are not available."""
    path = _head(folder, number)
    lock = path.with_suffix(".lock")
    if is_locked(lock):
        return None
    try:
        return Slot(path, FileLock(lock))
    except BlockingIOError:  # another Blender was faster
        return None
