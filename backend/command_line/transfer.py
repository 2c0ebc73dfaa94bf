"""``python -m backend transfer``: pictures of a face in, ``expression.json`` out."""

import argparse
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from backend.command_line.photo_paths import find_photos, in_name_order, left_out_files, readable
from backend.command_line.terminal import TerminalProgress, format_seconds
from backend.errors import LikenessError
from backend.exchange.all_or_none import check_writable, disk_errors_named
from backend.expression.clip import ExpressionClip, FrameMark, read_live_link, write_clip
from backend.progress import TRANSFER_SHARES
from protocol.photo_folder import PHOTO_SUFFIXES, photo_folder

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
    sources: list[Path] = arguments.sources
    first, alone = sources[0], len(sources) == 1
    if alone and first.suffix.lower() == ".csv":
        return _take_of_csv(arguments)
    if alone and os.path.isdir(first) and (take := _take_in(first, arguments.fps)) is not None:
        return take
    is_photo = first.suffix.lower() in PHOTO_SUFFIXES and first.suffix.lower() != _FILM_SUFFIX
    film = alone and not is_photo and not os.path.isdir(first)
    return _of_film(arguments, err) if film else _of_photos(arguments, err)


def _take_of_csv(arguments: argparse.Namespace) -> ExpressionClip:
    if arguments.identity is not None:
        raise LikenessError("usage", "A Live Link Face file needs no face.", "Leave out --identity.")
    (path,) = arguments.sources
    return replace(read_live_link(path, arguments.fps), source=readable(path.name))


def _of_film(arguments: argparse.Namespace, err: Console) -> ExpressionClip:
    from backend.expression.transfer import transfer_video  # takes seconds

    (path,) = arguments.sources
    if arguments.fps is not None:
        raise LikenessError("usage", "A video has its own rate.", "Leave out --fps.")
    with TerminalProgress(err, TRANSFER_SHARES) as progress:
        return replace(transfer_video(path, arguments.identity, progress), source=readable(path.name))


def _of_photos(arguments: argparse.Namespace, err: Console) -> ExpressionClip:
    from backend.expression.transfer import transfer_photos, transfer_sequence  # takes seconds

    sources, identity = arguments.sources, arguments.identity
    if not any(os.path.isdir(source) or source.suffix.lower() in PHOTO_SUFFIXES for source in sources):
        raise LikenessError("usage", "Only photos can be given together.", "Give one video at a time.")
    photos, name = find_photos(sources), readable(sources[0].name)
    with TerminalProgress(err, TRANSFER_SHARES) as progress:
        if arguments.fps is None:
            take = transfer_photos(name, photos, identity, progress)
        else:
            take = transfer_sequence(name, in_name_order(photos), arguments.fps, identity, progress)
    left_out = tuple((photo, why) for photo, _, why in left_out_files(sources))
    return replace(take, left_out=take.left_out + left_out)


def _take_in(folder: Path, fps: float | None) -> ExpressionClip | None:
    """The only take of Live Link Face in a folder, as the app exports it; None without one. A note names the pictures
    and films beside it. Raises ``LikenessError`` for several."""
    takes = {}
    for path in sorted(folder.glob("*.[cC][sS][vV]")):
        with suppress(LikenessError):  # a table of something else
            takes[readable(path.name)] = read_live_link(path, fps)
    if len(takes) > 1:
        raise LikenessError("usage", f"The folder holds several takes: {', '.join(takes)}.", "Give one of them.")
    if not takes:
        return None
    ((name, take),) = takes.items()
    take = replace(take, source=readable(folder.name))
    inside = photo_folder(folder)
    others = [readable(path.name) for path in (*inside.films, *inside.photos, *inside.raw)]
    if not others:
        return take
    return replace(take, notes=(*take.notes, f"The folder's take {name} was read, not {_shortened(others)}."))


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
