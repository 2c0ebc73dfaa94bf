"""The files in assets/: where they are, how they are read once, written atomically, and checked by their sums."""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, wraps
from pathlib import Path
from threading import RLock
from typing import Any, ParamSpec, TypeVar

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, TensorSpec, safe_open, serialize

from backend.errors import DamagedFileError
from backend.system import ASSETS as ASSETS

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


def made_once(make: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """``functools.cache`` that calls ``make`` only once per arguments, also across threads: other threads wait and get
    the same object, whereas ``functools.cache`` alone may compute it again. Exceptions are not cached."""
    cached, lock = cache(make), RLock()

    @wraps(make)
    def ask(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
        with lock:
            return cached(*args, **kwargs)

    ask.cache_clear = cached.cache_clear
    return ask


_CHECKSUM = "checksum"
"""Entry of ``__metadata__``: SHA-256 of the rest of the header and of all data. Files by other programs have none."""

Tensors = TypeVar("Tensors")


class BrokenTensorFileError(ValueError):
    """The file is not a complete, well-formed safetensors file."""


@dataclass(frozen=True)
class ArrayFile:
    """All arrays of a file by name, the strings of ``__metadata__``, and whether a checksum was present and valid."""

    arrays: Mapping[str, np.ndarray]
    metadata: Mapping[str, str] = field(default_factory=dict)
    checked: bool = False


def read_arrays(path: Path | str) -> ArrayFile:
    """Read a file as writable numpy arrays; raises as ``read_with`` does, and for bfloat16."""
    return ArrayFile(*read_with(safetensors.numpy.load, path))


def read_with(load: Callable[[bytes], Tensors], path: Path | str) -> tuple[Tensors, Mapping[str, str], bool]:
    """Read a file with ``load`` (of ``safetensors.numpy`` or ``safetensors.torch``): what it returns, the strings of
    ``__metadata__``, and whether a checksum was present and valid.

    Raises
    ------
    BrokenTensorFileError : truncated, not safetensors, changed since it was written, or of a type that ``load`` lacks.
    OSError : the file cannot be read.
    """
    content = Path(path).read_bytes()
    try:
        tensors = load(content)
        header, data = _split(content)
    except KeyError as error:
        raise BrokenTensorFileError(f"{path}: {error} is a type that cannot be read here") from error
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:  # sizes that Python, numpy or torch refuse
        raise BrokenTensorFileError(f"{path}: not a safetensors file, or cut off or damaged ({error})") from error
    metadata = header.pop("__metadata__", None) or {}
    checksum = metadata.pop(_CHECKSUM, None)
    if checksum is not None and checksum != _checksum(metadata, header, data):
        raise BrokenTensorFileError(f"{path}: its content is not what was written; the file is damaged")
    return tensors, metadata, checksum is not None


def read_metadata(path: Path | str) -> Mapping[str, str]:
    """Read only the strings of ``__metadata__``; raises ``BrokenTensorFileError`` also if the data is cut off, and
    ``OSError``."""
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise BrokenTensorFileError(f"{path}: not a safetensors file, or cut off ({error})") from error
    return {name: text for name, text in metadata.items() if name != _CHECKSUM}


def write_arrays(path: Path | str, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write numpy arrays atomically; raises ``TypeError`` for a dtype that the format lacks."""
    little = {
        name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
        for name, array in arrays.items()
    }
    write_specs(
        path,
        {name: tensor_spec(name, array.dtype.name, array.shape, array) for name, array in little.items()},
        metadata,
    )


def tensor_spec(name: str, dtype: str, shape: tuple[int, ...], data: np.ndarray) -> TensorSpec:
    """Describe tensor ``name`` by numpy's or torch's name of its dtype and its bytes, C order and little-endian.

    ``data`` must outlive the result. Raises ``TypeError`` for a dtype that the format lacks.
    """
    try:
        return TensorSpec(dtype=dtype, shape=shape, data_ptr=data.ctypes.data, data_len=data.nbytes)
    except SafetensorError as error:
        raise TypeError(f"tensor {name!r} has dtype {dtype}, which safetensors does not have") from error


def write_specs(path: Path | str, specs: Mapping[str, TensorSpec], metadata: Mapping[str, str] | None = None) -> None:
    """Write a file atomically: ``path`` is always either the old file or the complete new one.

    The bytes are written to a temporary file beside it, flushed to the disk, and renamed. The same tensors and metadata
    give the same bytes; the package alone writes metadata in a random order.
    """
    path, metadata = Path(path), dict(metadata or {})
    header, data = _split(serialize(specs))
    strings = metadata | {_CHECKSUM: _checksum(metadata, header, data)}
    head = json.dumps({"__metadata__": strings, **header}, separators=(",", ":"), ensure_ascii=False).encode()
    head += b" " * (-len(head) % 8)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(partial, "wb") as file:
            file.writelines((len(head).to_bytes(8, "little"), head, data))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _split(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """The header of a well-formed file, and its data."""
    data_start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:data_start]), memoryview(content)[data_start:]


def _checksum(metadata: Mapping[str, str], entries: Mapping[str, Any], data: memoryview) -> str:
    """SHA-256, in hexadecimal digits, of a header without its checksum and of the data."""
    digest = hashlib.sha256(json.dumps([metadata, entries], sort_keys=True).encode())
    digest.update(data)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a power cut, where the operating system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_asset(path: Path) -> ArrayFile:
    """Read a file of ``assets/`` that contains its own checksum.

    Raises
    ------
    DamagedFileError : the file is missing, cut off, changed, or without a checksum.
    """
    try:
        arrays = read_arrays(path)
    except (OSError, BrokenTensorFileError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its content is not what was written"
        raise DamagedFileError(path, f"it cannot be read ({reason})") from error
    if not arrays.checked:
        raise DamagedFileError(path, "it has no checksum")
    return arrays


def read_table(path: Path) -> Mapping[str, np.ndarray]:
    """Read the arrays of a shipped ``.npz`` file, verified by the archive's checksums; never unpickles.

    Raises
    ------
    DamagedFileError : the file is missing, cut off or changed.
    """
    try:
        content = io.BytesIO(path.read_bytes())
        with zipfile.ZipFile(content) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise zipfile.BadZipFile(broken)
        content.seek(0)
        with np.load(content, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except OSError as error:
        raise DamagedFileError(path, f"it cannot be read ({error.strerror})") from error
    except Exception as error:  # numpy and zipfile raise many kinds of errors, even Python's tokenizer's
        raise DamagedFileError(path, "its content is not what was written") from error
