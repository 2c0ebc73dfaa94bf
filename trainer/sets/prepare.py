"""``python -m trainer data NAME FOLDER``: prepare a data set, resumable, with a table of what was kept and why not."""

import argparse
import csv
import importlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trainer.engine.disk_cache import FORMAT, SET_CARD, LeftOut, SetError, inside, read_card
from trainer.engine.logs import Pace
from trainer.portraits.collection import REASONS, CacheSettings, PortraitFile, Verdict
from trainer.sets import annotated, scans
from trainer.sets.reader import KEPT, Item, LimitedReader, Reader, listed

READERS: Mapping[str, type[Reader]] = {
    kind.name: kind
    for module in (annotated, scans)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Reader) and hasattr(kind, "name")
}
"""Name on the command line -> reader."""


def reader_of(name: str) -> Reader:
    """The reader of a set: one of ``READERS``, or ``module:class`` of the user's own. Raises ``SetError``."""
    module, colon, own = name.partition(":")
    try:
        cls = getattr(importlib.import_module(module), own) if colon else READERS[name]
    except (KeyError, ImportError, AttributeError) as error:
        sentence = f"There is no set {name!r}: {error}." if colon else f"There is no set {name!r}."
        raise SetError(sentence, f"Known: {', '.join(READERS)}, or MODULE:CLASS of your own.") from error
    if not (isinstance(cls, type) and issubclass(cls, Reader)):
        raise SetError(f"{name} is no Reader.", "See trainer.sets.reader.Reader.")
    return cls()


LIST = "list"
SMALLEST_FACE = 40.0
"""Pixels of the photo across a face; smaller ones show too little."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer data``."""
    parser.description = (
        "Prepare a data set for training or for the papers' tables. Photographs become portraits (crops, labels, "
        "landmarks), sets with truth become one file per entry. A stopped run goes on where it was."
    )
    parser.epilog = "Sets: " + "; ".join(f"{name}: {reader.title}" for name, reader in READERS.items()) + "."
    parser.add_argument("name", help=f"a set, MODULE:CLASS of your own reader, or {LIST!r} for their table")
    parser.add_argument("folder", type=Path, nargs="?", help="the set as it was downloaded and unpacked")
    parser.add_argument("--out", type=Path, help="where the prepared set goes; default: prepared/NAME")
    parser.add_argument("--size", type=int, default=64, help="side of the portraits' crops in pixels (default 64)")
    parser.add_argument("--framing", choices=("face", "head"), default="face", help="LAP's crop, or the parsing net's")
    parser.add_argument("--no-drawings", action="store_true", help="leave out drawings and paintings")
    parser.add_argument("--drawings", dest="no_drawings", action="store_false", help="keep them (default)")
    parser.add_argument("--most", type=int, default=0, help="the first N entries alone (default: all)")
    parser.add_argument("--partial", action="store_true", help="leave out entries whose files are missing")


def run(arguments: argparse.Namespace) -> int:
    """Prepare the set; returns the exit code."""
    console = Console()
    if arguments.name == LIST:
        console.print(table_of_sets())
        return 0
    if arguments.folder is None:
        raise SetError("The folder of the set is missing.", f"Write python -m trainer data {arguments.name} FOLDER.")
    reader = reader_of(arguments.name)
    out = arguments.out or Path("prepared") / reader.name
    console.print(said_licence(reader), markup=False)
    items = listed(reader, arguments.folder, arguments.partial)
    items = items[: arguments.most] if arguments.most else items
    _claim(out, reader, arguments.folder)
    if reader.fields:
        verdicts = prepare_samples(reader, items, out)
    else:
        settings = CacheSettings(
            arguments.size, arguments.framing, SMALLEST_FACE, not arguments.no_drawings, labels_by="label_face"
        )
        verdicts = prepare_photos(reader, items, arguments.folder, out, settings)
    write_card(reader, items, verdicts, arguments.folder, out)
    console.print(table_of_verdicts(reader, items, verdicts))
    console.print(f"prepared in {out}; not checked without the real set: {reader.unchecked}", markup=False)
    if KEPT not in verdicts.values():
        raise SetError(f"Nothing of {arguments.folder} was kept.", "The table says why.")
    return 0


def said_licence(reader: Reader) -> str:
    """A sentence on the set's licence."""
    licence = reader.licence
    limits = " Weights trained on it are for research alone; their card says so." if licence.research_only else ""
    return f"{reader.title}: {licence.name} ({licence.page}).{limits}"


