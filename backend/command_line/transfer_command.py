"""``python -m backend transfer``: pictures of a face in, ``expression.json`` out."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from backend.command_line.photo_paths import find_photos, in_name_order, left_out_files, readable
from backend.command_line.progress_display import TerminalProgress, format_seconds
from backend.errors import LikenessError
from backend.exchange.all_or_none import check_writable, disk_errors_named
from backend.progress import TRANSFER_SHARES
from protocol.photo_folder import PHOTO_SUFFIXES

if TYPE_CHECKING:
    from backend.expression.clip import ExpressionClip

_FILM_SUFFIX = ".gif"
"""Read as a photo among several; alone it is read as a video, because it may be animated."""


def run_transfer(arguments: argparse.Namespace) -> None:
    """Solve expressions by the arguments; a summary goes to standard output, progress to standard error.

    Raises ``LikenessError`` for errors that the user can act on, ``KeyboardInterrupt`` on Ctrl-C.
    """
    start = time.monotonic()
    out, err = Console(), Console(stderr=True)
    _check_writable(arguments.out)
    take = _solved(arguments, err)
    # Imported here because it takes seconds.
    from backend.expression.clip import FrameMark, write_clip

    write_clip(take, arguments.out)
    frames = "photos" if take.fps is None else f"frames at {take.fps:g} a second"
    lost, missing = (int((take.marks == mark).sum()) for mark in (FrameMark.NO_FACE, FrameMark.DROPPED))
    without = f", {lost} of them without a face and interpolated" if lost else ""
    without += f", {missing} of them missing in the file and interpolated" if missing else ""
    for photo, reason in take.left_out:
        out.print(f"Left out {photo}: {reason}", highlight=False, soft_wrap=True, markup=False)
    for note in take.notes:
        out.print(readable(note), highlight=False, soft_wrap=True, markup=False)
    took = format_seconds(time.monotonic() - start)
    order = f", in the order {_shortened(take.frame_names)}" if take.fps is not None and take.frame_names else ""
    line = f"Wrote {arguments.out} in {took}: {len(take)} {frames}{without}{order}."
    out.print(readable(line), highlight=False, soft_wrap=True, markup=False)


def _solved(arguments: argparse.Namespace, err: Console) -> ExpressionClip:
    """The expressions of the pictures; raises ``LikenessError`` for options that do not fit them."""
    identity = None if str(arguments.identity) == "auto" else Path(arguments.identity)
    sources: list[Path] = arguments.sources
    name = readable(sources[0].name)
    # Imports are here because they take seconds, and may find that something is not installed.
    if len(sources) == 1 and sources[0].suffix.lower() == ".csv":
        from backend.expression.clip import read_live_link

        if identity is not None:
            raise LikenessError("usage", "A Live Link Face file needs no face.", "Leave out --identity.")
        return replace(read_live_link(sources[0], arguments.fps), source=name)
    from backend.expression.transfer import transfer_photos, transfer_sequence, transfer_video

    with TerminalProgress(err, TRANSFER_SHARES) as progress:
        film = len(sources) == 1 and sources[0].suffix.lower() == _FILM_SUFFIX and not os.path.isdir(sources[0])
        if not film and any(os.path.isdir(source) or source.suffix.lower() in PHOTO_SUFFIXES for source in sources):
            photos = find_photos(sources)
            left_out = tuple((one, why) for one, _, why in left_out_files(sources))
            if arguments.fps is None:
                take = transfer_photos(name, photos, identity, progress)
            else:
                take = transfer_sequence(name, in_name_order(photos), arguments.fps, identity, progress)
            return replace(take, left_out=take.left_out + left_out)
        if len(sources) > 1:
            raise LikenessError("usage", "Only photos can be given together.", "Give one video at a time.")
        if arguments.fps is not None:
            raise LikenessError("usage", "A video has its own rate.", "Leave out --fps.")
        return replace(transfer_video(sources[0], identity, progress), source=name)


def _shortened(names: Sequence[str]) -> str:
    """The first two names and the last one."""
    return ", ".join(names) if len(names) < 4 else f"{names[0]}, {names[1]}, … {names[-1]}"


def _check_writable(path: Path) -> None:
    """Fail early when ``path`` cannot be written."""
    if os.path.isdir(path):
        raise LikenessError("disk", f"{path} is a folder.", "Give --out a file name that ends in .json.")
    check_writable(path.absolute().parent)
    with disk_errors_named(path.parent), suppress(FileNotFoundError):
        path.lstat()  # raises for an invalid name
