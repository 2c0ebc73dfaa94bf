"""Photos in, a folder of files out: ``reconstruct`` makes a head, ``canonical`` pictures of the canonical face."""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from backend.command_line.photo_paths import as_sources, check_there_are, find_photos, readable
from backend.command_line.terminal import TerminalProgress, check_device, format_seconds, sigterm_as_interrupt
from backend.errors import LikenessError
from backend.exchange.all_or_none import PREVIEW, OutputFolder
from backend.options import options_of
from backend.photos.collection import PhotoSource
from backend.progress import FILE_SHARES
from backend.system.processes import keep_freed_memory


def run_reconstruct(arguments: argparse.Namespace) -> None:
    """Reconstruct a face by the arguments; the table goes to standard output, progress to standard error.

    Raises ``LikenessError`` for errors that the user can act on, ``KeyboardInterrupt`` on Ctrl-C.
    """
    start = time.monotonic()
    keep_freed_memory()
    out, err = Console(), Console(stderr=True)
    with photos_to_folder(arguments) as (sources, folder):
        # Imported here because it takes seconds, and may find that something is not installed.
        from backend.exchange.folder import draw_preview
        from backend.photos.corrections import read_corrections
        from backend.pipeline import ReconstructOptions, Watch, reconstruct_into

        corrections = () if arguments.corrections is None else read_corrections(arguments.corrections)
        options = ReconstructOptions(**options_of(arguments), device=arguments.device, corrections=corrections)
        with TerminalProgress(err, FILE_SHARES) as progress:
            reconstruction = reconstruct_into(folder, sources, options, Watch(progress))
        out.print(verdict_table(reconstruction.asset.report["photos"]))
        _say_written(out, arguments.out, start, PREVIEW)
        # The result does not wait for its picture: Ctrl-C or a full disk here keeps the head.
        with suppress(KeyboardInterrupt, LikenessError):
            draw_preview(reconstruction.asset, reconstruction.previews, folder)


def _say_written(out: Console, folder: Path, start: float, first: str) -> None:
    took = format_seconds(time.monotonic() - start)
    said = readable(f"Wrote {folder} in {took}. Look at {folder / first} first.")
    out.print(said, highlight=False, soft_wrap=True)


@contextmanager
def photos_to_folder(arguments: argparse.Namespace) -> Iterator[tuple[list[PhotoSource], OutputFolder]]:
    """The photos of the arguments and the output folder, which gets all files or none; the processes that decode photos
    are already started.

    Raises ``LikenessError`` where there is neither photo nor mesh, or the device is missing.
    """
    mesh = getattr(arguments, "mesh", None)  # only ``reconstruct`` takes one
    photos = find_photos(arguments.photos)
    if mesh is None:
        check_there_are(photos)
    with sigterm_as_interrupt(), OutputFolder(arguments.out) as folder:
        from backend.photos.reading import start_reading  # takes seconds

        start_reading(len(photos) + (mesh is not None), *([] if mesh is None else ["trimesh"]))
        check_device(arguments.device)
        sources = as_sources(photos, arguments.photos)
        sources += [] if mesh is None else [PhotoSource.from_path(mesh)]
        yield sources, folder


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
            write_canonical_folder(made, folder, progress)
    out.print(verdict_table(made.verdicts))
    _say_written(out, arguments.out, start, "canonical_photos.png")
