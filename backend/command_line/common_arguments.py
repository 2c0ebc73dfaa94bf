"""Arguments that several commands have in common."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from backend.command_line.path_argument import path_argument


def add_photos_and_folder(command: argparse.ArgumentParser) -> None:
    """``PHOTO ...`` and ``--out DIR``."""
    command.add_argument(
        "photos", nargs="+", type=path_argument, metavar="PHOTO", help="photo files, or folders of photos"
    )
    command.add_argument("--out", required=True, type=path_argument, metavar="DIR", help="folder for the results")


def add_device(command: argparse.ArgumentParser, devices: Sequence[str]) -> None:
    """``--device``, one of ``devices``."""
    command.add_argument(
        "--device", choices=devices, default="auto", help="auto (default) uses a CUDA GPU where there is one"
    )


def add_traceback(command: argparse.ArgumentParser) -> None:
    """``--traceback``."""
    command.add_argument(
        "--traceback", action="store_true", help="on an error, also print where in the code it happened"
    )


def share(text: str) -> float:
    """A number from 0 to 1. Raises ``ValueError``, ``argparse.ArgumentTypeError``."""
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value
