"""Files that are written together: all of them or none."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from backend.errors import LikenessError
from backend.parallel import each
from backend.progress import ProgressReporter, silent
from backend.stages import WRITING


def write_together(
    out_dir: Path,
    names: Sequence[str],
    steps: Sequence[Callable[[Path], None]],
    progress: ProgressReporter = silent,
    last: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Write the files ``names`` into ``out_dir``, all or none; the steps make them in the folder that they are given,
    several at a time, and ``last`` after them.

    Raises ``LikenessError`` with code "disk".
    """
    out_dir = Path(out_dir)
    with _disk_errors_named(out_dir), _temporary_folder(out_dir) as temporary:
        progress(WRITING, 0.0)
        share = 1.0 / (len(steps) + 1)
        each(lambda step: step(temporary), steps, told=lambda done: progress(WRITING, share * done))
        last(temporary)
        for name in names:
            _flush_to_disk(temporary / name)
        _move_into_place(temporary, out_dir, names)
    progress(WRITING, 1.0)


def check_writable(out_dir: Path) -> None:
    """Fail early, before any work is done, when ``out_dir`` cannot be written; leaves no trace.

    Raises ``LikenessError`` with code "disk".
    """
    with _disk_errors_named(Path(out_dir)), _temporary_folder(Path(out_dir)) as temporary:
        (temporary / "probe").write_bytes(b"\0")


@contextmanager
def _temporary_folder(out_dir: Path) -> Iterator[Path]:
    """A hidden folder on the disk of ``out_dir``, gone at the end; so are the parents made for it, where unused."""
    if out_dir.exists() and not out_dir.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(out_dir))
    # Inside an existing folder, because that may be a disk of its own; else beside the folder that is to come.
    parent = out_dir if out_dir.is_dir() else out_dir.absolute().parent
    made_parents = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".likeness-", dir=parent))
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    finally:
        for folder in made_parents:
            with suppress(OSError):  # not empty: in use by now
                folder.rmdir()


def _move_into_place(temporary: Path, out_dir: Path, names: Sequence[str]) -> None:
    """Move the files from ``temporary`` to ``out_dir``; puts the earlier ones back when one cannot be moved."""
    if not out_dir.exists():
        temporary.chmod(0o777 & ~_umask())  # mkdtemp made it private
        temporary.rename(out_dir)
        return
    earlier = temporary / "earlier"
    earlier.mkdir()
    moves = [(out_dir / name, earlier / name) for name in names if (out_dir / name).exists()]
    moves += [(temporary / name, out_dir / name) for name in names]
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            source.rename(target)
            done.append((source, target))
    except BaseException:
        for source, target in reversed(done):
            target.rename(source)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _flush_to_disk(path: Path) -> None:
    """Make sure that the bytes are on the disk: some file systems report a full disk only here."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def _disk_errors_named(out_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(error, out_dir) from error


def disk_error(error: OSError, out_dir: Path) -> LikenessError:
    """The sentence for a person about an ``OSError`` while writing to ``out_dir``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LikenessError(
            "disk", f"The disk that holds {out_dir} is full.", "Free some space or choose another folder."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return LikenessError("disk", f"The folder {out_dir} may not be written.", "Choose another folder with --out.")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return LikenessError("disk", f"{out_dir} is not a folder.", "Choose another folder with --out.")
    reason = error.strerror or type(error).__name__
    return LikenessError("disk", f"Writing to {out_dir} failed: {reason}.", "Choose another folder with --out.")
