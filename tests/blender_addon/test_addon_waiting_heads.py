"""A head that waits: it outlives its file and its Blender, is offered once, and nothing that goes wrong blocks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import bpy
import other_file_steps as steps
import pytest
from blender_addon.shared.options import HeadOptions
from instant_backend import Backend
from mathutils import Vector
from scene_helpers import import_head

from blender_addon import runner
from blender_addon import waiting as slots
from blender_addon.client.submissions import PhotoFile
from blender_addon.errors import AddonError
from blender_addon.objects import tags
from blender_addon.objects.meshes import origin_of
from blender_addon.objects.tags import Place
from blender_addon.protocol import result as result_module
from blender_addon.protocol.result import HeadResult
from blender_addon.session import Session, listed_photos, session, shut_down
from blender_addon.shared import file_lock
from blender_addon.ui.panel import draw_status_bar
from blender_addon.waiting import Job

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
CHANGED = AddonError("The head was changed.", "", "head_gone")


def command(step: str, folder: Path) -> list[str]:
    return [sys.executable, str(HERE / "blender_that_ends.py"), step, str(folder)]


def blender(step: str, folder: Path) -> list:
    done = subprocess.run(command(step, folder), env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("[")]
    return json.loads(said[-1]) if said else []


@pytest.fixture
def other_blender(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another Blender of the same user in which a head waits."""
    process = subprocess.Popen(command("waits", tmp_path), env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    while "waits" not in (line := process.stdout.readline()):
        assert line, "it ended"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_a_head_that_outlives_its_blender_is_as_one_that_did_not_wait(tmp_path: Path) -> None:
    blender("quits", tmp_path)
    (head,) = (tmp_path / "datafiles").rglob("*.head")
    found, said = blender("takes", tmp_path)
    assert not head.exists()
    expected, said_at_once = blender("makes", tmp_path)
    assert found == expected and said == said_at_once == "A head from 4 photos, 1 left out"
    assert len(found) > 15


def test_what_waits_in_a_running_blender_is_offered_by_no_other_until_that_is_gone(
    folder: Path, other_blender: subprocess.Popen[str]
) -> None:
    assert steps.kept(folder) == ["1.head"]
    assert not session().waiting.look() and "likeness.take_head" not in steps.drawn()[1]
    steps.a_head_waits()
    steps.written()
    assert steps.kept(folder) == ["1.head", "2.head"]
    bpy.ops.likeness.cancel()
    other_blender.kill()
    other_blender.wait(10)
    assert session().waiting.look()
    words, operators = steps.drawn()
    assert "A head from portrait.jpg and 4 more photos is ready, since 2" in words.replace("  ", " ")
    assert {"likeness.take_head", "likeness.throw_away_head"} <= operators
    assert file_lock.is_locked(folder / "1.lock") and not session().waiting.look()  # no third one offers it


def test_a_head_that_is_thrown_away_is_deleted_even_while_it_is_written(backend: Backend, folder: Path) -> None:
    steps.a_head_waits()
    assert bpy.ops.likeness.cancel() == {"FINISHED"}
    shut_down()
    assert steps.kept(folder) == []


def test_several_heads_are_offered_oldest_first_and_do_not_keep_one_from_working(
    backend: Backend, folder: Path
) -> None:
    for quality in ("fast", "best"):
        steps.list_photo(folder.parents[2])
        job = Job(Place.shown(bpy.context), *listed_photos(bpy.context.scene), HeadOptions(quality, 1024))
        session().begin(job, None)
        steps.new_file()
        steps.tick()
        steps.written()
        shut_down()
        session().runner = backend
    steps.list_photo(folder.parents[2])
    session().waiting.look()
    assert [head.note.fields["options"].quality for head in session().waiting.offered] == ["fast", "best"]
    assert bpy.ops.likeness.reconstruct.poll() and steps.drawn(draw_status_bar)[0].startswith("A head is ready")
    steps.begin()
    backend.busy = True
    assert not bpy.ops.likeness.take_head.poll()
    bpy.ops.likeness.throw_away_head(head="2")
    assert steps.kept(folder) == ["1.head"]
    session().cancel()
    assert bpy.ops.likeness.take_head(head="1") == {"FINISHED"}
    steps.tick_while_busy()
    assert len(tags.head_collections()) == 1 and session().waiting.offered == ()
    assert "likeness.throw_away_head" not in steps.drawn()[1]
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.likeness.throw_away_head(head="1")


def test_a_head_whose_reading_is_cancelled_or_whose_file_is_closed_is_offered_on(
    backend: Backend, folder: Path
) -> None:
    steps.a_head_waits()
    steps.quit_and_start(backend)
    for ended in (session().cancel, steps.new_file):
        bpy.ops.likeness.take_head()
        assert session().waiting.offered == () and session().busy
        ended()
        steps.tick()
        assert not session().busy and len(session().waiting.offered) == 1 and tags.head_collections() == []
    bpy.ops.likeness.take_head()
    steps.tick_while_busy()
    assert len(tags.head_collections()) == 1


def test_esc_while_a_head_that_waited_goes_into_the_scene_does_not_throw_it_away(
    backend: Backend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[Session.__module__], "SLICE_SECONDS", 0.0001)
    steps.a_head_waits()
    steps.written()
    bpy.ops.likeness.take_head()
    session().tick()
    assert session().importing
    session().cancel()
    assert tags.head_collections() == [] and session().view.phase is runner.Phase.CANCELLED
    assert len(session().waiting.offered) == 1
    bpy.ops.likeness.take_head()
    steps.tick_while_busy()
    shut_down()
    assert len(tags.head_collections()) == 1 and steps.kept(folder) == []


def test_photos_out_of_a_blend_file_are_kept_with_the_head_that_was_to_be_solved_again(
    backend: Backend, result: HeadResult, tmp_path: Path
) -> None:
    collection = import_head(result, bpy.context)
    head_id = collection[tags.HEAD_ID]
    before = tags.part_object(collection, "head").data.vertices[0].co.copy()
    tags.part_object(collection, "head").data.vertices[0].co.x += 1.0
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "head.blend"))
    (tmp_path / "new.jpg").write_bytes(b"\xff\xd8new")
    photos = (PhotoFile("crop.jpg", None, b"\xff\xd8old"), PhotoFile("new.jpg", tmp_path / "new.jpg"))
    session().begin(Job(Place.shown(bpy.context), photos, (), HeadOptions("fast", 1024), into=head_id), None)
    steps.new_file()
    steps.tick()
    steps.quit_and_start(backend)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "head.blend"))
    bpy.ops.likeness.take_head()
    steps.tick_while_busy()
    (collection,) = tags.head_collections()
    assert collection[tags.HEAD_ID] == head_id
    assert (tags.part_object(collection, "head").data.vertices[0].co - before).length < 1e-6
    packed = {g["name"]: g["image"].packed_file.data for g in collection[tags.PHOTOS] if g.get("image")}
    assert packed == {"crop.jpg": b"\xff\xd8old", "new.jpg": b"\xff\xd8new"}


