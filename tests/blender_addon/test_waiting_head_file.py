"""The file of a head that waits: whole or not there, and nothing that is not as it was written is used."""

from __future__ import annotations

import pytest

pytest.importorskip("bpy")

import errno
import json
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from blender_addon import waiting as head_file
from blender_addon.errors import AddonError

NOTE, BUFFERS = {"words": "\udcff ä"}, (b"header", b"", bytes(range(256)) * 40)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    head_file.write(tmp_path / "1.head", NOTE, BUFFERS)
    return tmp_path / "1.head"


def test_what_was_written_is_read(path: Path) -> None:
    note, buffers = head_file.read(path)
    assert tuple(buffers) == BUFFERS and note["words"] == NOTE["words"]
    assert head_file.read_note(path) == note
    assert os.listdir(path.parent) == ["1.head"]
    assert os.name == "nt" or path.stat().st_mode & 0o077 == 0


def test_the_file_that_was_there_stays_until_the_new_one_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda number: path.read_bytes() == before or pytest.fail("too early"))
    head_file.write(path, NOTE, (b"other",))
    assert head_file.read(path)[1] == [b"other"]


def with_note(path: Path, note: object, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("note.json", note if isinstance(note, bytes) else json.dumps(note))
        archive.writestr("0", b"header")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:12]),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]),
        lambda path: path.write_bytes(path.read_bytes().replace(rb"\u00e4", rb"\u00e5")),
        lambda path: zipfile.ZipFile(path, "w").close(),
        lambda path: with_note(path, [1]),
        lambda path: with_note(path, b"[" * 100_000),
        lambda path: with_note(path, b"\xff"),
        lambda path: with_note(path, {"words": "a"}),
        lambda path: with_note(path, {"version": True}),
        lambda path: with_note(path, {"version": 1, "words": "a" * 2**20}),
        lambda path: with_note(path, {"version": 1}, zipfile.ZIP_DEFLATED),
    ],
)
def test_damage_is_seen_without_reading_the_whole(path: Path, damage: Callable[[Path], object]) -> None:
    damage(path)
    for read in (head_file.read_note, head_file.read):
        with pytest.raises(AddonError, match="damaged") as refused:
            read(path)
        assert refused.value.code == "damaged" and "Throw it away" in refused.value.advice


def test_damage_in_the_midst_is_seen_before_anything_is_used(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    head_file.read_note(path)
    with pytest.raises(AddonError, match="damaged"):
        head_file.read(path)


def test_another_version_is_named_as_such_whatever_else_it_says(path: Path) -> None:
    with_note(path, {"version": 2})
    with pytest.raises(AddonError, match="another version") as refused:
        head_file.read_note(path)
    assert refused.value.code == "version"


def test_a_disk_that_does_not_answer_is_no_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AddonError, match="Input/output error") as refused:
        head_file.read(path)
    assert refused.value.code == "disk"


def test_the_note_of_a_large_file_is_read_alone(path: Path) -> None:
    head_file.write(path, NOTE, (bytes(2**25),))
    tracemalloc.start()
    assert head_file.read_note(path)["words"] == NOTE["words"]
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
