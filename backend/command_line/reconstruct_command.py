"""``python -m backend reconstruct``: photos in, a folder of files out.

``python -m backend canonical``: photos in, pictures of the canonical face out.
"""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from backend.command_line.photo_paths import check_there_are, find_photos, left_out_files, readable
from backend.command_line.progress_display import TerminalProgress, format_seconds
from backend.errors import LikenessError
from backend.exchange.all_or_none import FILE_NAMES, OutputFolder
from backend.options import options_of
from backend.progress import FILE_SHARES
from backend.system.processes import keep_freed_memory

if TYPE_CHECKING:
    from backend.photos.formats import PhotoSource


def run_reconstruct(arguments: argparse.Namespace) -> None:
    """Reconstruct a face by the arguments; the table goes to standard output, progress to standard error.

    Raises ``LikenessError`` for errors that the user can act on, ``KeyboardInterrupt`` on Ctrl-C.
    """
    start = time.monotonic()
    keep_freed_memory()
    out, err = Console(), Console(stderr=True)
    with photos_to_folder(arguments) as (sources, folder):
        # Imported here because it takes seconds, and may find that something is not installed.
        from backend.exchange.folder import file_stages, write_last
        from backend.photos.corrections import read_corrections
        from backend.pipeline import ReconstructOptions, Watch, reconstruct

        corrections = () if arguments.corrections is None else read_corrections(arguments.corrections)
        options = ReconstructOptions(**options_of(arguments), device=arguments.device, corrections=corrections)
        with TerminalProgress(err, FILE_SHARES) as progress, folder.writing(FILE_NAMES, progress) as files:
            output = file_stages(files, folder.path, progress)
            reconstruction = reconstruct(sources, options, Watch(progress), output)
            write_last(reconstruction.asset.report, files, folder.path)
    out.print(verdict_table(reconstruction.asset.report["photos"]))
    took = format_seconds(time.monotonic() - start)
    preview = arguments.out / "preview.png"
    out.print(readable(f"Wrote {arguments.out} in {took}. Look at {preview} first."), highlight=False, soft_wrap=True)


@contextmanager
def photos_to_folder(arguments: argparse.Namespace) -> Iterator[tuple[list[PhotoSource], OutputFolder]]:
    """The photos of the arguments, with reading already started, and the output folder, which gets all files or none.

    Raises ``LikenessError`` where there is no photo, or the device is missing.
    """
    photos = find_photos(arguments.photos)
    check_there_are(photos)
    with sigterm_as_interrupt(), OutputFolder(arguments.out) as folder:
        from backend.photos.formats import PhotoSource
        from backend.photos.reading import start_reading  # takes seconds

        start_reading(len(photos))
        check_device(arguments.device)
        sources = [PhotoSource(name, path=path) for name, path in photos]
        sources += [PhotoSource(name, path=path, left_out=why) for name, path, why in left_out_files(arguments.photos)]
        yield sources, folder


def check_device(name: str) -> None:
    """Raise ``LikenessError`` with code "missing_part" when CUDA is requested but missing."""
    if name != "cuda":
        return
    import torch

    if not torch.cuda.is_available():
        raise LikenessError(
            "missing_part", "torch finds no CUDA device.", "Use --device auto, or run: python -m backend doctor"
        )


def verdict_table(photos: Sequence[Mapping[str, Any]]) -> Table:
    """One row per given photo from the report's ``photos``: used or not, quality, error, reason."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("photo", overflow="fold")
    table.add_column("used")
    table.add_column("quality", justify="right")
    table.add_column("landmarks", justify="right")
    table.add_column("", overflow="fold")
    for photo in photos:
        quality = (photo.get("quality") or {}).get("score")
        error = photo.get("landmark_error_percent")
        table.add_row(
            escape(photo["name"]),
            "yes" if photo["used"] else "no",
            "" if quality is None else f"{quality:.2f}",
            "" if error is None else f"±{error:.1f} %",
            escape(photo.get("reason", "")),
        )
    return table


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM raise ``KeyboardInterrupt`` too, as a context, so that temporary files are removed."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def run_canonical(arguments: argparse.Namespace) -> None:
    """Make the pictures by the arguments; the table goes to standard output, progress to standard error.

    Raises ``LikenessError`` for errors that the user can act on, ``KeyboardInterrupt`` on Ctrl-C.
    """
    start = time.monotonic()
    out, err = Console(), Console(stderr=True)
    with photos_to_folder(arguments) as (sources, folder):
        # Imported here because it takes seconds, and may find that something is not installed.
        from backend.canonical import STAGES, make_canonical, write_canonical_folder

        with TerminalProgress(err, dict(STAGES)) as progress:
            made = make_canonical(sources, arguments.device, progress)
            write_canonical_folder(made.face, made.pictures, made.in_head, made.verdicts, folder, progress)
    out.print(verdict_table(made.verdicts))
    took = format_seconds(time.monotonic() - start)
    sheet = arguments.out / "canonical_photos.png"
    out.print(readable(f"Wrote {arguments.out} in {took}. Look at {sheet} first."), highlight=False, soft_wrap=True)