def test_a_blender_that_quits_writes_to_the_end(
    backend: Backend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = slots.write
    monkeypatch.setattr(slots, "write", lambda *told: (time.sleep(0.5), write(*told)))
    steps.a_head_waits()
    shut_down()
    assert steps.kept(folder) == ["1.head"] and not file_lock.is_locked(folder / "1.lock")


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
    note, buffers = slots.read(path)
    slots.write(path, note, buffers[:-1])


def other_note(path: Path) -> None:
    note, buffers = slots.read(path)
    slots.write(path, {**note, "given": [["a"]]}, buffers)


def test_a_name_that_blender_cannot_show_does_not_keep_the_panel_from_being_drawn(
    backend: Backend, folder: Path
) -> None:
    steps.a_head_waits()
    shut_down()
    note, buffers = slots.read(folder / "1.head")
    photos = [{"label": "a\n\udcff" + 1000 * "b", "path": "/a.jpg"}]
    slots.write(folder / "1.head", {**note, "photos": photos}, buffers)
    steps.quit_and_start(backend)
    words = steps.drawn()[0]
    assert words.isprintable() and len(words) < 600, words


@pytest.mark.parametrize("change", [damage, flip_a_bit, other_buffers, other_note], ids=lambda f: f.__name__)
def test_a_damaged_file_is_said_and_can_be_thrown_away(
    backend: Backend, folder: Path, change: Callable[[Path], None]
) -> None:
    steps.a_head_waits()
    shut_down()
    change(folder / "1.head")
    steps.quit_and_start(backend)
    if session().waiting.offered[0].problem is None:  # the note is whole
        bpy.ops.likeness.take_head()
        steps.tick_while_busy()
        assert session().view.phase is runner.Phase.FAILED and "damaged" in session().view.sentence
    words, operators = steps.drawn()
    assert "damaged" in words and "Throw it away, and reconstruct" in words and "likeness.take_head" not in operators
    with pytest.raises(RuntimeError, match="damaged"):
        bpy.ops.likeness.take_head()
    assert session().busy_reason == ""
    assert bpy.ops.likeness.throw_away_head() == {"FINISHED"}
    assert steps.kept(folder) == [] and "likeness.throw_away_head" not in steps.drawn()[1]


def test_a_head_of_another_version_is_left_to_that(
    backend: Backend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.a_head_waits()
    shut_down()
    with monkeypatch.context() as later:
        later.setattr(slots, "VERSION", 2)
        steps.quit_and_start(backend)
        assert "another version of the extension" in steps.drawn()[0] and "likeness.take_head" not in steps.drawn()[1]
    with monkeypatch.context() as later:
        later.setattr(result_module.message, "RESULT_VERSION", 2)
        steps.quit_and_start(backend)
        bpy.ops.likeness.take_head()
        steps.tick_while_busy()
        assert "another version of the extension" in session().view.sentence
    steps.quit_and_start(backend)
    bpy.ops.likeness.take_head()
    steps.tick_while_busy()
    assert len(tags.head_collections()) == 1


def test_a_full_disk_is_said_and_the_head_waits_in_memory(
    backend: Backend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(slots.os, "fsync", full)
        steps.a_head_waits()
        steps.written()
    steps.tick()
    said = session().view
    assert "the disk is full. Put it into a scene before you quit Blender." in steps.drawn()[0].replace("  ", " ")
    steps.tick()
    assert session().view is said and steps.kept(folder) == [] and not file_lock.is_locked(folder / "1.lock")
    steps.new_file()
    bpy.ops.likeness.take_head()
    steps.tick_while_busy()
    assert len(tags.head_collections()) == 1


@pytest.mark.parametrize("again", [False, True])
def test_a_head_that_does_not_get_into_the_scene_is_offered_again(
    backend: Backend, folder: Path, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.a_head_waits()
    if again:
        steps.quit_and_start(backend)
    with monkeypatch.context() as patch:
        imports_fail(patch)
        bpy.ops.likeness.take_head()
        steps.tick_while_busy()
    assert session().view.sentence == "The head was changed." and steps.kept(folder) == ["1.head"]
    bpy.ops.likeness.take_head()
    steps.tick_while_busy()
    assert session().view.phase is runner.Phase.DONE and len(tags.head_collections()) == 1


def test_what_a_blender_that_was_killed_had_not_written_to_the_end_is_deleted(backend: Backend, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("3.part", "notes.txt", "x.head", "1.head.bak"):
        (folder / name).write_bytes(b"half")
    assert not session().waiting.look()
    assert steps.kept(folder) == ["1.head.bak", "notes.txt", "x.head"] and slots.free_slot(folder).path.name == "1.head"


def the_same_file_again(folder: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "head.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(folder / "head.blend"))


def no_file(folder: Path) -> None:
    (folder / "broken.blend").write_bytes(b"no file of Blender's")
    with pytest.raises(RuntimeError, match="not supported"):
        bpy.ops.wm.open_mainfile(filepath=str(folder / "broken.blend"))


@pytest.mark.parametrize("opened", [steps.new_file, the_same_file_again])
def test_the_panel_does_not_speak_of_a_file_that_is_closed(backend: Backend, opened: Callable, tmp_path: Path) -> None:
    assert bpy.ops.likeness.reconstruct() == {"FINISHED"}
    assert "A head from 4 photos" in steps.drawn()[0]
    no_file(tmp_path)
    assert "A head from 4 photos" in steps.drawn()[0]
    opened(tmp_path)
    assert "A head from" not in steps.drawn()[0] and session().view.phase is runner.Phase.IDLE


def test_a_head_that_was_undone_is_not_spoken_of(backend: Backend) -> None:
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.likeness.reconstruct()
    bpy.ops.ed.undo_push(message="Reconstruct Face")
    bpy.ops.ed.undo()
    assert "A head from" not in steps.drawn()[0]
    bpy.ops.ed.redo()
    assert "A head from" in steps.drawn()[0]
    tags.head_collections()[0].name = "Anna"
    assert "A head from" in steps.drawn()[0]


@pytest.mark.parametrize("opened", [steps.new_file, the_same_file_again])
def test_a_head_that_was_asked_for_in_another_file_waits_for_a_click(
    backend: Backend, opened: Callable, tmp_path: Path
) -> None:
    steps.begin()
    opened(tmp_path)
    steps.tick()
    words, operators = steps.drawn()
    assert session().busy and not tags.head_collections()
    assert "was asked for before this file was opened" in words
    assert {"likeness.take_head", "likeness.cancel"} <= operators
    steps.new_file(tmp_path)  # and once more
    assert session().busy
    time.sleep(1.0)
    scene = bpy.data.scenes.new("Other")
    bpy.context.window.scene = scene
    assert bpy.ops.likeness.take_head() == {"FINISHED"}
    steps.tick()
    assert tags.heads_in(scene) == tags.head_collections() != []
    assert session().view.sentence.endswith("in 0 s.")  # how long the artist took is no matter
    assert session().view.phase is runner.Phase.DONE and not bpy.ops.likeness.take_head.poll()
    assert session().job is None  # which holds the photos


def test_a_head_that_waits_can_be_thrown_away(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redrawn = MagicMock()
    monkeypatch.setattr(sys.modules[Session.__module__].redraw, "everything", redrawn)
    steps.begin()
    backend.view = runner.JobView(runner.Phase.RUNNING, "Aligning")
    assert "Cancel (ESC)" in steps.drawn()[0]
    steps.new_file(tmp_path)
    assert "Aligning" in steps.drawn()[0] and "ESC" not in steps.drawn()[0]  # Blender has ended what listened for keys
    steps.tick()
    said = session().view
    steps.tick()
    assert session().view is said  # which keeps the sidebar from being drawn all the time
    assert steps.drawn(draw_status_bar) == (said.sentence, set())  # whose X would throw it away
    with pytest.raises(RuntimeError, match="put it into this scene or throw it away"):
        bpy.ops.likeness.reconstruct()
    assert bpy.ops.likeness.cancel() == {"FINISHED"} and redrawn.called
    assert session().view.phase is runner.Phase.CANCELLED and not tags.head_collections()
    begin_again = session().busy_reason == ""
    assert begin_again and "likeness.take_head" not in steps.drawn()[1]


def test_a_file_that_is_opened_in_the_middle_of_the_import(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as slow:
        slow.setattr(sys.modules[Session.__module__], "SLICE_SECONDS", 1e-4)
        steps.begin()
        steps.tick(3)
    assert session().importing and len(bpy.data.meshes) > 0
    steps.new_file(tmp_path)
    assert not session().importing
    steps.tick()
    assert session().has_lost_scene and sum(map(len, (bpy.data.objects, bpy.data.meshes, bpy.data.images))) == 0
    bpy.ops.likeness.take_head()
    steps.tick()
    (collection,) = tags.head_collections()
    assert len(tags.camera_objects(collection)) == 4


def test_a_head_that_is_solved_again_is_found_in_its_file_again(
    backend: Backend, result: HeadResult, tmp_path: Path
) -> None:
    collection = import_head(result, bpy.context)
    backend.result = replace(result, parts=tuple(replace(part, vertices=part.vertices * 1.1) for part in result.parts))
    steps.begin(into=collection[tags.HEAD_ID])
    the_same_file_again(tmp_path)
    (collection,) = tags.head_collections()
    mesh = tags.part_object(collection, "head").data
    larger = 1.1 * mesh.vertices[0].co + 0.1 * Vector(origin_of(mesh))
    steps.tick()
    bpy.ops.likeness.take_head()
    steps.tick()
    assert tags.head_collections() == [collection]
    assert (tags.part_object(collection, "head").data.vertices[0].co - larger).length < 1e-6
