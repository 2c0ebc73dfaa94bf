"""Safetensors files with a checksum, beside those that the package alone writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from backend.system.files import BrokenTensorFileError, read_arrays, read_metadata, write_arrays

ARRAYS = {
    "f32": np.arange(12, dtype=np.float32).reshape(3, 4),
    "transposed": np.arange(12, dtype=np.float64).reshape(3, 4).T,
    "f16": np.array([1.5, -2.0, 6e-5], np.float16),
    "ids": np.array([[-1, 2**40]], np.int64),
    "bytes": np.arange(5, dtype=np.uint8),
    "flags": np.array([True, False]),
    "scalar": np.array(7, np.int32),
    "empty": np.zeros((0, 3), np.float32),
    "big endian": np.array([1, 2, 3], ">i4"),
    "größe": np.array([1], np.int16),
}
METADATA = {"format": "pt", "state": '{"a": "ü"}'}


def test_the_package_reads_what_we_write(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_arrays(path, ARRAYS, METADATA)
    read = safetensors.numpy.load_file(path)
    assert read.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert read[name].shape == array.shape and np.array_equal(read[name], array), name
    with safe_open(path, "numpy") as file:
        assert METADATA.items() <= file.metadata().items()
    again = tmp_path / "b.safetensors"
    write_arrays(again, ARRAYS, METADATA)
    assert again.read_bytes() == path.read_bytes()


def test_we_read_what_the_package_writes(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    arrays = {name: np.ascontiguousarray(value).reshape(value.shape) for name, value in ARRAYS.items()}
    del arrays["big endian"]
    safetensors.numpy.save_file(arrays, path, METADATA)
    read = read_arrays(path)
    assert read.arrays.keys() == arrays.keys() and read.metadata == METADATA == read_metadata(path)
    for name, array in arrays.items():
        assert read.arrays[name].dtype == array.dtype and np.array_equal(read.arrays[name], array), name
    read.arrays["f32"][0, 0] = 5.0  # writable


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_arrays(path, {"a": np.arange(4, dtype=np.float32)}, {"k": "v"})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        for read in (read_arrays, read_metadata):
            with pytest.raises(BrokenTensorFileError):
                read(path)


@pytest.mark.parametrize(
    "header",
    [
        '{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,12]}}',
        '{"a":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}',
        '{"a":{"dtype":"F99","shape":[4],"data_offsets":[0,16]}}',
        '{"a":{"dtype":"F32","shape":"x","data_offsets":[0,16]}}',
        '{"a":{"shape":[4]}}',
        "[1, 2]",
        "{",
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(16))
    with pytest.raises(BrokenTensorFileError):
        read_arrays(path)


def test_types_that_the_format_does_not_have_are_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="'z' has dtype complex128"):
        write_arrays(tmp_path / "a.safetensors", {"z": np.zeros(2, np.complex128)})
    assert not list(tmp_path.iterdir())
