"""What is kept outside the repository: results that take long, addressed by their inputs' content; the data beside it;
rows of arrays in memory-mapped files.
"""

import hashlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def shared_folder() -> Path:
    """Return ``$LIKENESS_SHARED``, or ``../shared`` where that is unset or empty; the folder may be missing."""
    chosen = os.environ.get("LIKENESS_SHARED")
    return Path(chosen) if chosen else Path(__file__).resolve().parents[2].parent / "shared"


def mapped(path: Path, shape: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
    """Map an array from a file; a missing file is made, full of zeros.

    Raises ``ValueError`` when the file holds another shape or type.
    """
    if not path.is_file():
        partial = path.with_suffix(f".{uuid.uuid4().hex}.part")  # another process may be about to make it too
        np.lib.format.open_memmap(partial, mode="w+", dtype=dtype, shape=shape).flush()
        partial.replace(path)
    array = np.load(path, mmap_mode="r+", allow_pickle=False)
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise ValueError(f"{path} does not fit; delete its folder")
    return array


def missing_runs(made: np.ndarray, rows: np.ndarray, longest: int) -> Iterator[np.ndarray]:
    """Yield those of ``rows`` that are 0 in ``made`` (count,), in runs of adjacent rows, at most ``longest`` at
    once."""
    missing = np.unique(rows[made[rows] == 0])
    for run in np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1):
        for start in range(0, len(run), longest):
            yield run[start : start + longest]


def cache_folder() -> Path:
    """Return ``$LIKENESS_CACHE``, else ``$XDG_CACHE_HOME/likeness``, else ``~/.cache/likeness``; a temporary folder
    where that cannot be written."""
    chosen = os.environ.get("LIKENESS_CACHE")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "likeness"
    try:
        base.mkdir(parents=True, exist_ok=True)
        if os.access(base, os.W_OK):
            return base
    except OSError:
        pass
    base = Path(tempfile.gettempdir()) / f"likeness-{os.getuid()}"
    base.mkdir(parents=True, exist_ok=True)
    return base


def content_key(*parts: object) -> str:
    """Hash the inputs: arrays by their bytes, paths by their files' bytes, everything else by ``repr``."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(repr((part.shape, part.dtype.str)).encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, Path):
            digest.update(part.read_bytes())
        else:
            digest.update(repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:24]


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically, so that no reader finds it incomplete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.replace(name, path)


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write an uncompressed ``.npz`` atomically."""
    import io

    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getvalue())
