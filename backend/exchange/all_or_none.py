"""Write files atomically together: all of them or none.

File names of a reconstruction. Imports nothing, so that it loads at once.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from backend.errors import LikenessError
from backend.progress import WRITING, ProgressReporter, silent
from protocol.file_lock import lock_file

_WRINKLES = ("brows_up", "brows_down", "squint", "sneer", "smile", "stretch", "pucker", "jaw_open", "chin")
RESULT_NAMES: tuple[str, ...] = (
    "face.glb",
    "face.obj",
    "face.mtl",
    "albedo.png",
    "eyes.png",
    "hair.json",
    "hair.png",
    "normal.png",
    "displacement.png",
    *(f"wrinkles_{keys}.png" for keys in _WRINKLES),
    "detail.json",
    "cameras.json",
    "expressions.json",
    "report.json",
)
"""The result of a reconstruction."""
PREVIEW = "preview.png"
"""Drawn when the result is there."""
FILE_NAMES = (*RESULT_NAMES, PREVIEW)
"""All files that a reconstruction writes; it touches no other file in the folder."""


_MOST_SECONDS_TO_LOCK = 0.05
"""A run that is just ending removes its lock within this time."""
_MOST_SECONDS_TO_CLEAR = 1.0
"""Time limit for removing unwanted files: after Ctrl-C the user waits, and the next run removes the rest."""


class OutputFolder:
    """An output folder locked against other runs; a context manager.

    It appears only when its files are complete. Until then a hidden folder holds the files and a lock. The hidden
    folder lies beside a folder yet to be made, or inside an existing one, which may be on its own disk. Remains of a
    killed run are removed from it, and files that it was replacing are put back.

    Raises ``LikenessError`` on entering: code "disk" if it cannot be written, "in_use" while another run holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._held = ExitStack()
        self._files = self.path  # where they are written first

    def __enter__(self) -> OutputFolder:
        with self._held, disk_errors_named(self.path):
            if _is_folder(self.path):
                if self._sibling.exists():  # left by a run that began before the folder existed
                    self._hold(self._sibling)
                self._files = self._hold(self._inside)
            else:
                self._held.enter_context(_created_parents(self.path.absolute().parent))
                self._files = self._hold(self._sibling)
            self._held = self._held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @contextmanager
    def writing(
        self, names: Sequence[str], progress: ProgressReporter = silent, outdated: Sequence[str] = ()
    ) -> Iterator[Path]:
        """Give an empty folder for the files ``names``; at the end, unless there was an error, they are moved into
        place, and the files ``outdated`` by them go. ``progress`` receives stage ``WRITING`` at the end, which is the
        last chance to cancel."""
        for name in (*names, *outdated):
            if (self.path / name).is_dir():
                raise LikenessError("disk", f"{self.path / name} is a folder.", "Choose another folder with --out.")
        with disk_errors_named(self.path):
            files = _emptied(self._files)
        yield files
        with disk_errors_named(self.path):
            for name in names:
                _flush_to_disk(files / name)
            if self.path.exists() and files.parent != self._inside:
                self._files = self._hold(self._inside)  # another process made the folder in the meantime
            progress(WRITING, 1.0)
            _replace(self.path, files, self._inside / "earlier", names, outdated)

    @property
    def _sibling(self) -> Path:
        return self.path.absolute().parent / hidden_name(self.path.name)

    @property
    def _inside(self) -> Path:
        return self.path / hidden_name("")

    def _hold(self, path: Path) -> Path:
        return self._held.enter_context(_hidden_folder(path, self.path))


def write_together(
    folder: OutputFolder,
    names: Sequence[str],
    steps: Sequence[Callable[[Path], None]],
    progress: ProgressReporter = silent,
) -> None:
    """Write the files ``names`` into ``folder``, all or none. The steps write them into the folder passed to them,
    several in parallel. Raises ``LikenessError`` with code "disk"."""
    from backend.system.parallel import each  # imported here, because it takes a second

    with folder.writing(names, progress) as files, disk_errors_named(folder.path):
        each(lambda step: step(files), steps)


def write_file(path: Path, content: bytes) -> None:
    """Write one file atomically, creating its folder if needed.

    Raises ``LikenessError`` with code "disk", or "in_use" if another run is writing it right now.
    """
    path = Path(path)
    with disk_errors_named(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        with _hidden_folder(path.absolute().parent / hidden_name(path.name), path) as files:
            (files / "file").write_bytes(content)
            _flush_to_disk(files / "file")
            os.replace(files / "file", path)


def check_writable(folder: Path) -> None:
    """Fail early, before any work, if no file can be written into ``folder``; leaves no trace.

    Raises ``LikenessError`` with code "disk".
    """
    with disk_errors_named(Path(folder)), _created_parents(Path(folder)), tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"\0")


