"""The manifest, a list of people: a CSV table, JSON lines (docs/files.md, *A manifest*), or a folder of folders."""

import csv
import io
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from backend.errors import LikenessError
from backend.options import FILE_DEFAULTS, option_struct
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
_DECIMAL = re.compile(r"\d{1,9}(\.\d{1,20})?", re.ASCII)
_FORBIDDEN = set('/\\:*?"<>|')
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)}
_WORDS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


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


class _BadLineError(Exception):
    """The reason, a sentence."""


def read_manifest(path: Path, defaults: PersonOptions | None = None) -> Manifest:
    """Read a manifest, or a folder that has a folder of photos for each person; options that a line does not give come
    from ``defaults``.

    Paths in it are relative to the manifest's folder. The existence of photos is not checked here.

    Raises
    ------
    LikenessError : "usage" when the file as a whole is not a manifest.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        lines = _folder_lines(path)
    elif suffix in CSV_SUFFIXES:
        lines = _csv_lines(path, _text(path))
    elif suffix in JSON_SUFFIXES:
        lines = _json_lines(_text(path))
    else:
        advice = "Give a table that ends in .csv, or JSON lines that end in .jsonl."
        sentence = f"{path.name} is not a manifest: its name ends in neither .csv nor .jsonl."
        raise LikenessError("usage", sentence, advice)
    people: list[Person] = []
    bad: list[BadLine] = []
    line_of: dict[str, int] = {}  # name as file systems compare it -> line
    folder = Path(os.path.abspath(path if path.is_dir() else path.parent))
    for line, fields in lines:
        if isinstance(fields, _BadLineError):
            bad.append(BadLine(line, "", str(fields)))
            continue
        try:
            person = _person(line, fields, folder, defaults or PersonOptions())
            key = unicodedata.normalize("NFC", person.name).casefold()
            if key in line_of:
                raise _BadLineError(f"The name {person.name!r} is that of line {line_of[key]}; give each its own.")
        except _BadLineError as problem:
            name = fields.get("name")
            bad.append(BadLine(line, name if isinstance(name, str) else "", str(problem)))
            continue
        line_of[key] = line
        people.append(person)
    if not people and not bad:
        advice = f"Each line gives {', '.join(_FIELDS[:3])}; a folder has a folder of photos for each person."
        raise LikenessError("usage", f"{path.name} names nobody.", advice)
    return Manifest(tuple(people), tuple(bad))


def _folder_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """A line for each person of a folder of people."""
    try:
        people = people_folder(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise LikenessError("usage", f"The folder {path} cannot be read: {reason}.", "Check the path.") from error
    for number, person in enumerate(people, start=1):
        yield number, {"name": person.name, "folder": person.name}


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise LikenessError("usage", f"{path} is not a file.", "Give a manifest: a .csv or .jsonl file.")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise LikenessError("usage", f"There is no manifest {path}.", "Check the path.") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise LikenessError("usage", f"The manifest {path} cannot be read: {reason}.", "Check the path.") from error
    except UnicodeDecodeError as error:
        advice = "Save it as UTF-8."
        raise LikenessError("usage", f"The manifest {path} is not text in UTF-8.", advice) from error


def _csv_lines(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any] | _BadLineError]]:
    """(line number, non-empty cells by column) of each row."""
    first = text.split("\n", 1)[0]
    delimiter = ";" if ";" in first and "," not in first else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
    except csv.Error as error:
        raise LikenessError("usage", f"{path.name} is no CSV table: {error}.", "Export it again.") from error
    unknown = [cell for cell in header if cell not in _FIELDS]
    if "name" not in header or unknown or len(set(header)) < len(header):
        wrong = f"has no column {unknown[0]!r}" if unknown and "name" in header else "begins with a line of columns"
        advice = f"Its first line names the columns, each once, out of: {', '.join(_FIELDS)}."
        raise LikenessError("usage", f"{path.name} is no manifest: a manifest {wrong}.", advice)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            yield line, _BadLineError(f"This is no CSV ({error}); look for a quotation mark that is not closed.")
            continue
        if row is None:
            return
        if not any(cell.strip() for cell in row):
            continue
        if len(row) > len(header):
            yield line, _BadLineError(f"There are {len(row)} cells and only {len(header)} columns; quote commas.")
            continue
        cells = {key: cell.strip() for key, cell in zip(header, row, strict=False) if cell.strip()}
        yield line, {key: _value(key, cell) for key, cell in cells.items()}


def _value(column: str, cell: str) -> Any:
    """Convert a cell to its value in a JSON line; a cell that does not fit stays text and is refused later."""
    if column == "photos":
        return [part.strip() for part in cell.split(PHOTO_SEPARATOR) if part.strip()]
    kind = type(_OPTIONS[column].default) if column in _OPTIONS else str
    if kind is int and cell.isascii() and cell.isdigit() and len(cell) < 10:
        return int(cell)
    if kind is float and _DECIMAL.fullmatch(cell):
        return float(cell)
    if kind is bool:
        return _WORDS.get(cell.lower(), cell)
    return cell


def _json_lines(text: str) -> Iterator[tuple[int, Mapping[str, Any] | _BadLineError]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            fields = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            yield number, _BadLineError(f"This is no JSON ({error}).")
            continue
        if isinstance(fields, dict):
            yield number, fields
        else:
            yield number, _BadLineError('This is no JSON object; write {"name": …, "photos": […]}.')


def _person(line: int, fields: Mapping[str, Any], folder: Path, defaults: PersonOptions) -> Person:
    unknown = [key for key in fields if key not in _FIELDS]
    if unknown:
        raise _BadLineError(f"There is no field {unknown[0]!r}; a line has {', '.join(_FIELDS)}.")
    name = fields.get("name")
    if not isinstance(name, str) or not name:
        raise _BadLineError("There is no name.")
    _check_name(name)
    if ("photos" in fields) == ("folder" in fields):
        raise _BadLineError("Give photos or a folder, one of the two.")
    paths = [fields["folder"]] if "folder" in fields else fields["photos"]
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) and path for path in paths):
        raise _BadLineError("Photos are a list of paths and a folder is one path; neither may be empty.")
    corrections = fields.get("corrections")
    if corrections is not None and not (isinstance(corrections, str) and corrections):
        raise _BadLineError("Corrections are the path of one file.")
    if any("\0" in path for path in (*paths, corrections or "")):
        raise _BadLineError("A path has a NUL character; no file system knows such a file.")
    stated = {key: fields[key] for key in _OPTIONS if key in fields}
    try:
        options = msgspec.convert({**msgspec.to_builtins(defaults), **stated}, PersonOptions)
    except msgspec.ValidationError as error:
        raise _BadLineError(f"An option is wrong: {error}.") from error
    sources = tuple(os.path.abspath(folder / path) for path in paths)
    corrections = corrections and os.path.abspath(folder / corrections)
    return Person(name=name, line=line, sources=sources, options=options, corrections=corrections)


def _check_name(name: str) -> None:
    """Refuse names that are not valid folder names on every system."""
    shown = ascii(name)
    if _FORBIDDEN & set(name) or any(unicodedata.category(letter) in ("Cc", "Cf", "Cs") for letter in name):
        wrong = 'a slash, a control character, an invisible one, or one of : * ? " < > |'
        raise _BadLineError(f"The name {shown} names the folder and has {wrong}; leave these out.")
    if name.startswith(".") or name.endswith((".", " ")) or name.startswith(" "):
        raise _BadLineError(f"The name {shown} names the folder and begins with a dot or ends in a dot or a space.")
    if name.split(".")[0].lower() in _DEVICES or name.casefold() in TABLE_NAMES:
        raise _BadLineError(f"The name {shown} is taken for something else on some systems; choose another.")
    if len(name.encode()) > MOST_NAME_BYTES:
        raise _BadLineError(f"The name is longer than {MOST_NAME_BYTES} bytes; shorten it.")
