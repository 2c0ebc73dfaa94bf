"""The person's name: entered once, worn by the head, its collection and its cameras, and kept."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")
sys.path[:0] = [str(Path(__file__).parent / "scene"), str(Path(__file__).parent)]
from blender_addon.shared.options import HeadOptions  # noqa: E402
from instant_backend import Backend  # noqa: E402

from blender_addon.objects import tags  # noqa: E402
from blender_addon.objects.tags import cameras_by_photo  # noqa: E402
from blender_addon.protocol.result import HeadResult  # noqa: E402
from blender_addon.scene.importing import import_head  # noqa: E402
from blender_addon.waiting import note_of, parse_note  # noqa: E402

pytestmark = pytest.mark.blender


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
    assert list(cameras_by_photo(anna)) == photos  # the panel's buttons
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


def test_a_head_that_waits_on_the_disk_keeps_its_name(backend: Backend) -> None:
    from blender_addon.objects.tags import Place
    from blender_addon.session import listed_photos
    from blender_addon.waiting import Job

    place = Place.shown(bpy.context)
    job = Job(place, *listed_photos(bpy.context.scene), HeadOptions("fast", 1024), name="Anna")
    note, embedded = note_of(job, 1.0)
    assert parse_note(note).job(place, embedded) == job
