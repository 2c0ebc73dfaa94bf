"""A file with several scenes: what a job was begun for gets its result, whatever the window shows when it arrives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import MagicMock

import pytest

bpy = pytest.importorskip("bpy")
sys.path[:0] = [str(Path(__file__).parent / "scene"), str(Path(__file__).parent)]
from blender_addon.shared.options import HeadOptions  # noqa: E402
from instant_backend import Backend  # noqa: E402
from mathutils import Vector  # noqa: E402

from blender_addon.objects import tags  # noqa: E402
from blender_addon.objects.meshes import origin_of  # noqa: E402
from blender_addon.objects.tags import Place  # noqa: E402
from blender_addon.protocol.result import HeadResult  # noqa: E402
from blender_addon.scene.cameras import PhotoFile  # noqa: E402
from blender_addon.scene.importing import import_head  # noqa: E402
from blender_addon.session import Session, session  # noqa: E402

pytestmark = pytest.mark.blender


def other_scene() -> bpy.types.Scene:
    scene = bpy.data.scenes.new("Other")
    bpy.context.window.scene = scene
    return scene


def test_a_head_goes_into_the_scene_and_view_layer_that_it_was_asked_for_in(backend: Backend) -> None:
    asked = bpy.context.scene
    layer = asked.view_layers.new("Second")
    bpy.context.window.view_layer = layer
    backend.meanwhile = other_scene
    assert bpy.ops.likeness.reconstruct() == {"FINISHED"}
    (collection,) = tags.head_collections()
    assert tags.heads_in(asked) == [collection] and tags.heads_in(bpy.data.scenes["Other"]) == []
    assert bpy.context.scene.name == "Other"
    assert layer.objects.active == tags.part_object(collection, "head")
    assert asked.view_layers[0].objects.active is None


def test_a_head_whose_scene_is_gone_goes_into_the_one_that_is_shown(backend: Backend) -> None:
    asked = bpy.context.scene

    def replace_scene() -> None:
        other_scene()
        bpy.data.scenes.remove(asked)

    backend.meanwhile = replace_scene
    assert bpy.ops.likeness.reconstruct() == {"FINISHED"}
    assert tags.heads_in(bpy.data.scenes["Other"]) == tags.head_collections() != []


def take_off(scene: bpy.types.Scene, collection: bpy.types.Collection) -> None:
    scene.collection.children.unlink(collection)


def take_scene_away(scene: bpy.types.Scene, collection: bpy.types.Collection) -> None:
    other_scene()
    bpy.data.scenes.remove(scene)


@pytest.mark.parametrize("change", [take_off, take_scene_away])
def test_a_head_that_is_solved_again_is_to_be_seen(backend: Backend, result: HeadResult, change: Callable) -> None:
    """The artist took it out of the scene meanwhile, or deleted its scene."""
    collection = import_head(result, bpy.context)
    backend.meanwhile = partial(change, bpy.context.scene, collection)
    assert bpy.ops.likeness.solve_again() == {"FINISHED"}
    assert tags.head_collections() == tags.heads_in(bpy.context.scene) == [collection]
    assert bpy.context.view_layer.objects.active == tags.part_object(collection, "head")


def rename(scene: bpy.types.Scene) -> None:
    """Like an artist who saves a version: a copy, and the old name goes to another scene."""
    scene.name = "Renamed"
    bpy.ops.scene.new(type="LINK_COPY")
    other_scene().name = "Scene"


def rename_and_undo(scene: bpy.types.Scene) -> None:
    """Renamed, and after more work part of that is undone: undo makes other data of the same scene."""
    bpy.ops.ed.undo_push(message="before")
    scene.name = "Renamed"
    bpy.ops.ed.undo_push(message="Rename")
    other_scene().name = "Scene"
    bpy.ops.ed.undo_push(message="New Scene")
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.ed.undo_push(message="Add Cube")
    assert bpy.ops.ed.undo() == {"FINISHED"} and len(bpy.data.objects) == 0


@pytest.mark.parametrize("change", [rename, rename_and_undo])
def test_a_head_follows_a_scene_that_is_renamed(backend: Backend, change: Callable[[bpy.types.Scene], None]) -> None:
    assert bpy.context.scene.name == "Scene"
    backend.meanwhile = partial(change, bpy.context.scene)
    assert bpy.ops.likeness.reconstruct() == {"FINISHED"}
    assert [scene.name for scene in bpy.data.scenes if tags.heads_in(scene)] == ["Renamed"]


def cube_in_edit_mode() -> None:
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")


def ticked(current: Session) -> str:
    for _ in range(200):
        current.tick()
    return current.view.sentence


def test_a_head_waits_for_a_mode_of_its_own_scene_only(backend: Backend) -> None:
    from blender_addon.session import listed_photos
    from blender_addon.waiting import Job

    asked, current = bpy.context.scene, session()
    job = Job(Place.shown(bpy.context), *listed_photos(asked), HeadOptions("fast", 1024))

    current.begin(job, None)
    cube_in_edit_mode()
    assert "leave the mode" in ticked(current) and not tags.head_collections()
    bpy.ops.object.mode_set(mode="OBJECT")
    ticked(current)
    assert not current.busy and len(tags.heads_in(asked)) == 1

    current.begin(job, None)
    other_scene()
    cube_in_edit_mode()
    ticked(current)
    assert not current.busy and len(tags.heads_in(asked)) == 2
    bpy.ops.object.mode_set(mode="OBJECT")


def test_solving_again_changes_the_head_of_the_scene_that_is_shown(backend: Backend, result: HeadResult) -> None:
    original = import_head(result, bpy.context, [PhotoFile("a.jpg", b"\xff\xd8")])
    mesh = tags.part_object(original, "head").data
    before, larger = mesh.vertices[0].co.copy(), 1.1 * mesh.vertices[0].co + 0.1 * Vector(origin_of(mesh))
    first = bpy.context.scene
    bpy.ops.scene.new(type="FULL_COPY")
    (copy,) = (c for c in tags.head_collections() if c != original)

    def look_at_the_original() -> None:
        bpy.context.window.scene = first

    backend.result = replace(result, parts=tuple(replace(part, vertices=part.vertices * 1.1) for part in result.parts))
    backend.meanwhile = look_at_the_original
    assert bpy.ops.likeness.solve_again() == {"FINISHED"}
    assert (tags.part_object(original, "head").data.vertices[0].co - before).length == 0
    assert (tags.part_object(copy, "head").data.vertices[0].co - larger).length < 1e-6


def test_a_script_is_not_left_waiting_for_somebody_to_leave_a_mode(backend: Backend) -> None:
    cube_in_edit_mode()
    with pytest.raises(RuntimeError, match=r"is being edited\. Switch to Object Mode"):
        bpy.ops.likeness.reconstruct()
    assert not session().busy
    bpy.ops.object.mode_set(mode="OBJECT")
    assert bpy.ops.likeness.reconstruct() == {"FINISHED"}


def test_photos_that_are_not_there_any_more_are_said(backend: Backend, result: HeadResult, tmp_path: Path) -> None:
    files = [PhotoFile(photo.name, None, str(tmp_path / photo.name)) for photo in result.photos]
    for file in files:
        (tmp_path / file.name).write_bytes(file.name.encode())
    import_head(result, bpy.context, files, pack_photos=False)
    (tmp_path / "portrait.jpg").unlink()
    assert bpy.ops.likeness.solve_again() == {"FINISHED"}
    assert session().view.sentence.endswith("The files of 1 of its photos are not there.")


def smiles(collection: bpy.types.Collection) -> bool:
    return tags.part_object(collection, "head").data.shape_keys.key_blocks["mouthSmileLeft"].value > 0


def test_leaving_a_photo_resets_the_head_in_it_and_no_other(backend: Backend, result: HeadResult) -> None:
    anna, ben = import_head(result, bpy.context), import_head(result, bpy.context)
    layer = bpy.context.view_layer

    def activate(collection: bpy.types.Collection) -> None:
        for obj in layer.objects:
            obj.select_set(False)
        layer.objects.active = tags.part_object(collection, "head")

    activate(anna)
    assert bpy.ops.likeness.look_through(photo="square.jpg") == {"FINISHED"} and smiles(anna)
    activate(ben)
    tags.part_object(ben, "head").data.shape_keys.key_blocks["mouthSmileLeft"].value = 0.5  # by the artist
    bpy.ops.likeness.leave_photo()
    assert not smiles(anna) and smiles(ben)
    bpy.ops.likeness.leave_photo()  # of none
    assert smiles(ben)
    activate(anna)
    bpy.ops.likeness.look_through(photo="square.jpg")
    activate(ben)
    bpy.ops.likeness.look_through(photo="crop.jpg")
    assert not smiles(anna) and smiles(ben)
    bpy.ops.likeness.leave_photo()
    assert not smiles(ben)


def test_esc_stops_an_animation_that_plays_before_it_cancels_a_job(backend: Backend) -> None:
    from blender_addon.operators.reconstruct import ReconstructFace
    from blender_addon.session import listed_photos
    from blender_addon.waiting import Job

    current = session()
    current.begin(Job(Place.shown(bpy.context), *listed_photos(bpy.context.scene), HeadOptions("fast", 1024)), None)
    escape = MagicMock(type="ESC", value="PRESS")
    bpy.ops.screen.animation_play()
    assert ReconstructFace.modal(MagicMock(), bpy.context, escape) == {"PASS_THROUGH"} and current.busy
    bpy.ops.screen.animation_cancel()
    assert ReconstructFace.modal(MagicMock(), bpy.context, escape) == {"RUNNING_MODAL"} and not current.busy


def drawn(*above: type) -> MagicMock:
    """What the panels of the head show, nothing where they are not there; after the panels ``above``."""
    from blender_addon.ui.panel import HEAD_PANELS

    layout = MagicMock()
    for panel in above:
        panel.draw(MagicMock(layout=layout), bpy.context)
    for panel in HEAD_PANELS:
        if panel.poll(bpy.context):
            panel.draw(MagicMock(layout=layout), bpy.context)
    return layout


def panel() -> list[str]:
    """What it offers."""
    return [call.args[0] for call in drawn().mock_calls if call.args and str(call.args[0]).startswith("likeness.")]
