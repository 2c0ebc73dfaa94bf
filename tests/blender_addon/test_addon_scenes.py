"""What a job was begun for gets its result, whatever the window shows; where a head arrives, and its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import MagicMock

import bpy
import pytest
from blender_addon.shared.options import HeadOptions
from instant_backend import PACKAGE, Backend
from mathutils import Vector
from scene_helpers import import_head

from blender_addon.client.submissions import PhotoFile
from blender_addon.objects import tags
from blender_addon.objects.meshes import origin_of
from blender_addon.protocol.result import HeadResult
from blender_addon.session import Job, Session, listed_photos, session


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
    asked, current = bpy.context.scene, session()
    job = listed_job()
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
    original = import_head(result, bpy.context, [PhotoFile("a.jpg", None, b"\xff\xd8")])
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
    files = [PhotoFile(photo.name, tmp_path / photo.name) for photo in result.photos]
    for file in files:
        file.path.write_bytes(file.label.encode())
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

    current = session()
    current.begin(listed_job(), None)
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


def preferences() -> bpy.types.AddonPreferences:
    return bpy.context.preferences.addons[PACKAGE].preferences


def reconstructed() -> bpy.types.Object:
    """The object of a head that one click made,."""
    before = set(bpy.data.objects)
    assert bpy.ops.likeness.reconstruct() == {"FINISHED"}
    return next(obj for obj in set(bpy.data.objects) - before if obj.get(tags.PART) == "head")


def test_a_head_stands_beside_what_is_there_or_at_the_cursor(backend: Backend) -> None:
    bpy.ops.mesh.primitive_cube_add(size=4.0)
    scene = bpy.context.scene
    scene.cursor.location = (0.5, -0.25, 0.75)
    assert scene.likeness.place == "BESIDE" and reconstructed().location.x > 2.0
    scene.likeness.place = "CURSOR"
    head = reconstructed()
    assert tuple(head.location) == (0.5, -0.25, 0.75)
    scene.cursor.location = (0.0, 0.0, 0.0)
    bpy.ops.likeness.solve_again()
    assert tuple(head.location) == (0.5, -0.25, 0.75)


def test_a_head_that_waited_arrives_as_the_scene_says_that_takes_it(backend: Backend) -> None:
    def another_file() -> None:
        bpy.ops.wm.read_homefile(use_empty=True)
        bpy.context.scene.likeness.place = "CURSOR"
        bpy.context.scene.cursor.location = (1.0, 2.0, 3.0)

    backend.meanwhile = another_file
    session().begin(listed_job(), None)
    session().tick()
    assert session().has_lost_scene and bpy.ops.likeness.take_head() == {"FINISHED"}
    while session().busy:
        session().tick()
    (collection,) = tags.heads_in(bpy.context.scene)
    assert tuple(tags.part_object(collection, "head").location) == (1.0, 2.0, 3.0)


def listed_job() -> Job:
    return Job(tags.Place.shown(bpy.context), *listed_photos(bpy.context.scene), HeadOptions("fast", 1024))


def names_of(collection: bpy.types.Collection) -> tuple[str, str, list[str]]:
    """Of collection, head and cameras."""
    head = tags.part_object(collection, "head").name
    return collection.name, head, [camera.name for camera in tags.camera_objects(collection)]


def test_a_head_gets_the_name_that_was_entered(backend: Backend, result: HeadResult) -> None:
    photos = [photo.name for photo in result.photos]
    settings = bpy.context.scene.likeness
    bpy.ops.likeness.reconstruct()
    settings.person_name = " Anna "
    bpy.ops.likeness.reconstruct()
    settings.person_name = "Bob"
    anna, nameless = tags.head_collections()  # in the order of their names
    assert names_of(nameless) == ("Likeness", "head", photos)
    assert names_of(anna) == ("Anna", "Anna", [f"Anna {photo}" for photo in photos])
    assert list(tags.cameras_by_photo(anna)) == photos  # the panel's buttons
    own = [obj for obj in anna.all_objects if obj.name != "Anna"]
    assert len(own) > 12 and all(obj.name.startswith("Anna ") and obj.data.name.startswith("Anna ") for obj in own)
    assert tags.part_object(nameless, "tongue").name == "tongue"


def test_solving_again_keeps_names_and_gives_them_to_what_comes_back(backend: Backend, result: HeadResult) -> None:
    backend.result = replace(result, photos=result.photos[:1])
    settings = bpy.context.scene.likeness
    settings.person_name = "Anna"
    bpy.ops.likeness.reconstruct()
    (collection,) = tags.head_collections()
    settings.person_name = "Bob"
    collection.name = "Anna, younger"
    backend.result = result
    assert bpy.ops.likeness.solve_again() == {"FINISHED"}
    photos = [photo.name for photo in result.photos]
    assert names_of(collection) == ("Anna, younger", "Anna", [f"Anna {photo}" for photo in photos])
    bpy.data.objects.remove(tags.part_object(collection, "head"))
    bpy.ops.likeness.solve_again()
    assert names_of(collection)[1] == "Anna"


def test_a_head_that_was_deleted_meanwhile_comes_with_its_name(backend: Backend, result: HeadResult) -> None:
    collection = import_head(result, bpy.context, name="Anna")
    bpy.context.scene.likeness.person_name = "Bob"
    backend.meanwhile = lambda: bpy.data.batch_remove([*collection.all_objects, collection])
    assert bpy.ops.likeness.solve_again() == {"FINISHED"}
    (made,) = tags.head_collections()
    assert names_of(made)[:2] == ("Anna", "Anna")
