"""Where a new head arrives and how it is shown: what the panel and the preferences say is obeyed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")

sys.path[:0] = [str(Path(__file__).parent / "scene"), str(Path(__file__).parent)]
from blender_addon.shared.options import HeadOptions  # noqa: E402
from instant_backend import PACKAGE, Backend  # noqa: E402

from blender_addon import session as session_module  # noqa: E402
from blender_addon.objects import tags  # noqa: E402
from blender_addon.objects.tags import Place  # noqa: E402
from blender_addon.session import session  # noqa: E402
from blender_addon.waiting import (  # noqa: E402
    Job,
)

pytestmark = pytest.mark.blender


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
    return Job(Place.shown(bpy.context), *session_module.listed_photos(bpy.context.scene), HeadOptions("fast", 1024))
