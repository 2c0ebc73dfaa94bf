"""Arrays that ship with Likeness, compared with their checksum once a load."""

from __future__ import annotations

from pathlib import Path

from backend.errors import DamagedFileError
from backend.safetensors_file import ArrayFile, BrokenTensorFileError, read_arrays


def read_asset(path: Path) -> ArrayFile:
    """A file of ``assets/`` that has a checksum of its own.

    Raises
    ------
    DamagedFileError : the file is missing, cut off, changed, or without a checksum.
    """
    try:
        found = read_arrays(path)
    except (OSError, BrokenTensorFileError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its content is not what was written"
        raise DamagedFileError(path, f"it cannot be read ({reason})") from error
    if not found.checked:
        raise DamagedFileError(path, "it has no checksum")
    return found
