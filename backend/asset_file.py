"""Load arrays that ship with Likeness, and verify their checksums."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from backend.errors import DamagedFileError
from backend.safetensors_file import ArrayFile, BrokenTensorFileError, read_arrays


def read_asset(path: Path) -> ArrayFile:
    """Read a file of ``assets/`` that contains its own checksum.

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


def read_table(path: Path) -> Mapping[str, np.ndarray]:
    """Read the arrays of a shipped ``.npz`` file, verified by the archive's checksums; never unpickles.

    Raises
    ------
    DamagedFileError : the file is missing, cut off or changed.
    """
    try:
        content = io.BytesIO(path.read_bytes())
        with zipfile.ZipFile(content) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise zipfile.BadZipFile(broken)
        content.seek(0)
        with np.load(content, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except OSError as error:
        raise DamagedFileError(path, f"it cannot be read ({error.strerror})") from error
    except Exception as error:  # numpy and zipfile raise many kinds of errors, even Python's tokenizer's
        raise DamagedFileError(path, "its content is not what was written") from error