def table_of_sets() -> Table:
    """All sets: name, title, licence, and what their folder holds."""
    table = Table("name", "set", "licence", "the folder holds")
    for name, reader in READERS.items():
        table.add_row(name, reader.title, reader.licence.name, "\n".join(reader.needs))
    return table


def prepare_samples(reader: Reader, items: Sequence[Item], out: Path) -> dict[str, str]:
    """Write ``samples/KEY.npz`` of every item; those that are there already are kept. Returns key -> verdict."""
    folder, verdicts = out / "samples", _known_verdicts(out)
    folder.mkdir(parents=True, exist_ok=True)
    with LimitedReader(reader) as read:
        pace = Pace(f"{reader.name}: entries", len(items))
        for done, item in enumerate(items):
            pace(done)
            path = folder / f"{item.key}.npz"
            if os.path.isfile(path):
                verdicts[item.key] = KEPT
            if item.key in verdicts:
                continue
            verdicts[item.key] = read(item, path)
            if verdicts[item.key] != KEPT:
                _note(out, item.key, verdicts[item.key])
    return {item.key: verdicts[item.key] for item in items}


def prepare_photos(
    reader: Reader, items: Sequence[Item], root: Path, out: Path, settings: CacheSettings
) -> dict[str, str]:
    """Prepare the items' photographs as portraits (``trainer.portraits``). Returns key -> verdict."""
    from trainer.portraits.collection import prepare

    people = {name: number for number, name in enumerate(dict.fromkeys(item.person for item in items))}
    paths, verdicts = [], {}
    pace = Pace(f"{reader.name}: files", len(items))
    for done, item in enumerate(items):
        pace(done)
        try:
            inside(item.files["photo"], root)
            paths.append(reader.photo(item, out / "frames"))
        except LeftOut as reason:
            verdicts[item.key] = str(reason)
    readable = [item for item in items if item.key not in verdicts]
    if not readable:
        return verdicts
    base = Path(os.path.commonpath([root.resolve(), *(path.resolve() for path in paths)]))
    files = tuple(
        PortraitFile(path.resolve().relative_to(base).as_posix(), people[item.person])
        for path, item in zip(paths, readable, strict=True)
    )
    try:
        cache = prepare(base, out, settings, files, Pace(f"{reader.name}: portraits", len(files)))
    except ValueError as error:
        raise SetError(f"{error}.", "Choose another --out, or delete it.") from error
    reasons = [KEPT if verdict == Verdict.KEPT else REASONS[Verdict(verdict)] for verdict in cache.verdicts]
    return verdicts | {item.key: reason for item, reason in zip(readable, reasons, strict=True)}


def write_card(reader: Reader, items: Sequence[Item], verdicts: Mapping[str, str], root: Path, out: Path) -> None:
    """Write ``card.json``, last of all: set, licence, what was kept, and the reasons for the rest."""
    card = {
        "format": FORMAT,
        "name": reader.name,
        "title": reader.title,
        "licence": reader.licence.name,
        "research_only": reader.licence.research_only,
        "page": reader.licence.page,
        "unchecked": reader.unchecked,
        "root": str(root.resolve()),
        "kept": {item.key: item.person for item in items if verdicts[item.key] == KEPT},
        "left_out": dict(Counter(reason for reason in verdicts.values() if reason != KEPT)),
    }
    partial = out / f"{SET_CARD}.part"
    partial.write_text(json.dumps(card, indent=1), encoding="utf-8")
    partial.replace(out / SET_CARD)


def table_of_verdicts(reader: Reader, items: Sequence[Item], verdicts: Mapping[str, str]) -> Table:
    """Found, kept, and left out by reason."""
    table = Table("entries", "people", "", title=reader.title)
    table.add_row(str(len(items)), str(len({item.person for item in items})), "found")
    for reason, count in Counter(verdicts.values()).most_common():
        people = {item.person for item in items if verdicts[item.key] == reason}
        table.add_row(str(count), str(len(people)), reason if reason == KEPT else f"left out: {reason}")
    return table


def _claim(out: Path, reader: Reader, root: Path) -> None:
    """Refuse a folder that holds another prepared set."""
    card = read_card(out)
    if card is not None and (card["name"], card["root"]) != (reader.name, str(root.resolve())):
        raise SetError(f"{out} holds {card['title']} from {card['root']}.", "Choose another --out.")
    out.mkdir(parents=True, exist_ok=True)


def _known_verdicts(out: Path) -> dict[str, str]:
    """Reasons that an earlier run noted."""
    path = out / "left_out.csv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return {row[0]: row[1] for row in csv.reader(file) if len(row) == 2}


def _note(out: Path, key: str, reason: str) -> None:
    with (out / "left_out.csv").open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow([key, reason])
