"""Looking through a photo: what stays right when the head is solved again, or the camera goes, meanwhile."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")
sys.path[:0] = [str(Path(__file__).parent / "scene"), str(Path(__file__).parent)]
from head_message import load_or_make  # noqa: E402
from instant_backend import Backend  # noqa: E402

from blender_addon.objects import tags  # noqa: E402
from blender_addon.objects.tags import cameras_by_photo  # noqa: E402
from blender_addon.protocol.result import HeadResult  # noqa: E402
from blender_addon.scene.cameras import PhotoFile  # noqa: E402
from blender_addon.scene.importing import import_head  # noqa: E402

pytestmark = pytest.mark.blender
PHOTO = "square.jpg"


@pytest.fixture(scope="module")
def files() -> list[PhotoFile]:
    return [PhotoFile(name, data) for name, data in load_or_make().photos.items()]


@pytest.fixture
def looking(backend: Backend, result: HeadResult, files: list[PhotoFile]) -> bpy.types.Collection:
    """A head through one of whose photos one looks; a backend that finds another expression on that."""
    collection = import_head(result, bpy.context, files)
    bpy.ops.likeness.look_through(photo=PHOTO)
    photos = [replace(p, expression={**p.expression, "jawOpen": 0.75}) for p in result.photos]
    backend.result = replace(result, photos=tuple(photos))
    return collection


def jaw(collection: bpy.types.Collection) -> float:
    return tags.part_object(collection, "head").data.shape_keys.key_blocks["jawOpen"].value


def test_the_head_in_the_photo_wears_what_is_solved_again(looking: bpy.types.Collection) -> None:
    assert jaw(looking) == pytest.approx(0.1)
    bpy.ops.likeness.solve_again()
    assert jaw(looking) == 0.75


def test_an_expression_of_the_artists_own_stays(looking: bpy.types.Collection) -> None:
    tags.part_object(looking, "head").data.shape_keys.key_blocks["jawOpen"].value = 0.25
    bpy.ops.likeness.solve_again()
    assert jaw(looking) == 0.25


def test_a_head_that_nobody_compares_stays_neutral(looking: bpy.types.Collection) -> None:
    bpy.ops.likeness.leave_photo()
    bpy.ops.likeness.solve_again()
    assert jaw(looking) == 0.0


def test_how_a_photo_lies_over_the_head_stays(looking: bpy.types.Collection) -> None:
    camera = cameras_by_photo(looking)[PHOTO]
    (background,) = camera.data.background_images
    assert (background.display_depth, background.alpha) == ("BACK", 1.0)
    background.display_depth, background.alpha = "FRONT", 0.25
    bpy.ops.likeness.solve_again()
    (background,) = camera.data.background_images
    assert (background.display_depth, background.alpha) == ("FRONT", 0.25)


def test_a_photo_whose_camera_is_gone_is_left_with_a_neutral_face(
    backend: Backend, looking: bpy.types.Collection, result: HeadResult
) -> None:
    """Solved again without that photo, or deleted."""
    backend.result = replace(result, photos=result.photos[:3])
    bpy.ops.likeness.solve_again()
    assert bpy.context.scene.camera is None and jaw(looking) > 0
    bpy.ops.likeness.leave_photo()
    assert jaw(looking) == 0.0 and bpy.context.scene.render.resolution_x == 1920
    tags.part_object(looking, "head").data.shape_keys.key_blocks["jawOpen"].value = 0.25
    bpy.ops.likeness.leave_photo()  # of none
    assert jaw(looking) == 0.25


def test_a_camera_that_is_chosen_meanwhile_stays(looking: bpy.types.Collection) -> None:
    own = bpy.data.objects.new("own", bpy.data.cameras.new("own"))
    bpy.context.scene.collection.objects.link(own)
    bpy.context.scene.camera = own
    bpy.ops.likeness.leave_photo()
    assert jaw(looking) == 0.0
    assert bpy.context.scene.camera == own and bpy.context.scene.render.resolution_x == 1920
