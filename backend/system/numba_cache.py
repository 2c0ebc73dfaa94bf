"""numba with a cache of compiled functions that is ours: private, checked, and thrown away where it is damaged.

numba keeps compiled functions as pickles beside the sources, believes what it finds there, and ends the run where a
file is damaged. Here they lie in a folder of the user's own by version, each file begins with its SHA-256, and a file
that does not fit it is as if it were not there. Where no folder can be written, a temporary one serves the process.
Import ``njit``, ``prange`` and ``numba`` from here, so that this is so before the first function is decorated.

``dense`` compiles a loop for the processor and for a CUDA card: what is computed where depends on where the arrays are.
"""

import atexit
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache, wraps
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numba as numba
import numpy as np
from numba import njit as njit
from numba import prange as prange
from numba.core import caching, dispatcher
from numba.core.dispatcher import Dispatcher

from backend import __version__

_DIGEST_BYTES = 32
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
    python = f"py{sys.version_info[0]}{sys.version_info[1]}"
    return Path(base) / "likeness" / f"compiled-{__version__}-{numba.__version__}-{python}"


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


def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="likeness-compiled-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _sealed(data: bytes) -> bytes:
    return sha256(data).digest() + data


def _opened(path: str) -> bytes | None:
    """The content behind its digest; None for a file that is missing or does not fit it."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return None
    return data[_DIGEST_BYTES:] if sha256(data[_DIGEST_BYTES:]).digest() == data[:_DIGEST_BYTES] else None


class CheckedCacheFile(caching.IndexDataCacheFile):
    """numba's index and data files, each sealed with a digest."""

    def load(self, key: Any) -> Any:
        """The entry, or None."""
        name = self._load_index().get(key)
        data = None if name is None else _opened(self._data_path(name))
        return None if data is None else pickle.loads(data)

    def save(self, key: Any, data: Any) -> None:
        """Save an entry; does nothing where the disk is full or may not be written."""
        with suppress(OSError):
            super().save(key, data)

    def _load_index(self) -> dict:
        data = _opened(self._index_path)
        if data is None:
            return {}
        version, stamp, overloads = pickle.loads(data)
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: dict) -> None:
        with self._open_for_write(self._index_path) as file:
            file.write(_sealed(self._dump((self._version, self._source_stamp, overloads))))

    def _save_data(self, name: str, data: Any) -> None:
        with self._open_for_write(self._data_path(name)) as file:
            file.write(_sealed(self._dump(data)))


class DeepCache(caching.FunctionCache):
    """numba's cache of a function, which holds for the compiled functions that it calls, however deep: numba's own
    looks at the function and its file alone."""

    def _index_key(self, sig: Any, codegen: Any) -> tuple:
        files: dict[str, float] = {}
        numbers: set[tuple[str, str]] = set()
        waiting, known = [self._py_func], {self._py_func}
        while waiting:
            function = waiting.pop()
            path, names = function.__code__.co_filename, function.__code__.co_names
            files[path] = os.path.getmtime(path) if os.path.exists(path) else 0.0
            values = {name: function.__globals__.get(name) for name in names}
            modules = [value for value in values.values() if isinstance(value, ModuleType)]
            numbers |= {(name, repr(value)) for name, value in values.items() if isinstance(value, int | float | tuple)}
            within = (vars(module).get(name) for module in modules for name in names)
            called = {value.py_func for value in (*values.values(), *within) if isinstance(value, Dispatcher)}
            waiting += called - known
            known |= called
        return (*super()._index_key(sig, codegen), tuple(sorted(files.items())), tuple(sorted(numbers)))


def _set_up() -> None:
    caching.IndexDataCacheFile = CheckedCacheFile
    dispatcher.FunctionCache = DeepCache
    if not os.environ.get(_VARIABLE):
        folder = cache_folder()
        usable = folder is not None and is_private(folder)
        numba.config.CACHE_DIR = str(folder if usable else _temporary_folder())


_set_up()


_BLOCKS, _THREADS = 1056, 128
"""Of a kernel: eight blocks on each of the 132 multiprocessors of an H100; smaller cards run them one after another."""


def dense(loop: Callable[..., None]) -> Callable[..., None]:
    """Compile a function that is one loop ``for i in prange(n)`` over independent elements, and writes its results into
    its arguments: as a parallel loop on the processor, and where an argument is an array of ``on_device`` as a CUDA
    kernel, in which each thread takes every N-th element. The lines are the same for both.
    """
    compiled = njit(cache=True, parallel=True, nogil=True)(loop)

    @wraps(loop)
    def run(*arguments: Any) -> None:
        if any(hasattr(one, "copy_to_host") for one in arguments):
            _kernel(loop)[_BLOCKS, _THREADS](*arguments)
        else:
            compiled(*arguments)

    return run


def _elements(count):
    return range(cuda.grid(1), count, cuda.gridsize(1))  # noqa: F821


@cache
def _kernel(loop: Callable[..., None]) -> Any:
    from numba import cuda  # only where there is a card

    names = {**loop.__globals__, "cuda": cuda}
    names["prange"] = cuda.jit(device=True)(FunctionType(_elements.__code__, names))
    return cuda.jit(FunctionType(loop.__code__, names, loop.__name__))


@cache
def has_card() -> bool:
    """Whether ``dense`` loops can run on a CUDA card: numba-cuda is installed, which is optional, and finds one."""
    if find_spec("numba_cuda") is None and not numba.config.ENABLE_CUDASIM:
        return False
    from numba import cuda

    return bool(cuda.is_available())


def on_device(device: str, *arrays: np.ndarray) -> list[Any]:
    """The arrays where ``device``, "cpu" or a name of torch's for a CUDA card, computes: copies on the card, or the
    arrays themselves, contiguous."""
    arrays = [np.ascontiguousarray(one) for one in arrays]
    if device == "cpu" or not has_card():
        return arrays
    from numba import cuda

    return [cuda.to_device(one) for one in arrays]


def on_host(*arrays: Any) -> list[np.ndarray]:
    """Arrays of ``on_device`` as numpy's; those of the processor are not copied."""
    return [one.copy_to_host() if hasattr(one, "copy_to_host") else one for one in arrays]
