"""Read and write safetensors files using only the standard library and numpy.

The format: eight bytes with the header's length (little endian), a JSON header with dtype, shape and byte range of
every tensor (and ``__metadata__``, a map of strings), then the raw bytes without gaps. Training machines with only
torch and numpy read their checkpoints with this; the files are compatible with the ``safetensors`` package.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

MAX_HEADER_BYTES = 100_000_000
_LARGEST = 1 << 62  # bytes or items: larger than any disk
_CHECKSUM = "checksum"
"""Entry of ``__metadata__``: SHA-256 of the rest of the header and of all data. Files by other programs have none."""
ITEM_BYTES: dict[str, int] = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U64": 8,
    "U32": 4,
    "U16": 2,
    "U8": 1,
    "BOOL": 1,
}
NUMPY_TYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
TYPE_NAMES: dict[np.dtype, str] = {dtype: name for name, dtype in NUMPY_TYPES.items()}


class BrokenTensorFileError(ValueError):
    """The file is not a complete, well-formed safetensors file."""


@dataclass(frozen=True)
class RawTensor:
    """A tensor as stored in a file: safetensors type name, shape, little-endian bytes in C order."""

    type_name: str
    shape: tuple[int, ...]
    data: memoryview


@dataclass(frozen=True)
class RawFile:
    """All tensors of a file by name, the strings of ``__metadata__``, and whether a checksum was present and valid."""

    tensors: Mapping[str, RawTensor]
    metadata: Mapping[str, str]
    checked: bool = False


@dataclass(frozen=True)
class ArrayFile:
    """As ``RawFile``, with the tensors as numpy arrays."""

    arrays: Mapping[str, np.ndarray]
    metadata: Mapping[str, str] = field(default_factory=dict)
    checked: bool = False


def read_raw(path: Path | str) -> RawFile:
    """Read a whole file into memory and slice it by its header.

    Raises
    ------
    BrokenTensorFileError : truncated, not safetensors, or with byte ranges that do not fit the shapes.
    OSError : the file cannot be read.
    """
    with open(path, "rb") as file:
        content = bytearray(file.read())
    header, data_start = _parse_header(content, str(path))
    data = memoryview(content)[data_start:]
    if header.checksum is not None and header.checksum != _checksum(header, [data]):
        raise BrokenTensorFileError(f"{path}: its content is not what was written; the file is damaged")
    tensors = {}
    for name, entry in header.entries.items():
        expected = ITEM_BYTES[entry.type_name] * math.prod(entry.shape)
        if not 0 <= entry.start <= entry.stop <= len(data) or entry.stop - entry.start != expected:
            raise BrokenTensorFileError(
                f"{path}: tensor {name!r} of shape {entry.shape} needs {expected} bytes, bytes {entry.start} to "
                f"{entry.stop} of {len(data)} are given; the file is cut off or damaged"
            )
        tensors[name] = RawTensor(entry.type_name, entry.shape, data[entry.start : entry.stop])
    return RawFile(tensors, header.metadata, header.checksum is not None)


def read_metadata(path: Path | str) -> Mapping[str, str]:
    """Read only the strings of ``__metadata__``; raises as ``read_raw`` does, also if the data is cut off."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(8)
        length = int.from_bytes(head, "little") if len(head) == 8 else -1
        if not 0 < length <= min(MAX_HEADER_BYTES, size - 8):
            raise BrokenTensorFileError(f"{path}: not a safetensors file")
        header, data_start = _parse_header(head + file.read(length), str(path))
    end = max((entry.stop for entry in header.entries.values()), default=0)
    if data_start + end > size:
        raise BrokenTensorFileError(
            f"{path}: the file is cut off, {data_start + end} bytes are needed and {size} are there"
        )
    return header.metadata


def read_arrays(path: Path | str) -> ArrayFile:
    """Read a file as writable numpy arrays; raises as ``read_raw`` does, and for bfloat16."""
    raw = read_raw(path)
    arrays = {}
    for name, tensor in raw.tensors.items():
        if tensor.type_name not in NUMPY_TYPES:
            raise BrokenTensorFileError(f"{path}: tensor {name!r} is {tensor.type_name}, which numpy cannot hold")
        flat = np.frombuffer(tensor.data, dtype=NUMPY_TYPES[tensor.type_name])
        arrays[name] = flat.reshape(tensor.shape)
    return ArrayFile(arrays, raw.metadata, raw.checked)


