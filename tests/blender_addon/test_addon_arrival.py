"""Where a new head arrives and how it is shown: what the panel and the preferences say is obeyed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

bpy = pytest.importorskip("bpy")

sys.path[:0] = [str(Path(__file__).parent / "scene"), str(Path(__file__).parent)]
from blender_addon.shared.options import HeadOptions  # noqa: E402
from instant_backend import PACKAGE, Backend  # noqa: E402

from blender_addon import session as session_module  # noqa: E402
from blender_addon.objects import tags  # noqa: E402
from blender_addon.objects.tags import Place  # noqa: E402
from blender_addon.session import session  # noqa: E402
from blender_addon.ui.panel import OptionsPanel  # noqa: E402
from blender_addon.waiting import (  # noqa: E402
    Job,
    note_of,
    parse_note,
)

pytestmark = pytest.mark.blender


def preferences() -> bpy.types.AddonPreferences:
    return bpy.context.preferences.addons[PACKAGE].preferences


def reconstructed() -> bpy.types.Object:
    """The object of a head that one click made,."""
    before = set(bpy.data.objects)
    assert bpy.ops.likeness.reconstruct() == {"FINISHED"}
    return next(obj for obj in set(bpy.data.objects) - before if obj.get(tags.PART) == "head")


def job_of(backend: Backend) -> Job:
    """The job that a click begins."""
    jobs: list[Job] = []
    backend.meanwhile = lambda: jobs.append(session().job)
    bpy.ops.likeness.reconstruct()
    return jobs[0]


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


def test_the_place_is_among_the_options(backend: Backend) -> None:
    layout = MagicMock()
    OptionsPanel.draw(MagicMock(layout=layout), bpy.context)
    drawn = [call.args[1] for call in layout.mock_calls if call[0].endswith("prop")]
    assert drawn == [
        "texture_size",
        "hair",
        "hair_style",
        "facial_hair",
        "brows",
        "glasses",
        "bust",
        "typical_lines",
        "face_model",
        "symmetry",
        "average",
        "place",
    ]


def test_material_preview_is_on_and_can_be_switched_off(backend: Backend) -> None:
    assert preferences().material_preview and job_of(backend).material_preview
    preferences().material_preview = False
    try:
        assert not job_of(backend).material_preview
    finally:
        preferences().material_preview = True


@pytest.mark.parametrize("allowed", [True, False])
def test_the_view_is_shown_a_new_head_once_and_as_the_preferences_say(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    """With a window, which is made up here."""
    shown: list[tuple] = []
    monkeypatch.setattr(session_module, "frame_head", lambda *given: shown.append(given))
    app = SimpleNamespace(background=False)
    monkeypatch.setattr(
        session_module, "bpy", SimpleNamespace(app=app, data=bpy.data, context=bpy.context, path=bpy.path)
    )
    preferences().material_preview = allowed
    try:
        bpy.ops.likeness.reconstruct()
        bpy.ops.likeness.solve_again()
    finally:
        preferences().material_preview = True
    assert [given[2] for given in shown] == [allowed]


def test_a_head_on_the_disk_knows_how_it_is_to_be_shown(backend: Backend) -> None:
    for wished in (True, False):
        note, _ = note_of(replace(listed_job(), material_preview=wished), 1.0)
        assert parse_note(note).fields["material_preview"] is wished
