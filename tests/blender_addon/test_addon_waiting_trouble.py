"""What can go wrong with a head that waits on the disk: each has its sentence, and blocks nothing for ever."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import pytest

bpy = pytest.importorskip("bpy")
sys.path[:0] = [str(Path(__file__).parent / "scene"), str(Path(__file__).parent)]
from instant_backend import Backend  # noqa: E402
from other_file_steps import (  # noqa: E402
    a_head_waits,
    drawn,
    kept,
    new_file,
    quit_and_start,
    tick,
    tick_while_busy,
    written,
)

from blender_addon import waiting as head_file  # noqa: E402
from blender_addon import waiting as slots  # noqa: E402
from blender_addon.errors import AddonError  # noqa: E402
from blender_addon.objects import tags  # noqa: E402
from blender_addon.protocol import result as result_module  # noqa: E402
from blender_addon.runner import Phase  # noqa: E402
from blender_addon.session import Session, session, shut_down  # noqa: E402
from blender_addon.shared import file_lock  # noqa: E402

pytestmark = pytest.mark.blender


CHANGED = AddonError("The head was changed.", "", "head_gone")


def imports_fail(patch: pytest.MonkeyPatch, error: Exception = CHANGED) -> MagicMock:
    refuse = MagicMock(side_effect=error)
    patch.setattr(sys.modules[Session.__module__], "import_steps", refuse)
    return refuse


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def other_buffers(path: Path) -> None:
    note, buffers = head_file.read(path)
    head_file.write(path, note, buffers[:-1])


def other_note(path: Path) -> None:
    note, buffers = head_file.read(path)
    head_file.write(path, {**note, "given": [["a"]]}, buffers)


def test_a_name_that_blender_cannot_show_does_not_keep_the_panel_from_being_drawn(
    backend: Backend, folder: Path
) -> None:
    a_head_waits()
    shut_down()
    note, buffers = head_file.read(folder / "1.head")
    photos = [{"label": "a\n\udcff" + 1000 * "b", "path": "/a.jpg"}]
    head_file.write(folder / "1.head", {**note, "photos": photos}, buffers)
    quit_and_start(backend)
    words = drawn()[0]
    assert words.isprintable() and len(words) < 600, words


@pytest.mark.parametrize("change", [damage, flip_a_bit, other_buffers, other_note], ids=lambda f: f.__name__)
def test_a_damaged_file_is_said_and_can_be_thrown_away(
    backend: Backend, folder: Path, change: Callable[[Path], None]
) -> None:
    a_head_waits()
    shut_down()
    change(folder / "1.head")
    quit_and_start(backend)
    if session().waiting.offered[0].problem is None:  # the note is whole
        bpy.ops.likeness.take_head()
        tick_while_busy()
        assert session().view.phase is Phase.FAILED and "damaged" in session().view.sentence
    words, operators = drawn()
    assert "damaged" in words and "Throw it away, and reconstruct" in words and "likeness.take_head" not in operators
    with pytest.raises(RuntimeError, match="damaged"):
        bpy.ops.likeness.take_head()
    assert session().busy_reason == ""
    assert bpy.ops.likeness.throw_away_head() == {"FINISHED"}
    assert kept(folder) == [] and "likeness.throw_away_head" not in drawn()[1]


def test_a_head_of_another_version_is_left_to_that(
    backend: Backend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_head_waits()
    shut_down()
    with monkeypatch.context() as later:
        later.setattr(head_file, "VERSION", 2)
        quit_and_start(backend)
        assert "another version of the extension" in drawn()[0] and "likeness.take_head" not in drawn()[1]
    with monkeypatch.context() as later:
        later.setattr(result_module.message, "RESULT_VERSION", 2)
        quit_and_start(backend)
        bpy.ops.likeness.take_head()
        tick_while_busy()
        assert "another version of the extension" in session().view.sentence
    quit_and_start(backend)
    bpy.ops.likeness.take_head()
    tick_while_busy()
    assert len(tags.head_collections()) == 1


def test_a_full_disk_is_said_and_the_head_waits_in_memory(
    backend: Backend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(head_file.os, "fsync", full)
        a_head_waits()
        written()
    tick()
    said = session().view
    assert "the disk is full. Put it into a scene before you quit Blender." in drawn()[0].replace("  ", " ")
    tick()
    assert session().view is said and kept(folder) == [] and not file_lock.is_locked(folder / "1.lock")
    new_file()
    bpy.ops.likeness.take_head()
    tick_while_busy()
    assert len(tags.head_collections()) == 1


@pytest.mark.parametrize("again", [False, True])
def test_a_head_that_does_not_get_into_the_scene_is_offered_again(
    backend: Backend, folder: Path, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_head_waits()
    if again:
        quit_and_start(backend)
    with monkeypatch.context() as patch:
        imports_fail(patch)
        bpy.ops.likeness.take_head()
        tick_while_busy()
    assert session().view.sentence == "The head was changed." and kept(folder) == ["1.head"]
    bpy.ops.likeness.take_head()
    tick_while_busy()
    assert session().view.phase is Phase.DONE and len(tags.head_collections()) == 1


def test_a_file_that_cannot_be_deleted_is_said_and_offered_on(
    backend: Backend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_head_waits()
    quit_and_start(backend)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", MagicMock(side_effect=PermissionError(13, "Permission denied")))
        with pytest.raises(RuntimeError, match=r"could not be deleted \(Permission denied\). Try again, or delete"):
            bpy.ops.likeness.throw_away_head()
    assert len(session().waiting.offered) == 1
    assert bpy.ops.likeness.throw_away_head() == {"FINISHED"} and kept(folder) == []


def test_what_a_blender_that_was_killed_had_not_written_to_the_end_is_deleted(backend: Backend, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("3.part", "notes.txt", "x.head", "1.head.bak"):
        (folder / name).write_bytes(b"half")
    assert not session().waiting.look()
    assert kept(folder) == ["1.head.bak", "notes.txt", "x.head"] and slots.free_slot(folder).path.name == "1.head"
