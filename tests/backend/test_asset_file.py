"""Files with a checksum, beside those that the package alone writes: damage is named, whatever it is."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from backend.errors import DamagedFileError
from backend.expression.reading import READER_PATH, load_reader
from backend.fitting.detector_model import DETECTOR_PATH, SURFACE_ERRORS_PATH, load_detector_model
from backend.fitting.solver import POPULATION_PATH
from backend.geometry.template import TEMPLATE_PATH
from backend.models.checkpoints import load_model, read_tensors
from backend.models.parsing.network import FaceParser
from backend.models.registry import MODELS, PARSING, forget_models
from backend.system.files import (
    ASSETS,
    BrokenTensorFileError,
    read_arrays,
    read_asset,
    read_metadata,
    read_table,
    write_arrays,
)

TRAINED = [model.name for model in MODELS if model.trained(ASSETS)]
TABLES = sorted(set(ASSETS.rglob("*.safetensors")) - set(ASSETS.rglob("*-of-*")) - {TEMPLATE_PATH})
"""All but networks and the template, which has a checksum of its own (``test_template.py``)."""
assert {READER_PATH, DETECTOR_PATH, SURFACE_ERRORS_PATH, POPULATION_PATH} < set(TABLES)
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


def flipped(path: Path, place: float) -> None:
    """One bit of a file at a share of its length is another."""
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
def test_every_table_that_ships_is_whole_and_a_flipped_bit_is_found(path: Path, tmp_path: Path) -> None:
    assert read_asset(path).checked
    copy = tmp_path / path.name
    for place in (0.3, 0.7, 1.0):
        shutil.copy(path, copy)
        flipped(copy, place)
        with pytest.raises(DamagedFileError, match=f"{path.name} is damaged.*Install Likeness again"):
            read_asset(copy)


@pytest.mark.parametrize("model", TRAINED)
def test_a_flipped_bit_in_a_models_weights_is_found(model: str, tmp_path: Path) -> None:
    folder = tmp_path / model
    shutil.copytree(ASSETS / model, folder)
    shard = next(iter(sorted(folder.glob(f"{model}-*.safetensors"))))
    flipped(shard, 0.9)
    with pytest.raises(DamagedFileError, match=f"{shard.name} is damaged"):
        load_model(model, folder)


def test_damaged_tables_say_so_where_they_are_used(tmp_path: Path) -> None:
    for load, path in ((load_detector_model, DETECTOR_PATH), (load_reader, READER_PATH)):
        copy = tmp_path / path.name
        copy.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(DamagedFileError, match="is damaged"):
            load(copy)
        with pytest.raises(DamagedFileError, match="No such file"):
            load(tmp_path / "missing.safetensors")


def test_damage_is_not_taken_for_a_net_that_is_not_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: object) -> None:
        raise DamagedFileError(Path("assets/parsing/parsing-00001-of-00001.safetensors"), "a bit is another")

    monkeypatch.setattr(FaceParser, "load", damaged)
    forget_models()
    try:
        with pytest.raises(DamagedFileError):
            PARSING.load()
    finally:
        forget_models()


def test_a_table_without_a_checksum_is_refused_and_files_of_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    head = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + np.float32([1, 2]).tobytes())
    assert read_arrays(path).arrays["a"].tolist() == [1, 2]
    with pytest.raises(DamagedFileError, match="no checksum"):
        read_asset(path)


def entry(**changes: object) -> dict[str, object]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes


@pytest.mark.parametrize(
    "header",
    [
        "[" * 100_000,
        "{" + '"a":{' * 50_000,
        json.dumps([1]),
        json.dumps({"a": 3}),
        json.dumps({"a": None}),
        json.dumps({"a": [1, 2, 3]}),
        json.dumps({"a": {"shape": [2]}}),
        json.dumps({"a": entry(shape=[4])}),
        json.dumps({"a": entry(shape=[1], data_offsets=[4, 8])}),
        json.dumps({"a": entry(shape=3)}),
        json.dumps({"a": entry(shape=[2.5])}),
        json.dumps({"a": entry(shape=[-2])}),
        json.dumps({"a": entry(shape=[10**400])}),
        json.dumps({"a": entry(shape=[2**40, 2**40])}),
        json.dumps({"a": entry(shape=["2"])}),
        json.dumps({"a": entry(shape=[2] + [1] * 70)}),
        json.dumps({"a": entry(shape=[0, 2**63], data_offsets=[0, 0]), "b": entry()}),
        json.dumps({"a": entry(data_offsets=[0, 1e400])}),
        json.dumps({"a": entry(data_offsets=[0, float("nan")])}),
        json.dumps({"a": entry(data_offsets=[0])}),
        json.dumps({"a": entry(data_offsets={"0": 1})}),
        json.dumps({"a": entry(data_offsets=[0, 10**300])}),
        json.dumps({"a": entry(dtype=["F32"])}),
        json.dumps({"a": entry(dtype="F128")}),
        json.dumps({"__metadata__": {"config": 3}, "a": entry()}),
        json.dumps({"__metadata__": [], "a": entry()}),
        json.dumps({"__metadata__": {"checksum": "0" * 64}, "a": entry()}),
        "\udcff{}",
        "{",
    ],
    ids=range(29),
)
def test_no_header_escapes_as_another_error(header: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    head = header.encode("utf-8", "surrogateescape")
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(8))
    with pytest.raises(BrokenTensorFileError):
        read_arrays(path)
    for read in (read_metadata, read_tensors):
        with suppress(BrokenTensorFileError):
            read(path)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_to_a_written_file_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("changed") / "file.safetensors"
    write_arrays(path, {"a": np.arange(6, dtype=np.float32), "b": np.ones((2, 2), np.int8)}, {"told": "yes"})
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        found = read_arrays(path)
    except BrokenTensorFileError:
        return
    # What is left: the checksum's own key, or a space that pads the header.
    assert not found.checked or (found.arrays["a"].tolist() == list(range(6)) and found.metadata == {"told": "yes"})


@pytest.mark.parametrize("path", sorted(ASSETS.rglob("*.npz")), ids=lambda path: path.name)
def test_a_changed_table_is_found_or_says_the_same(path: Path, tmp_path: Path) -> None:
    whole, copy = read_table(path), tmp_path / path.name
    for place in (0.0, 0.001, 0.02, 0.3, 0.6, 0.95, 0.99, 0.999):
        shutil.copy(path, copy)
        flipped(copy, place)
        try:
            found = read_table(copy)
        except DamagedFileError as error:
            assert f"{path.name} is damaged" in error.sentence
        else:  # a byte that says nothing, such as a date in the archive
            assert all(np.array_equal(found[name], array) for name, array in whole.items())
    copy.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DamagedFileError):
        read_table(copy)


def test_what_was_made_once_is_what_the_page_says() -> None:
    hashes = dict(re.findall(r"^\| `(\S+)` \| `([0-9a-f]{64})` \|$", (ASSETS / "README.md").read_text("utf-8"), re.M))
    assert {"template.safetensors", "bust.safetensors", "landmarks478.json"} <= hashes.keys()
    for name, expected in hashes.items():
        data = (ASSETS / name).read_bytes()
        if name.endswith(".json"):
            data = data.replace(b"\r\n", b"\n")  # as git checks it out on Windows
        assert hashlib.sha256(data).hexdigest() == expected, name


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


def test_types_that_the_format_does_not_have_are_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="'z' has dtype complex128"):
        write_arrays(tmp_path / "a.safetensors", {"z": np.zeros(2, np.complex128)})
    assert not list(tmp_path.iterdir())
