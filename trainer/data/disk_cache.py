"""Disk cache outside the repository for results that take long to make, addressed by their inputs' content."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np


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