def write_arrays(path: Path | str, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write numpy arrays; raises ``TypeError`` for a dtype that the format lacks."""
    raw = {}
    for name, array in arrays.items():
        little = np.ascontiguousarray(array).reshape(array.shape)
        little = little.astype(little.dtype.newbyteorder("<"), copy=False)
        if little.dtype not in TYPE_NAMES:
            raise TypeError(f"array {name!r} has dtype {array.dtype}, which safetensors does not have")
        data = memoryview(little.reshape(-1).view(np.uint8))
        raw[name] = RawTensor(TYPE_NAMES[little.dtype], tuple(array.shape), data)
    write_raw(path, raw, metadata)


def write_raw(path: Path | str, tensors: Mapping[str, RawTensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a file atomically: ``path`` is always either the old file or the complete new one.

    The bytes are written to a temporary file beside it, flushed to the disk, and renamed.
    """
    path = Path(path)
    # Wide types first, so that every tensor starts at a multiple of its item size.
    order = sorted(tensors, key=lambda name: (-ITEM_BYTES[tensors[name].type_name], name))
    entries = {}
    start = 0
    for name in order:
        tensor = tensors[name]
        stop = start + len(tensor.data)
        entries[name] = _Entry(tensor.type_name, tuple(tensor.shape), start, stop)
        start = stop
    strings = dict(metadata or {})
    strings[_CHECKSUM] = _checksum(_Header(entries, metadata or {}), [tensors[name].data for name in order])
    head = json.dumps(
        {"__metadata__": strings, **{name: entry.to_json() for name, entry in entries.items()}},
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode()
    head += b" " * (-len(head) % 8)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(partial, "wb") as file:
            file.write(len(head).to_bytes(8, "little"))
            file.write(head)
            for name in order:
                file.write(tensors[name].data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a power cut, where the operating system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True)
class _Entry:
    """One tensor's header entry; ``start`` and ``stop`` are byte offsets into the data."""

    type_name: str
    shape: tuple[int, ...]
    start: int
    stop: int

    def to_json(self) -> dict[str, object]:
        return {"dtype": self.type_name, "shape": list(self.shape), "data_offsets": [self.start, self.stop]}


@dataclass(frozen=True)
class _Header:
    entries: Mapping[str, _Entry]
    metadata: Mapping[str, str]
    checksum: str | None = None


def _checksum(header: _Header, data: Iterable[memoryview]) -> str:
    """SHA-256, in hexadecimal digits, of a header without its checksum and of the data."""
    told = [dict(header.metadata), {name: entry.to_json() for name, entry in header.entries.items()}]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for part in data:
        digest.update(part)
    return digest.hexdigest()


def _parse_header(content: bytes | bytearray, name: str) -> tuple[_Header, int]:
    """The decoded header and the data's offset; raises ``BrokenTensorFileError`` for any defect of the header."""
    length = int.from_bytes(content[:8], "little") if len(content) >= 8 else -1
    if not 0 < length <= min(MAX_HEADER_BYTES, len(content) - 8):
        raise BrokenTensorFileError(f"{name}: not a safetensors file, or cut off in its header")
    try:
        header = json.loads(bytes(content[8 : 8 + length]))
    except (ValueError, RecursionError) as error:
        raise BrokenTensorFileError(f"{name}: the header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise BrokenTensorFileError(f"{name}: the header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BrokenTensorFileError(f"{name}: the header's metadata are no strings")
    entries = {tensor: _entry(entry, f"{name}: tensor {tensor!r}") for tensor, entry in header.items()}
    return _Header(entries, metadata, metadata.pop(_CHECKSUM, None)), 8 + length


def _entry(told: object, what: str) -> _Entry:
    """Validate a tensor's header entry; all numbers must be non-negative integers."""
    try:
        type_name, shape, (start, stop) = told["dtype"], tuple(told["shape"]), told["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenTensorFileError(f"{what} has a malformed header entry ({error!r})") from error
    numbers = (*shape, start, stop)
    if not isinstance(type_name, str) or type_name not in ITEM_BYTES:
        raise BrokenTensorFileError(f"{what} has a malformed header entry (no such type: {type_name!r:.40})")
    if not all(type(number) is int and 0 <= number < _LARGEST for number in numbers):
        raise BrokenTensorFileError(f"{what} has a malformed header entry (sizes are whole numbers)")
    return _Entry(type_name, shape, start, stop)
