"""Arguments shared by several commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from backend.command_line.path_argument import path_argument


def add_photos_and_folder(command: argparse.ArgumentParser) -> None:
    """Add ``PHOTO ...`` and ``--out DIR``."""
    command.add_argument(
        "photos", nargs="+", type=path_argument, metavar="PHOTO", help="photo files, or folders of photos"
    )
    command.add_argument("--out", required=True, type=path_argument, metavar="DIR", help="folder for the results")


def add_device(command: argparse.ArgumentParser, devices: Sequence[str]) -> None:
    """Add ``--device``, one of ``devices``."""
    command.add_argument(
        "--device", choices=devices, default="auto", help="auto (default) uses a CUDA GPU where there is one"
    )


def add_traceback(command: argparse.ArgumentParser) -> None:
    """Add ``--traceback``."""
    command.add_argument(
        "--traceback", action="store_true", help="on an error, also print where in the code it happened"
    )


def share(text: str) -> float:
    """Parse a number from 0 to 1. Raises ``ValueError``, ``argparse.ArgumentTypeError``."""
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value
