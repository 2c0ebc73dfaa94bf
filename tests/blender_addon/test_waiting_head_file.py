"""The file of a head that waits: whole or not there, and nothing that is not as it was written is used."""

from __future__ import annotations

import pytest

pytest.importorskip("bpy")

import errno
import json
import os
import tracemalloc
import zlib
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


def test_a_full_disk_leaves_nothing_behind_and_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AddonError, match=r"kept on the disk: the disk is full\. Put it into a scene before you quit"):
        head_file.write(tmp_path / "1.head", NOTE, BUFFERS)
    assert os.listdir(tmp_path) == []


def test_the_file_that_was_there_stays_until_the_new_one_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda number: path.read_bytes() == before or pytest.fail("too early"))
    head_file.write(path, NOTE, (b"other",))
    assert head_file.read(path)[1] == [b"other"]


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(AddonError, match="too large"):
        head_file.write(tmp_path / "1.head", NOTE, (b"",) * (head_file.MOST_BUFFERS + 1))
    assert os.listdir(tmp_path) == []


def with_note(data: bytes, change: Callable[[dict], object]) -> bytes:
    length = int.from_bytes(data[8:16], "little")
    note = json.loads(data[16 : 16 + length])
    del note["note_crc32"]
    changed = change(note)
    note = note if changed is None else changed
    if isinstance(note, dict):  # what else is wrong has to be seen with a checksum that fits
        note = {**note, "note_crc32": zlib.crc32(json.dumps(note).encode("ascii"))}
    text = json.dumps(note).encode()
    return data[:8] + len(text).to_bytes(8, "little") + text + data[16 + length :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:12],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: b"x" + data[1:],
        lambda data: data[:8] + (2**40).to_bytes(8, "little") + data[16:],
        lambda data: data[:8] + b"\xff" * 8 + data[16:],
        lambda data: data[:16] + b"[" * (len(data) - 16),
        lambda data: data[:16] + b"\xff" + data[17:],
        lambda data: with_note(data, lambda note: [1]),
        lambda data: with_note(data, lambda note: note.pop("version") and None),
        lambda data: with_note(data, lambda note: note.update(buffers=None)),
        lambda data: with_note(data, lambda note: note.update(buffers=[-1, 10247])),
        lambda data: with_note(data, lambda note: note.update(buffers=[True, 10245])),
        lambda data: with_note(data, lambda note: note.update(buffers=[2**62, 6])),
        lambda data: with_note(data, lambda note: note.update(crc32="0")),
    ],
)
def test_damage_is_seen_without_reading_the_whole(path: Path, damage: Callable[[bytes], bytes]) -> None:
    path.write_bytes(damage(path.read_bytes()))
    for read in (head_file.read_note, head_file.read):
        with pytest.raises(AddonError, match="damaged") as refused:
            read(path)
        assert refused.value.code == "damaged" and "Throw it away" in refused.value.advice


def test_damage_in_the_midst_is_seen_before_anything_is_used(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    head_file.read_note(path)
    with pytest.raises(AddonError, match="damaged"):
        head_file.read(path)


def test_another_version_is_named_as_such_whatever_else_it_says(path: Path) -> None:
    path.write_bytes(with_note(path.read_bytes(), lambda note: {"version": 2}))
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
    data = with_note(path.read_bytes(), lambda note: note.update(buffers=[2**30]))
    path.write_bytes(data)
    os.truncate(path, 16 + int.from_bytes(data[8:16], "little") + 2**30)
    tracemalloc.start()
    assert head_file.read_note(path)["buffers"] == [2**30]
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_note_that_was_changed_is_damaged_and_one_of_an_earlier_version_is_read(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(rb"\u00e4", rb"\u00e5"))
    with pytest.raises(AddonError, match="is damaged"):
        head_file.read_note(path)
    path.write_bytes(with_note(data, lambda note: None))
    assert head_file.read(path)[0]["words"] == NOTE["words"]