def hidden_name(name: str) -> str:
    """Name of the hidden folder or file for an output called ``name``."""
    return f".likeness-{name if len(os.fsencode(name)) < 200 else sha256(os.fsencode(name)).hexdigest()}".rstrip("-")


@contextmanager
def _hidden_folder(path: Path, wanted: Path) -> Iterator[Path]:
    """Make and lock the private folder ``path``, finish what a killed run left, give an empty folder in it, and
    remove it.

    Raises ``LikenessError`` "in_use" for ``wanted`` where another run holds it, "disk" for a symbolic link, which may
    lead to files of others.
    """
    while True:
        path.mkdir(0o700, exist_ok=True)
        for one in (path, path / "lock", path / "files", path / "unwanted", path / "earlier"):
            if one.is_symlink():
                raise LikenessError("disk", f"{one} is a symbolic link.", "Remove it, or choose another place.")
        with suppress(FileNotFoundError):  # the previous run was just removing it
            lock = lock_file(path / "lock", _MOST_SECONDS_TO_LOCK)
            break
    if lock is None:
        sentence = f"Another run is writing {wanted}."
        raise LikenessError("in_use", sentence, "Wait for it, or choose another place with --out.")
    files = path / "files"
    try:
        _put_back(wanted, path / "earlier")
        (_emptied(files) / "full").write_bytes(b"\0")  # fails now if the disk is full
        yield _emptied(files)
    finally:
        until, unwanted = time.monotonic() + _MOST_SECONDS_TO_CLEAR, path / "unwanted"
        while True:
            # Threads that still write after Ctrl-C find it no more. Windows moves no folder with open files.
            with suppress(OSError):
                files.rename(unwanted)
            for folder in (unwanted, files):
                shutil.rmtree(folder, ignore_errors=True)
            if not (unwanted.exists() or files.exists()) or time.monotonic() > until:
                break
            time.sleep(0.02)
        if os.name == "nt":  # Windows cannot remove open files
            lock.release()
        with suppress(OSError):
            (path / "lock").unlink()
        with suppress(OSError):  # the next run already uses it
            path.rmdir()
        lock.release()


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder; False if it does not exist. Raises ``OSError`` for a file or a dangling link."""
    try:
        status = path.stat()
    except FileNotFoundError:
        if not path.is_symlink():
            return False
        status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    return True


@contextmanager
def _created_parents(folder: Path) -> Iterator[None]:
    """Create ``folder`` and its parents; on exit remove those created that are still empty."""
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for parent in made:
            with suppress(OSError):  # not empty, so in use
                parent.rmdir()


def _replace(out_dir: Path, files: Path, earlier: Path, names: Sequence[str], outdated: Sequence[str]) -> None:
    """Move ``names`` from ``files`` into ``out_dir``, in place of earlier ones, and remove ``outdated``: all, or none
    after any error.

    The folder ``earlier`` tells ``_put_back`` what was moved, whenever the process ends: it holds the file that was
    there, or an empty folder where there was none. Where ``earlier`` lies no more, the new files are the result.
    """
    if not out_dir.exists():
        files.rename(out_dir)
        return
    try:
        earlier.mkdir()
        for name in names:
            if os.path.lexists(out_dir / name):
                (out_dir / name).rename(earlier / name)
            else:
                (earlier / name).mkdir()
            (files / name).rename(out_dir / name)
        for name in outdated:
            if os.path.lexists(out_dir / name):
                (out_dir / name).rename(earlier / name)
        earlier.rename(files / "earlier")
    except BaseException:
        _put_back(out_dir, earlier)
        raise


def _put_back(out_dir: Path, earlier: Path) -> None:
    """Undo what ``_replace`` began; it may have ended, or may end here, at any step."""
    for name in os.listdir(earlier) if earlier.is_dir() else ():
        if (earlier / name).is_dir():
            (out_dir / name).unlink(missing_ok=True)
            (earlier / name).rmdir()
        else:
            os.replace(earlier / name, out_dir / name)
    with suppress(FileNotFoundError):
        earlier.rmdir()


def _flush_to_disk(path: Path) -> None:
    """Flush the bytes to the disk: some file systems report a full disk only here."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def disk_errors_named(out_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(error, out_dir) from error


def disk_error(error: OSError, out_dir: Path) -> LikenessError:
    """Error for the user from an ``OSError`` while writing to ``out_dir``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LikenessError(
            "disk", f"The disk that holds {out_dir} is full.", "Free some space or choose another folder."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return LikenessError("disk", f"The folder {out_dir} may not be written.", "Choose another folder with --out.")
    if error.errno == errno.ENAMETOOLONG:
        return LikenessError("disk", "The name of the output is too long.", "Choose a shorter one with --out.")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return LikenessError("disk", f"{out_dir} is not a folder.", "Choose another folder with --out.")
    reason = error.strerror or type(error).__name__
    return LikenessError("disk", f"Writing to {out_dir} failed: {reason}.", "Choose another folder with --out.")
