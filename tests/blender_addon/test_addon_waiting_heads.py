"""A head that waits outlives its Blender: another one offers it, once, until it is in a scene or thrown away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")
sys.path[:0] = [str(Path(__file__).parent / "scene"), str(Path(__file__).parent)]
from blender_addon.shared.options import HeadOptions  # noqa: E402
from instant_backend import Backend  # noqa: E402
from other_file_steps import (  # noqa: E402
    a_head_waits,
    begin,
    drawn,
    kept,
    list_photo,
    new_file,
    quit_and_start,
    tick,
    tick_while_busy,
    written,
)

from blender_addon import waiting as head_file  # noqa: E402
from blender_addon.client.submissions import PhotoFile  # noqa: E402
from blender_addon.objects import tags  # noqa: E402
from blender_addon.objects.tags import Place  # noqa: E402
from blender_addon.protocol.result import HeadResult  # noqa: E402
from blender_addon.runner import Phase  # noqa: E402
from blender_addon.scene.importing import import_head  # noqa: E402
from blender_addon.session import Session, listed_photos, session, shut_down  # noqa: E402
from blender_addon.shared import file_lock  # noqa: E402
from blender_addon.ui.panel import draw_status_bar  # noqa: E402
from blender_addon.waiting import Job  # noqa: E402

pytestmark = pytest.mark.blender
ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent


def command(step: str, folder: Path) -> list[str]:
    return [sys.executable, str(HERE / "blender_that_ends.py"), step, str(folder)]


ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


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
    assert kept(folder) == ["1.head"]
    assert not session().waiting.look() and "likeness.take_head" not in drawn()[1]
    a_head_waits()
    written()
    assert kept(folder) == ["1.head", "2.head"]
    bpy.ops.likeness.cancel()
    other_blender.kill()
    other_blender.wait(10)
    assert session().waiting.look()
    words, operators = drawn()
    assert "A head from portrait.jpg and 4 more photos is ready, since 2" in words.replace("  ", " ")
    assert {"likeness.take_head", "likeness.throw_away_head"} <= operators
    assert file_lock.is_locked(folder / "1.lock") and not session().waiting.look()  # no third one offers it


def test_a_head_that_is_thrown_away_is_deleted_even_while_it_is_written(backend: Backend, folder: Path) -> None:
    a_head_waits()
    assert bpy.ops.likeness.cancel() == {"FINISHED"}
    shut_down()
    assert kept(folder) == []


def test_several_heads_are_offered_oldest_first_and_do_not_keep_one_from_working(
    backend: Backend, folder: Path
) -> None:
    for quality in ("fast", "best"):
        list_photo(folder.parents[2])
        job = Job(Place.shown(bpy.context), *listed_photos(bpy.context.scene), HeadOptions(quality, 1024))
        session().begin(job, None)
        new_file()
        tick()
        written()
        shut_down()
        session().runner = backend
    list_photo(folder.parents[2])
    session().waiting.look()
    assert [head.note.fields["options"].quality for head in session().waiting.offered] == ["fast", "best"]
    assert bpy.ops.likeness.reconstruct.poll() and drawn(draw_status_bar)[0].startswith("A head is ready")
    begin()
    backend.busy = True
    assert not bpy.ops.likeness.take_head.poll()
    bpy.ops.likeness.throw_away_head(head="2")
    assert kept(folder) == ["1.head"]
    session().cancel()
    assert bpy.ops.likeness.take_head(head="1") == {"FINISHED"}
    tick_while_busy()
    assert len(tags.head_collections()) == 1 and session().waiting.offered == ()
    assert "likeness.throw_away_head" not in drawn()[1]
    with pytest.raises(RuntimeError, match="poll"):
        bpy.ops.likeness.throw_away_head(head="1")


def test_a_head_whose_reading_is_cancelled_or_whose_file_is_closed_is_offered_on(
    backend: Backend, folder: Path
) -> None:
    a_head_waits()
    quit_and_start(backend)
    for ended in (session().cancel, new_file):
        bpy.ops.likeness.take_head()
        assert session().waiting.offered == () and session().busy
        ended()
        tick()
        assert not session().busy and len(session().waiting.offered) == 1 and tags.head_collections() == []
    bpy.ops.likeness.take_head()
    tick_while_busy()
    assert len(tags.head_collections()) == 1


def test_esc_while_a_head_that_waited_goes_into_the_scene_does_not_throw_it_away(
    backend: Backend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[Session.__module__], "SLICE_SECONDS", 0.0001)
    a_head_waits()
    written()
    bpy.ops.likeness.take_head()
    session().tick()
    assert session().importing
    session().cancel()
    assert tags.head_collections() == [] and session().view.phase is Phase.CANCELLED
    assert len(session().waiting.offered) == 1
    bpy.ops.likeness.take_head()
    tick_while_busy()
    shut_down()
    assert len(tags.head_collections()) == 1 and kept(folder) == []


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
    new_file()
    tick()
    quit_and_start(backend)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "head.blend"))
    bpy.ops.likeness.take_head()
    tick_while_busy()
    (collection,) = tags.head_collections()
    assert collection[tags.HEAD_ID] == head_id
    assert (tags.part_object(collection, "head").data.vertices[0].co - before).length < 1e-6
    packed = {g["name"]: g["image"].packed_file.data for g in collection[tags.PHOTOS] if g.get("image")}
    assert packed == {"crop.jpg": b"\xff\xd8old", "new.jpg": b"\xff\xd8new"}


def test_a_blender_that_quits_writes_to_the_end(
    backend: Backend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = head_file.write
    monkeypatch.setattr(head_file, "write", lambda *told: (time.sleep(0.5), write(*told)))
    a_head_waits()
    shut_down()
    assert kept(folder) == ["1.head"] and not file_lock.is_locked(folder / "1.lock")
