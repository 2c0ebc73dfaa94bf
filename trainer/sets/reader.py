"""What a reader of a data set declares, and the walk that they all share: items, what is missing, arrays with truth."""

import fnmatch
import hashlib
import multiprocessing
import os
import signal
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import ClassVar
from urllib.parse import quote

import numpy as np

from backend.system.processes import data_bytes, limit_memory, limit_time
from trainer.engine.disk_cache import LeftOut, SetError, inside

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
KEPT = "kept"
_NAMED = 3
"""Missing files that a sentence names; more would hide it."""
_LONGEST_KEY = 120
"""Letters of a key; names of files may have 255."""
_MEMORY_BYTES, _CPU_SECONDS, _MOST_BYTES = 2 << 30, 120.0, 512 << 20
"""Of one entry: memory beyond the imports (a scan of 50 MB as OBJ: an estimated 0.7 GB), processor time, size of
its arrays."""


@dataclass(frozen=True)
class Item:
    """One entry of a set: ``key``, unique and usable as a file's name; ``person``; its files by their purpose."""

    key: str
    person: str
    files: Mapping[str, Path]


@dataclass(frozen=True)
class Licence:
    """name : as the set's owners call it. research_only : weights trained on it may not be used commercially.
    page : where the terms and the download are."""

    name: str
    research_only: bool
    page: str


class Reader(ABC):
    """A set's layout on disk. A subclass declares it, lists its items and reads their truth.

    Attributes
    ----------
    name : on the command line. title : of the set. licence : see its class. layout : files that the folder must hold,
    patterns below it (``needs``), each with a match. unchecked : what could not be checked without the real set.
    fields : arrays of ``read``, name -> meaning, shape and unit; empty for photographs, which become portraits.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    licence: ClassVar[Licence]
    needs: ClassVar[tuple[str, ...]]
    unchecked: ClassVar[str]
    fields: ClassVar[Mapping[str, str]] = {}
    root = Path()
    """The set's folder, set by ``listed``."""

    @abstractmethod
    def items(self, root: Path) -> Iterator[Item]:
        """List the set's entries in a fixed order; files that its own lists name need not be there."""

    def read(self, item: Item) -> Mapping[str, np.ndarray]:
        """Return the arrays in ``fields``; raises ``LeftOut`` with the reason, ``OSError`` or ``ValueError`` for a
        damaged file."""
        raise TypeError(f"{type(self).__name__} has photographs, no truth")

    def photo(self, item: Item, scratch: Path) -> Path:
        """The item's photograph for the portraits; a frame of a video is written below ``scratch``."""
        del scratch
        return item.files["photo"]


def listed(reader: Reader, root: Path, partial: bool = False) -> list[Item]:
    """The items of a folder, checked: it exists, holds what the reader ``needs``, and every item has its files.

    partial : leave out items with missing files instead of refusing them.

    Raises
    ------
    SetError : one sentence that says what is missing.
    """
    source = f"{reader.title} comes from {reader.licence.page}"
    if not root.is_dir():
        raise SetError(f"{root} is not a folder.", f"Name the set's folder; {source}.")
    absent = [pattern for pattern in reader.needs if not any(root.glob(pattern))]
    if absent:
        advice = f"{source}; name the folder that holds {', '.join(reader.needs)}."
        raise SetError(f"{root} is not {reader.title}: there is no {' and no '.join(absent)}.", advice)
    reader.root = root
    try:
        items = list(reader.items(root))
    except SetError:
        raise
    except Exception as error:  # lists of others hold anything
        raise SetError(f"A list of {reader.title} in {root} is damaged ({error}).", "Download it again.") from error
    if not items:
        raise SetError(f"{root} holds no entry of {reader.title}.", f"Expected: {', '.join(reader.needs)}.")
    whole = [item for item in items if all(map(os.path.isfile, item.files.values()))]
    if len(whole) < len(items) and not (partial and whole):
        gone = [path for item in items for path in item.files.values() if not os.path.isfile(path)]
        names = ", ".join(os.path.relpath(path, root) for path in gone[:_NAMED])
        more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
        sentence = f"{len(items) - len(whole)} of {len(items)} entries of {reader.title} lack files: {names}{more}."
        raise SetError(sentence, "Download them and run again, or leave them out with --partial.")
    repeated = {item.key for item in whole}
    if len(repeated) < len(whole):
        raise SetError(f"{root} holds entries of {reader.title} twice.", "Name one copy of the set.")
    return whole


class LimitedReader(AbstractContextManager):
    """Reads entries in a child process with limits on memory and time: a file of others may crash its library."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._child: ProcessPoolExecutor | None = None

    def __call__(self, item: Item, out: Path) -> str:
        """Write the item's arrays to ``out``; returns ``KEPT`` or the reason why there is none."""
        if self._child is None:
            self._child = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _limit, (self._reader,))
            process = self._child.submit(os.getpid).result()  # one that cannot start is no damaged entry
            self._process = next(one for one in multiprocessing.active_children() if one.pid == process)
        try:
            return self._child.submit(_verdict, item, out).result()
        except BrokenProcessPool:
            self._child.shutdown()  # waits for the process; waited for by two threads, neither learnt how it ended
            self._child = None
            if self._process.exitcode == -9:  # SIGKILL, which the system sends
                return "was not read: memory ran out"
            return "is damaged: its reader crashed, or took too long"

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.shutdown()


_reader: Reader
"""Of this process, a child."""


def _limit(reader: Reader) -> None:
    """What a child starts with; the reader's imports do not count."""
    global _reader
    _reader = reader
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    Thread(target=lambda: (multiprocessing.parent_process().join(), os._exit(1)), daemon=True).start()
    warnings.simplefilter("error", np.exceptions.ComplexWarning)
    limit_memory(data_bytes() + _MEMORY_BYTES)


def _verdict(item: Item, out: Path) -> str:
    """Read an entry and write its arrays; in the child."""
    limit_time(_CPU_SECONDS)
    try:
        for path in item.files.values():
            inside(path, _reader.root)
        arrays = _reader.read(item)
        if arrays.keys() != _reader.fields.keys():
            raise TypeError(f"{_reader.name} reads {sorted(arrays)}, not {sorted(_reader.fields)}")
        for name, values in arrays.items():
            if values.dtype.kind not in "biufU" or (values.dtype.kind == "f" and not np.isfinite(values).all()):
                raise LeftOut(f"{name} holds values that are not numbers")
        if sum(values.nbytes for values in arrays.values()) > _MOST_BYTES:
            raise LeftOut("is too large")
        partial = out.with_name(".part")
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
        partial.replace(out)
    except LeftOut as reason:
        return str(reason)
    except MemoryError:
        return "takes too much memory"
    except Exception as error:  # libraries raise anything on damaged files
        return f"cannot be read ({type(error).__name__})"
    return KEPT


def files_below(root: Path, *suffixes: str, match: str = "*") -> list[Path]:
    """Files below ``root`` with one of the suffixes, sorted by path; hidden ones left out."""
    paths = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += [
            Path(folder) / name
            for name in sorted(names)
            if name.lower().endswith(suffixes) and not name.startswith(".") and fnmatch.fnmatch(name, match)
        ]
    return paths


def key_of(path: Path, root: Path) -> str:
    """A path below ``root`` as one word; another path has another one."""
    name = quote(path.relative_to(root).as_posix(), safe="")
    return name if len(name) <= _LONGEST_KEY else hashlib.sha256(name.encode()).hexdigest()
