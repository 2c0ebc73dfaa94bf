"""Pack code, template and data into one archive that trains elsewhere with only Python 3.11 or later, torch and numpy.

``python -m trainer pack [--out FILE] [--include PATH[=NAME]]…``; on the other machine: ``tar xzf
likeness-train.tar.gz``, then ``cd likeness && python -m trainer RECIPE``.
"""

from __future__ import annotations

import argparse
import gzip
import io
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from backend.errors import EXIT_CODES, LikenessError

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "likeness"
LIMIT_BYTES = 60_000_000
CODE = ("backend", "trainer")
CODE_SUFFIXES = frozenset({".py", ".toml", ".npz", ".npy", ".json", ".safetensors"})
README = """\
Likeness, packed for training. Needs Python 3.11 or later, torch and numpy.

    python -m trainer tiny                       does it work here?
    python -m trainer RECIPE --minutes 9         train; ends with a checkpoint
    python -m trainer RECIPE --resume            go on
    python -m trainer export runs/RECIPE --out model
"""


class PackError(LikenessError):
    """The archive cannot be made."""

    def __init__(self, sentence: str, advice: str) -> None:
        super().__init__("usage", sentence, advice)


@dataclass(frozen=True)
class PackedFile:
    """A file and its name in the archive, below ``likeness/``."""

    path: Path
    name: PurePosixPath


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer pack``."""
    parser.add_argument("--out", type=Path, default=Path("likeness-train.tar.gz"))
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="PATH[=NAME]",
        help="a file or folder of training data (packed crops), and where it goes below the archive's folder",
    )
    parser.add_argument("--limit-mb", type=float, default=LIMIT_BYTES / 1e6, help="largest archive, in 10^6 bytes")


def run(arguments: argparse.Namespace) -> int:
    """Pack the archive; returns the exit code."""
    try:
        size = pack(arguments.out, arguments.include, round(arguments.limit_mb * 1e6))
    except LikenessError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_CODES[error.code]
    print(f"{arguments.out}: {size / 1e6:.2f} MB")
    return 0


def pack(out: Path, include: Sequence[str] = (), limit_bytes: int = LIMIT_BYTES, root: Path = ROOT) -> int:
    """Write the archive (gzipped tar; the same files give the same bytes) and return its size in bytes.

    Raises
    ------
    PackError : an included path is missing, or the archive would be too large; nothing is left behind.
    """
    files = [*_code(root), *_assets(root)]
    for item in include:
        files.extend(_included(item))
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".part")
    try:
        with (
            open(partial, "wb") as raw,
            gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as stream,
            tarfile.open(fileobj=stream, mode="w") as archive,
        ):
            _add(archive, PurePosixPath("README.txt"), README.encode())
            for file in sorted(files, key=lambda file: str(file.name)):
                _add(archive, file.name, file.path.read_bytes())
        size = partial.stat().st_size
        if size > limit_bytes:
            largest = sorted(files, key=lambda file: -file.path.stat().st_size)[:3]
            names = ", ".join(f"{file.name} ({file.path.stat().st_size / 1e6:.1f} MB)" for file in largest)
            sentence = f"The archive would have {size / 1e6:.1f} MB; at most {limit_bytes / 1e6:.1f} MB are allowed."
            raise PackError(sentence, f"Largest files: {names}.")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return size


def _code(root: Path) -> Iterator[PackedFile]:
    """List the files that ``backend`` and ``trainer`` need at run time."""
    for package in CODE:
        for path in (root / package).rglob("*"):
            if path.is_file() and path.suffix in CODE_SUFFIXES and "__pycache__" not in path.parts:
                yield PackedFile(path, PurePosixPath(path.relative_to(root).as_posix()))


def _assets(root: Path) -> Iterator[PackedFile]:
    """List the template, priors and trained weights."""
    for path in (root / "assets").rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            yield PackedFile(path, PurePosixPath(path.relative_to(root).as_posix()))


def _included(item: str) -> Iterator[PackedFile]:
    """List the files of one ``PATH[=NAME]``; without NAME they go to ``data/<last part of the path>``."""
    text, _, name = item.partition("=")
    path = Path(text)
    target = PurePosixPath(name or f"data/{path.resolve().name}")
    if target.is_absolute() or ".." in target.parts:
        raise PackError(f"{target} lies outside the archive.", "Give a relative name.")
    if path.is_file():
        yield PackedFile(path, target)
    elif path.is_dir():
        for file in path.rglob("*"):
            if file.is_file():
                yield PackedFile(file, target / file.relative_to(path).as_posix())
    else:
        raise PackError(f"{path} is to be included and does not exist.", "Check the path after --include.")


def _add(archive: tarfile.TarFile, name: PurePosixPath, content: bytes) -> None:
    """Add one member without anything machine-dependent."""
    entry = tarfile.TarInfo(f"{FOLDER}/{name}")
    entry.size = len(content)
    entry.mode = 0o644
    archive.addfile(entry, io.BytesIO(content))
