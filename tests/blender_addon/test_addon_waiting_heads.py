"""A head that waits for a click, and a file that is opened meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import bpy
import other_file_steps as steps
import pytest
from instant_backend import Backend
from mathutils import Vector
from scene_helpers import import_head

from blender_addon import runner
from blender_addon.objects import tags
from blender_addon.objects.meshes import origin_of
from blender_addon.protocol.result import HeadResult
from blender_addon.session import Session, session
from blender_addon.ui.panel import draw_status_bar


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
