"""What a reader of a data set declares, and the walk that they all share: items, what is missing, arrays with truth."""

import fnmatch
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from backend.errors import LikenessError
from trainer.engine.logs import SET_CARD

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
FORMAT = 1
_NAMED = 3
"""Missing files that a sentence names; more would hide it."""


class SetError(LikenessError):
    """A folder that is not the set, or only a part of it; the sentence says what is missing."""

    def __init__(self, sentence: str, advice: str = "") -> None:
        super().__init__("usage", sentence, advice)


class LeftOut(Exception):
    """Raised by ``Reader.read`` for an item that is not kept; the message is the reason."""


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
    if not root.is_dir():
        raise SetError(f"{root} is not a folder.", f"Name the folder of {reader.title}; it comes from {page(reader)}.")
    absent = [pattern for pattern in reader.needs if not _has(root, pattern)]
    if absent:
        advice = f"{reader.title} comes from {page(reader)}; name the folder that holds {', '.join(reader.needs)}."
        raise SetError(f"{root} is not {reader.title}: there is no {' and no '.join(absent)}.", advice)
    items = list(reader.items(root))
    if not items:
        raise SetError(f"{root} holds no entry of {reader.title}.", f"Expected: {', '.join(reader.needs)}.")
    whole = [item for item in items if all(path.is_file() for path in item.files.values())]
    if len(whole) < len(items) and not (partial and whole):
        gone = [path for item in items for path in item.files.values() if not path.is_file()]
        names = ", ".join(os.path.relpath(path, root) for path in gone[:_NAMED])
        more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
        raise SetError(
            f"{len(items) - len(whole)} of {len(items)} entries of {reader.title} lack files: {names}{more}.",
            "Download them and run again, or leave them out with --partial.",
        )
    repeated = {item.key for item in whole}
    if len(repeated) < len(whole):
        raise SetError(f"{root} holds entries of {reader.title} twice.", "Name one copy of the set.")
    return whole


def page(reader: Reader) -> str:
    """Where the set comes from."""
    return reader.licence.page


def _has(root: Path, pattern: str) -> bool:
    return any(True for _ in root.glob(pattern))


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
    """A path below ``root``, without its ending, as one word."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", path.relative_to(root).with_suffix("").as_posix())


@dataclass(frozen=True)
class PreparedSet:
    """A prepared folder with truth: its card, and its samples in order."""

    folder: Path
    card: Mapping[str, Any]

    @property
    def keys(self) -> list[str]:
        """Keys of the kept items, in the set's order."""
        return list(self.card["kept"])

    def person(self, key: str) -> str:
        """The person of an item."""
        return str(self.card["kept"][key])

    def sample(self, key: str) -> dict[str, np.ndarray]:
        """The item's arrays, as the reader's ``fields`` say."""
        with np.load(self.folder / "samples" / f"{key}.npz", allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}


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
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
