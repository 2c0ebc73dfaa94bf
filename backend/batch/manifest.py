"""The manifest, a list of people: a CSV table, JSON lines (docs/files.md, *A manifest*), or a folder of folders."""

import csv
import io
import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from backend.errors import LikenessError
from backend.options import FILE_DEFAULTS, option_struct, options_of
from protocol.options import OPTIONS
from protocol.photo_folder import people_folder

_OPTIONS = {one.word.replace("-", "_"): one for one in OPTIONS.values()}
"""Column of a manifest -> option."""


class PersonOptions(
    option_struct("Options", FILE_DEFAULTS, {one.name: column for column, one in _OPTIONS.items()}),
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
):
    """Options of one head; the same as those of ``reconstruct``."""


_Path = Annotated[str, msgspec.Meta(min_length=1, pattern=r"\A[^\0]*\Z")]


class _Line(PersonOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    photos: Annotated[list[_Path], msgspec.Meta(min_length=1)] | None = None
    folder: _Path | None = None
    corrections: _Path | None = None


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One person.

    Attributes
    ----------
    name : also the name of the head's folder. line : of the manifest, from 1.
    sources : absolute paths of photos, or of folders of photos. corrections : absolute path of a file of corrections.
    """

    name: str
    line: int
    sources: tuple[str, ...]
    options: PersonOptions = PersonOptions()
    corrections: str | None = None


CSV_SUFFIXES, JSON_SUFFIXES = (".csv",), (".jsonl", ".ndjson")
PHOTO_SEPARATOR = "|"
"""Separator of photos in a cell of a CSV table; file names on Windows cannot contain it."""
TABLE_NAMES = ("batch.json", "batch.html")
MOST_NAME_BYTES = 200
"""File systems allow 255; the rest is for temporary folders beside it, which have longer names."""

_FIELDS = ("name", "photos", "folder", "corrections", *_OPTIONS)
_FORBIDDEN = set('/\\:*?"<>|')
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)}
_WORDS = {"yes": "true", "no": "false"}


@dataclass(frozen=True)
class BadLine:
    """An invalid line: its number, from 1, its name where it has one, and a sentence with the reason."""

    line: int
    name: str
    sentence: str


@dataclass(frozen=True)
class Manifest:
    """The people in the manifest's order, and the invalid lines."""

    people: tuple[Person, ...]
    bad_lines: tuple[BadLine, ...]


def read_manifest(path: Path, defaults: PersonOptions | None = None) -> Manifest:
    """Read a manifest, or a folder that has a folder of photos for each person; options that a line does not give come
    from ``defaults``.

    Paths in it are relative to the manifest's folder. The existence of photos is not checked here.

    Raises
    ------
    LikenessError : "usage" when the file as a whole is not a manifest.
    """
    try:
        lines = _lines(path)
    except OSError as error:
        sentence = f"There is no manifest {path} that can be read: {error.strerror}."
        raise LikenessError("usage", sentence, "Check the path.") from error
    except UnicodeDecodeError as error:
        raise LikenessError("usage", f"The manifest {path} is not text in UTF-8.", "Save it as UTF-8.") from error
    people: list[Person] = []
    bad: list[BadLine] = []
    line_of: dict[str, int] = {}  # name as file systems compare it -> line
    folder = Path(os.path.abspath(path if path.is_dir() else path.parent))
    for line, fields in lines:
        try:
            if isinstance(fields, str):
                raise ValueError(fields)
            person = _person(line, fields, folder, defaults or PersonOptions(), path.suffix.lower() in CSV_SUFFIXES)
            key = unicodedata.normalize("NFC", person.name).casefold()
            if key in line_of:
                raise ValueError(f"The name {person.name!r} is that of line {line_of[key]}; give each its own.")
        except ValueError as problem:
            name = "" if isinstance(fields, str) else str(fields.get("name", ""))
            bad.append(BadLine(line, name, str(problem)))
        else:
            line_of[key] = line
            people.append(person)
    if not people and not bad:
        advice = f"Each line gives {', '.join(_FIELDS[:3])}; a folder has a folder of photos for each person."
        raise LikenessError("usage", f"{path.name} names nobody.", advice)
    return Manifest(tuple(people), tuple(bad))


def _lines(path: Path) -> Iterable[tuple[int, dict[str, Any] | str]]:
    """(number, fields by name, or a sentence why there are none) of each line."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return enumerate(({"name": one.name, "folder": one.name} for one in people_folder(path)), start=1)
    if suffix not in (*CSV_SUFFIXES, *JSON_SUFFIXES):
        advice = "Give a table that ends in .csv, or JSON lines that end in .jsonl."
        sentence = f"{path.name} is not a manifest: its name ends in neither .csv nor .jsonl."
        raise LikenessError("usage", sentence, advice)
    text = path.read_bytes().decode("utf-8-sig")
    return _csv_lines(path.name, text) if suffix in CSV_SUFFIXES else _json_lines(text)


def _csv_lines(name: str, text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    first = text.split("\n", 1)[0]
    delimiter = ";" if ";" in first and "," not in first else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            break
        except csv.Error as error:
            yield line, f"This is no CSV ({error}); look for a quotation mark that is not closed."
            continue
        if header is None:
            header = _checked_header(name, [cell.lower() for cell in cells])
        elif any(cells[len(header) :]):
            yield line, f"There are {len(cells)} cells and only {len(header)} columns; quote commas."
        elif any(cells):
            yield line, {key: _value(key, cell) for key, cell in zip(header, cells, strict=False) if cell}
    if header is None:
        _checked_header(name, [])


def _checked_header(name: str, header: list[str]) -> list[str]:
    unknown = [cell for cell in header if cell not in _FIELDS]
    if "name" not in header or unknown or len(set(header)) < len(header):
        wrong = f"has no column {unknown[0]!r}" if unknown and "name" in header else "begins with a line of columns"
        advice = f"Its first line names the columns, each once, out of: {', '.join(_FIELDS)}."
        raise LikenessError("usage", f"{name} is no manifest: a manifest {wrong}.", advice)
    return header


def _value(column: str, cell: str) -> str | list[str]:
    """A cell's value, of which ``_person`` reads a number or a truth."""
    if column == "photos":
        return [part.strip() for part in cell.split(PHOTO_SEPARATOR) if part.strip()]
    return _WORDS.get(cell.lower(), cell) if column in _OPTIONS else cell


def _json_lines(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            if line.strip():
                yield number, msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            yield number, f'This is no JSON object ({error}); write {{"name": …, "photos": […]}}.'


def _person(number: int, fields: dict[str, Any], folder: Path, defaults: PersonOptions, from_text: bool) -> Person:
    """The person of a line, whose numbers may be text where it is ``from_text``."""
    try:
        line = msgspec.convert({**msgspec.to_builtins(defaults), **fields}, _Line, strict=not from_text)
    except msgspec.ValidationError as error:
        raise ValueError(f"A field is wrong: {error}.") from error
    _check_name(line.name)
    if (line.photos is None) == (line.folder is None):
        raise ValueError("Give photos or a folder, one of the two.")
    sources = tuple(os.path.abspath(folder / path) for path in line.photos or [line.folder])
    corrections = line.corrections and os.path.abspath(folder / line.corrections)
    options = PersonOptions(**options_of(line))
    return Person(name=line.name, line=number, sources=sources, options=options, corrections=corrections)


def _check_name(name: str) -> None:
    """Refuse names that are not valid folder names on every system."""
    shown = ascii(name)
    if _FORBIDDEN & set(name) or any(unicodedata.category(letter) in ("Cc", "Cf", "Cs") for letter in name):
        wrong = 'a slash, a control character, an invisible one, or one of : * ? " < > |'
        raise ValueError(f"The name {shown} names the folder and has {wrong}; leave these out.")
    if name.startswith(".") or name.endswith((".", " ")) or name.startswith(" "):
        raise ValueError(f"The name {shown} names the folder and begins with a dot or ends in a dot or a space.")
    if name.split(".")[0].lower() in _DEVICES or name.casefold() in TABLE_NAMES:
        raise ValueError(f"The name {shown} is taken for something else on some systems; choose another.")
    if len(name.encode()) > MOST_NAME_BYTES:
        raise ValueError(f"The name is longer than {MOST_NAME_BYTES} bytes; shorten it.")
