"""``python -m backend canonical``: photos in, pictures of the canonical face out."""

from __future__ import annotations

import argparse
import time

from rich.console import Console

from backend.command_line.photo_paths import readable
from backend.command_line.progress_display import TerminalProgress, format_seconds
from backend.command_line.reconstruct_command import photos_to_folder, verdict_table


def run_canonical(arguments: argparse.Namespace) -> None:
    """Make the pictures by the arguments; the table goes to standard output, progress to standard error.

    Raises ``LikenessError`` for errors that the user can act on, ``KeyboardInterrupt`` on Ctrl-C.
    """
    start = time.monotonic()
    out, err = Console(), Console(stderr=True)
    with photos_to_folder(arguments) as (sources, folder):
        # Imported here because it takes seconds, and may find that something is not installed.
        from backend.canonical_pipeline import STAGES, make_canonical
        from backend.exchange.canonical_folder import write_canonical_folder

        with TerminalProgress(err, dict(STAGES)) as progress:
            made = make_canonical(sources, arguments.device, progress)
            write_canonical_folder(made.face, made.pictures, made.in_head, made.verdicts, folder, progress)
    out.print(verdict_table(made.verdicts))
    took = format_seconds(time.monotonic() - start)
    sheet = arguments.out / "canonical_photos.png"
    out.print(readable(f"Wrote {arguments.out} in {took}. Look at {sheet} first."), highlight=False, soft_wrap=True)
