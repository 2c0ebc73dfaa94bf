"""The commands of ``python -m backend``, and their progress in the terminal.

``reconstruct``: photos in, a folder of files out. ``canonical``: photos in, pictures of the canonical face out.
``transfer``: pictures of a face in, ``expression.json`` out. ``serve``: the service in the foreground.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn
from rich.table import Table

from backend.command_line.photo_paths import check_there_are, find_photos, in_name_order, left_out_files, readable
from backend.errors import LikenessError
from backend.exchange.all_or_none import PREVIEW, RESULT_NAMES, OutputFolder, check_writable, disk_errors_named
from backend.options import options_of
from backend.progress import FILE_SHARES, TRANSFER_SHARES, TimeLeft
from backend.system.processes import keep_freed_memory
from protocol.photo_folder import PHOTO_SUFFIXES, photo_folder

if TYPE_CHECKING:
    from backend.expression.clip import ExpressionClip
    from backend.photos.collection import PhotoSource


def run_reconstruct(arguments: argparse.Namespace) -> None:
    """Reconstruct a face by the arguments; the table goes to standard output, progress to standard error.

    Raises ``LikenessError`` for errors that the user can act on, ``KeyboardInterrupt`` on Ctrl-C.
    """
    start = time.monotonic()
    keep_freed_memory()
    out, err = Console(), Console(stderr=True)
    with photos_to_folder(arguments) as (sources, folder):
        # Imported here because it takes seconds, and may find that something is not installed.
        from backend.exchange.folder import draw_preview, file_stages, write_last
        from backend.photos.corrections import read_corrections
        from backend.pipeline import ReconstructOptions, Watch, reconstruct

        corrections = () if arguments.corrections is None else read_corrections(arguments.corrections)
        options = ReconstructOptions(**options_of(arguments), device=arguments.device, corrections=corrections)
        with TerminalProgress(err, FILE_SHARES) as progress, folder.writing(RESULT_NAMES, progress, [PREVIEW]) as files:
            output = file_stages(files, folder.path, progress)
            reconstruction = reconstruct(sources, options, Watch(progress), output)
            write_last(reconstruction.asset.report, files, folder.path)
        out.print(verdict_table(reconstruction.asset.report["photos"]))
        _say_written(out, arguments.out, start, PREVIEW)
        with suppress(KeyboardInterrupt, LikenessError):  # the result is there
            draw_preview(reconstruction.asset, reconstruction.previews, folder)


def _say_written(out: Console, folder: Path, start: float, first: str) -> None:
    took = format_seconds(time.monotonic() - start)
    said = readable(f"Wrote {folder} in {took}. Look at {folder / first} first.")
    out.print(said, highlight=False, soft_wrap=True)


@contextmanager
def photos_to_folder(arguments: argparse.Namespace) -> Iterator[tuple[list[PhotoSource], OutputFolder]]:
    """The photos of the arguments, with reading already started, and the output folder, which gets all files or none.

    Raises ``LikenessError`` where there is no photo, or the device is missing.
    """
    mesh = getattr(arguments, "mesh", None)
    photos = find_photos(arguments.photos)
    if mesh is None:
        check_there_are(photos)
    with sigterm_as_interrupt(), OutputFolder(arguments.out) as folder:
        from backend.photos.collection import PhotoSource
        from backend.photos.reading import start_reading  # takes seconds

        start_reading(len(photos))
        check_device(arguments.device)
        sources = [PhotoSource(name, path=path) for name, path in photos]
        sources += [] if mesh is None else [PhotoSource.from_path(mesh)]
        sources += [PhotoSource(name, path=path, left_out=why) for name, path, why in left_out_files(arguments.photos)]
        yield sources, folder


def check_device(name: str) -> None:
    """Raise ``LikenessError`` with code "missing_part" when CUDA is requested but missing."""
    if name != "cuda":
        return
    import torch

    if not torch.cuda.is_available():
        advice = "Use --device auto, or run: python -m backend doctor"
        raise LikenessError("missing_part", "torch finds no CUDA device.", advice)


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
            write_canonical_folder(made, folder, progress)
    out.print(verdict_table(made.verdicts))
    _say_written(out, arguments.out, start, "canonical_photos.png")


class TerminalBar:
    """A bar of rich's ``columns``, as a context, on a terminal; elsewhere ``bar`` is None."""

    def __init__(self, console: Console, *columns: ProgressColumn) -> None:
        self.bar = Progress(*columns, console=console, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()


class TerminalProgress(TerminalBar):
    """A ``ProgressReporter`` that draws a bar on a terminal, and prints a line per stage elsewhere."""

    def __init__(self, console: Console, shares: Mapping[str, float]) -> None:
        name, left = TextColumn("{task.description:<24}"), TextColumn("{task.fields[left]}")
        super().__init__(console, name, BarColumn(), TaskProgressColumn(), left)
        self._console = console
        self._time = TimeLeft(shares)
        self._stage = ""
        if self.bar is not None:
            self._task = self.bar.add_task("starting", total=1.0, left="")

    def __call__(self, stage: str, fraction: float) -> None:
        self._time.update(stage, fraction)
        if self.bar is not None:
            left = self._time.seconds_left
            text = "" if left is None else f"about {format_seconds(left)} left"
            self.bar.update(self._task, description=stage, completed=self._time.fraction, left=text)
        elif stage != self._stage:
            self._console.print(f"{self._time.elapsed:6.1f} s  {stage}", highlight=False)
        self._stage = stage


def format_seconds(seconds: float) -> str:
    """``seconds`` in words: 8 s, 2 min 05 s."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


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
    if len(sources) == 1 and os.path.isdir(sources[0]) and (take := _take_in(sources[0], arguments.fps)) is not None:
        return replace(take, source=name)
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


def _take_in(folder: Path, fps: float | None) -> ExpressionClip | None:
    """The only take of Live Link Face in a folder, as the app exports it; None without one. A note names the pictures
    and films beside it. Raises ``LikenessError`` for several."""
    from backend.expression.clip import read_live_link

    takes = {}
    for path in sorted(Path(folder).glob("*.[cC][sS][vV]")):
        with suppress(LikenessError):
            takes[readable(path.name)] = read_live_link(path, fps)
    if len(takes) > 1:
        raise LikenessError("usage", f"The folder holds several takes: {', '.join(takes)}.", "Give one of them.")
    for name, take in takes.items():
        inside = photo_folder(folder)
        others = [readable(path.name) for path in (*inside.films, *inside.photos, *inside.raw)]
        beside = f"The folder's take {name} was read, not {_shortened(others)}."
        return replace(take, notes=(*take.notes, *[beside] * bool(others)))
    return None


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


def run_serve(arguments: argparse.Namespace) -> None:
    """Serve until stopped. When ready, one line of JSON goes to standard output (docs/protocol.md); logs go to
    standard error.

    Raises ``LikenessError`` when the server cannot start.
    """
    import msgspec

    from backend.service.access import ServerSettings, is_public_key, parse_bind_address
    from backend.service.messages import PROTOCOL
    from backend.service.private_files import config_folder
    from backend.service.server import Server

    if arguments.owner is not None and not is_public_key(arguments.owner):
        raise LikenessError("usage", f"{arguments.owner!r} is no public key.", "A key has 40 characters.")
    os.umask(0o077)  # photos and results are this user's alone, in this process and its workers
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    settings = ServerSettings(
        config_folder=config_folder(),
        bind=parse_bind_address(arguments.bind),
        device=arguments.device,
        owner=arguments.owner,
    )
    with Server(settings) as server:

        def stop(number: int, frame: FrameType | None) -> None:
            server.stop("signal")

        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        if arguments.stop_with_input:

            def watch_input() -> None:
                with suppress(OSError):  # standard input may be closed
                    while os.read(0, 4096):  # not sys.stdin, whose lock would be held at the end
                        pass
                server.stop("input")

            threading.Thread(target=watch_input, name="input", daemon=True).start()
        ready = {
            "event": "ready",
            "protocol": PROTOCOL,
            "endpoint": server.endpoint,
            "public_key": server.public_key,
            "pid": os.getpid(),
            "instance": server.instance,
            "config_dir": str(settings.config_folder),
        }
        print(msgspec.json.encode(ready).decode(), flush=True)
        reason = server.run()
        logging.getLogger(__name__).info("stopped: %s", reason)
