"""numba with a cache of compiled functions in a private folder, from which damaged files are removed at the start.

numba keeps compiled functions as pickles, believes what it finds there, and ends the run where a file is damaged. Here
they lie in a folder of the user's own by version and installation, and a list beside them holds the SHA-256 of each: a
file that is not on the list, and all of them after a change of the sources, is removed before the first function is
decorated, and numba compiles it again. Where no folder can be written, a temporary one serves the process. Import
``njit``, ``prange`` and ``numba`` from here.
"""

import atexit
import os
import sys
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numba as numba

from backend import __version__

njit, prange = numba.njit, numba.prange

SOURCES = Path(__file__).resolve().parents[1]
LIST = "list.sha256"
_VARIABLE = "NUMBA_CACHE_DIR"


def cache_folder() -> Path | None:
    """The user's folder for compiled functions of these versions; None where the user has no usable home."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~\\AppData\\Local")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not os.path.isabs(base) or (os.name == "posix" and not os.environ.get("HOME", "/").startswith("/")):
        return None
    made_by = f"{__version__}-{numba.__version__}-py{sys.version_info[0]}{sys.version_info[1]}"
    installed = sha256(str(SOURCES).encode()).hexdigest()[:8]
    return Path(base) / "likeness" / f"compiled-{made_by}-{installed}"


def is_private(folder: Path) -> bool:
    """Whether the folder can be made or is there, belongs to this user, and only this user can write into it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if os.name == "posix" and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
            return False
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def sources_digest(folder: Path = SOURCES) -> str:
    """SHA-256 of the files below ``folder`` that have compiled functions, which call each other across files; numba
    itself looks only at the file of the function that is called."""
    files = (path.read_bytes() for path in sorted(folder.rglob("*.py")))
    return sha256(b"".join(file for file in files if b"numba_cache" in file)).hexdigest()


def _compiled(folder: Path) -> list[tuple[Path, str]]:
    """The files of compiled functions, and their names in the list."""
    return [(path, path.relative_to(folder).as_posix()) for path in folder.rglob("*.nb[ci]")]


def _listed(folder: Path) -> set[str]:
    """Lines of the list: the sources' digest, and the digest and name of each file."""
    with suppress(OSError):
        return set((folder / LIST).read_text(errors="replace").splitlines())
    return set()


def remove_damaged(folder: Path) -> None:
    """Remove compiled functions that are not as they are listed, or all where the sources have changed."""
    listed = _listed(folder)
    known = listed if sources_digest() in listed else set()
    for path, name in _compiled(folder):
        with suppress(OSError):
            if f"{sha256(path.read_bytes()).hexdigest()} {name}" not in known:
                path.unlink()


def list_compiled() -> None:
    """Add what this process compiled to the list: after a head, because processes may be ended, and at the end."""
    if _checked is None:
        return
    with suppress(OSError):
        times = {name: path.stat().st_mtime_ns for path, name in _compiled(_checked)}
        if times == _at_start:
            return
        kept = {line.partition(" ")[2]: line for line in _listed(_checked)}
        lines = [_sources]
        for path, name in _compiled(_checked):
            is_new = times.get(name) != _at_start.get(name)
            lines.append(f"{sha256(path.read_bytes()).hexdigest()} {name}" if is_new else kept.get(name, ""))
        unfinished = _checked / f"{LIST}.{os.getpid()}"
        unfinished.write_text("\n".join(lines))
        unfinished.replace(_checked / LIST)


def _set_up() -> Path | None:
    """The folder of compiled functions that is checked; None where another one is used."""
    if os.environ.get(_VARIABLE):
        return None
    folder = cache_folder()
    if folder is None or not is_private(folder):
        temporary = tempfile.TemporaryDirectory(prefix="likeness-compiled-")
        atexit.register(temporary.cleanup)
        numba.config.CACHE_DIR = temporary.name
        return None
    numba.config.CACHE_DIR = str(folder)
    remove_damaged(folder)
    atexit.register(list_compiled)
    return folder


_checked = _set_up()
_sources = sources_digest()
_at_start = {} if _checked is None else {name: path.stat().st_mtime_ns for path, name in _compiled(_checked)}
