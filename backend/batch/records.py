"""What a batch remembers of each person: ``batch.json`` and, beside each head, ``made_from.json`` (docs/files.md).

A head's stamp is the code, the weights, and the packages that determine it besides photos and options; a second run
leaves out whoever has the same input and the same stamp.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Literal

import msgspec

from backend import __version__
from backend.batch.manifest import PersonOptions
from backend.exchange.all_or_none import FILE_NAMES, write_file
from backend.models.registry import MODELS
from backend.photos.collection import ReadLimits
from backend.system.files import ASSETS

Status = Literal["done", "kept", "failed", "waiting"]
"""done: made in this run. kept: made before from the same photos, options and version. failed: not made. waiting: not
reached, or stopped."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of one person.

    Attributes
    ----------
    code : of a failure, one of ``errors.EXIT_CODES``. reason, advice : its sentences.
    detail : the traceback of an error inside Likeness.
    seconds, cpu_seconds : duration for the head, in this run or in the one that made it.
    photos_given, photos_used : numbers. peak_rss_mb : peak memory of the worker, in 10⁶ bytes.
    worker : machine and process id. attempts : number of starts in this run.
    fingerprint : of the input (``made_from``).
    """

    name: str
    status: Status
    code: str = ""
    reason: str = ""
    advice: str = ""
    detail: str = ""
    seconds: float | None = None
    cpu_seconds: float | None = None
    photos_given: int | None = None
    photos_used: int | None = None
    peak_rss_mb: float | None = None
    worker: str = ""
    attempts: int = 0
    fingerprint: str = ""


SOURCE = Path(__file__).resolve().parents[1]
_NOT_IN_HEADS = ("batch", "command_line", "service", "expression")
"""Packages that do not affect heads; of the modules right below ``backend`` only the following do:"""
_TOP_MODULES = ("__init__.py", "options.py", "pipeline.py")
_SUFFIXES = (".py", ".json")
_PACKAGES = (
    "ai-edge-litert",
    "numba",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "pillow-heif",
    "scipy",
    "torch",
)
"""Packages that affect numbers, pixels or weights of a head."""


class Stamp(msgspec.Struct, frozen=True):
    """Version of everything that a head was made with.

    Attributes
    ----------
    code, models : hashes of twelve hexadecimal digits, of the code that makes heads, and of all weights and templates.
    packages : name and version of each package that affects results, the name alone where it is not installed.
    """

    code: str
    models: str
    packages: tuple[str, ...]


def current_stamp() -> Stamp:
    """The stamp of this process' Likeness; reads some 40 MB. Raises ``OSError``."""
    return Stamp(_digest(SOURCE, _code_files()), _digest(ASSETS, _model_files()), tuple(map(_installed, _PACKAGES)))


def _installed(package: str) -> str:
    """Name and version without its local part, because torch for a GPU and for the CPU count as the same."""
    try:
        return f"{package} {metadata.version(package).split('+')[0]}"
    except metadata.PackageNotFoundError:
        return package


def _code_files() -> Iterator[Path]:
    for path in SOURCE.rglob("*"):
        parts = path.relative_to(SOURCE).parts
        if path.suffix not in _SUFFIXES or parts[0] in _NOT_IN_HEADS or "__pycache__" in parts:
            continue
        if len(parts) > 1 or parts[0] in _TOP_MODULES:
            yield path


def _model_files() -> Iterator[Path]:
    for folder in (ASSETS, *_other_folders()):
        yield from folder.rglob("*.safetensors")
        yield from folder.rglob("*.npz")
        yield from folder.glob("*.json")


def _other_folders() -> Iterator[Path]:
    named = (os.environ.get(model.folder_variable) for model in MODELS)
    return (Path(name) for name in named if name)


def _digest(root: Path, paths: Iterator[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        name = path.relative_to(root) if path.is_relative_to(root) else path
        content = path.read_bytes()
        if path.suffix in (".py", ".json"):
            content = content.replace(b"\r\n", b"\n")  # a checkout on Windows may have CRLF
        digest.update(f"{name.as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


FORMAT_VERSION = 1
State = Literal["running", "stopped", "finished"]


class Row(Outcome, frozen=True, kw_only=True):
    """An outcome and its place. ``line`` : in the manifest. ``folder`` : of the head, beside the table."""

    line: int
    folder: str = ""


class BatchFile(msgspec.Struct, frozen=True, kw_only=True):
    """``batch.json`` (docs/files.md).

    Attributes
    ----------
    counts : number of people per ``Status``. workers : largest number of simultaneous workers.
    seconds : wall seconds of the run. started, written : UTC, ISO 8601. worker_peak_mb : largest of all workers.
    """

    manifest: str
    state: State
    counts: dict[str, int]
    people: list[Row]
    started: str
    written: str
    seconds: float
    workers: int
    worker_peak_mb: float | None
    stamp: Stamp
    likeness: str = __version__
    version: int = FORMAT_VERSION


FILE_NAME = "made_from.json"


class PhotoDigest(msgspec.Struct, frozen=True):
    """An input photo: its name and SHA-256; None where the file is missing, or of a kind that is never read."""

    name: str
    sha256: str | None


class Input(msgspec.Struct, frozen=True):
    """Everything that determines a head, on any machine. ``corrections`` : SHA-256 of their file."""

    photos: tuple[PhotoDigest, ...]
    options: PersonOptions
    stamp: Stamp
    corrections: str | None = None
    version: int = FORMAT_VERSION

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the input, 64 hexadecimal digits."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


class InputRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``made_from.json``.

    Attributes
    ----------
    fingerprint : of ``input``. seconds, cpu_seconds : duration. photos_used : number of the given ones.
    peak_rss_mb : peak memory of the worker so far, in 10⁶ bytes. device : where the networks ran.
    """

    fingerprint: str
    input: Input
    seconds: float
    cpu_seconds: float
    photos_used: int
    peak_rss_mb: float | None
    device: str
    version: int = FORMAT_VERSION


def photos_in(photos: Sequence[tuple[str, Path]]) -> tuple[PhotoDigest, ...]:
    """Hash (name, path) of photos; one that cannot be read counts as missing."""
    most = ReadLimits().max_file_bytes
    return tuple(PhotoDigest(name, sha256_of(path, most)) for name, path in photos)


def made_before(folder: Path, fingerprint: str) -> InputRecord | None:
    """The record of the head in ``folder`` if it is complete and was made from the same input."""
    try:
        record = msgspec.json.decode((folder / FILE_NAME).read_bytes(), type=InputRecord)
    except (OSError, msgspec.DecodeError, RecursionError):
        return None
    complete = all((folder / name).is_file() for name in FILE_NAMES)
    return record if complete and record.fingerprint == fingerprint else None


def forget(folder: Path) -> None:
    """Delete the record before new files are written. Raises ``OSError``."""
    (folder / FILE_NAME).unlink(missing_ok=True)


def remember(folder: Path, record: InputRecord) -> None:
    """Write the record after all files. Raises ``LikenessError`` ("disk")."""
    write_file(folder / FILE_NAME, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def sha256_of(path: Path, most_bytes: int) -> str | None:
    """SHA-256 of a file; None where it cannot be read, is not a regular file or has more bytes."""
    try:
        # the path may become a pipe or a device at any moment: what is open is looked at, and opening does not wait
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > most_bytes:
                return None
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
