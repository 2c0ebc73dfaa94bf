"""What is kept outside the repository: results that take long, addressed by their inputs' content; the data beside it;
rows of arrays in memory-mapped files; data sets that ``python -m trainer data`` prepared.
"""

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backend.errors import LikenessError

SET_CARD = "card.json"
"""File in a prepared data set with its licence; see ``trainer.sets.prepare.write_card``."""
FORMAT = 1


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


class SetError(LikenessError):
    """A folder that is not the set, or only a part of it; the sentence says what is missing."""

    def __init__(self, sentence: str, advice: str = "") -> None:
        super().__init__("usage", sentence, advice)


class LeftOut(Exception):
    """Raised by a set's ``read`` for an item that is not kept; the message is the reason."""


def inside(path: Path, root: Path) -> Path:
    """The path, links followed; raises ``LeftOut`` where that is not below ``root``."""
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(os.path.realpath(root)):
        raise LeftOut("lies outside the folder")
    return real


@dataclass(frozen=True)
class PreparedSet:
    """A prepared folder with truth: its card, and its samples in order."""

    folder: Path
    card: Mapping[str, Any]

    @property
    def keys(self) -> list[str]:
        """Keys of the kept items, in the set's order."""
        return list(self.card["kept"])

    def sample(self, key: str) -> dict[str, np.ndarray]:
        """The item's arrays, as the reader's ``fields`` say."""
        path = self.folder / "samples" / f"{key}.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except Exception as error:  # zipfile, zlib and numpy raise anything on damaged files
            raise SetError(f"{path} is damaged.", "Delete it and prepare the set again.") from error

    def samples(self, most: int) -> Iterator[dict[str, np.ndarray]]:
        """The first ``most`` items' arrays (0: all)."""
        return map(self.sample, self.keys[: most or None])

    def photo(self, name: str) -> Path:
        """A photo of the set; raises ``LeftOut`` where it is not below the set's folder."""
        root = Path(self.card["root"])
        return inside(root / name, root)


def open_prepared(folder: Path, name: str) -> PreparedSet:
    """Open a prepared set; raises ``SetError`` where the folder is not one, or of another set."""
    card = read_card(folder)
    if card is None:
        advice = f"Prepare it: python -m trainer data {name} SET --out {folder}."
        raise SetError(f"{folder} is not a prepared set.", advice)
    if card["name"] != name:
        raise SetError(f"{folder} holds {card['name']}, not {name}.", f"Write --data {card['name']}={folder}.")
    if card["format"] != FORMAT:
        raise SetError(f"{folder} was prepared by another version.", "Delete it and prepare it again.")
    return PreparedSet(folder, card)


def read_card(folder: Path) -> dict[str, Any] | None:
    """The card of a prepared folder, or None where there is none."""
    path = folder / SET_CARD
    if not path.is_file():
        return None
    try:
        card = json.loads(path.read_bytes())
        kinds = {"name": str, "title": str, "root": str, "format": int, "kept": dict}
        if not all(isinstance(card[name], kind) for name, kind in kinds.items()):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SetError(f"{path} is damaged.", "Delete it and prepare the set again.") from error
    return card
