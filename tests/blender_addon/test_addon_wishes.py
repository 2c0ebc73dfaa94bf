"""Symmetry, nearness to the average face, hairstyle: of the list and of a head, sent, kept in the file, obeyed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import bpy
import numpy as np
import pytest
from blender_addon.shared.options import HeadOptions
from instant_backend import Backend
from scene_helpers import points_of

from blender_addon import timer
from blender_addon.client.submissions import Submission
from blender_addon.objects import tags
from blender_addon.protocol.result import HeadResult
from blender_addon.settings.properties import options_of
from blender_addon.ui.panel import ShapePanel


@pytest.fixture
def sent(backend: Backend, result: HeadResult) -> list[Submission]:
    """What the backend was asked for; its report says that it did as it was told."""
    asked: list[Submission] = []

    def begin(submission: Submission, where: object) -> None:
        asked.append(submission)
        usual = {"symmetry": 0.0, "average": 0.5, "hair_style": "auto", "look": ""}
        settings = {name: submission.options.get(name, value) for name, value in usual.items()}
        only = submission.options.get("only", "")
        bare = {"albedo_png": None, "hair": None, "detail": None} if only else {}
        backend.result = replace(result, report={**result.report, "settings": settings}, only=only, **bare)
        backend.busy = True

    backend.begin = begin
    return asked


def head() -> bpy.types.Collection:
    (collection,) = tags.head_collections()
    return collection


def test_a_hairstyle_arrives_without_a_solve(backend: Backend, result: HeadResult) -> None:
    """The backend sends other strands; a shape alone leaves the hair alone."""
    bpy.ops.likeness.reconstruct()
    asked: list[Submission] = []
    longer = replace(result.hair, points=result.hair.points * np.float32([1.0, 1.1, 1.0]))
    bare = replace(result, albedo_png=None, detail=None, hair=longer, only="hair")

    def answer(sent: HeadResult) -> Callable[[Submission, object], None]:
        def begin(submission: Submission, where: object) -> None:
            asked.append(submission)
            backend.result, backend.busy = sent, True

        return begin

    strands, albedo = tags.hair_object(head()), head()[tags.ALBEDO]
    before = points_of(strands.data)
    backend.begin = answer(replace(bare, report={"hair": {"found": True}, "settings": {"look": "a.jpg"}}))
    assert bpy.ops.likeness.change_hair(style="bob") == {"FINISHED"}
    assert asked[0].options["only"] == "hair" and asked[0].options["hair_style"] == "bob"
    assert asked[0].options["head"] == result.token and not asked[0].photos
    assert head().likeness.hair_style == "bob" and head().likeness.look == "a.jpg"
    assert json.loads(head()[tags.REPORT])["photos"] == result.report["photos"]
    assert np.abs(points_of(strands.data) - before).max() > 0.01 and head()[tags.ALBEDO] == albedo
    backend.begin = answer(replace(bare, hair=None, report={"photos": []}, only="geometry"))
    bpy.ops.likeness.solve_again()
    assert tags.hair_object(head()) == strands
    backend.begin = answer(replace(bare, hair=None, report={"hair": {"found": False}}))
    bpy.ops.likeness.change_hair(style="shaved")
    assert tags.hair_object(head()) is None and tags.part_object(head(), "head") is not None


def test_hair_comes_from_another_photo_without_a_solve(sent: list[Submission]) -> None:
    """The photo gets the star, so that solving again keeps it."""
    bpy.ops.likeness.reconstruct()
    bpy.ops.likeness.hair_from_photo(photo="a.jpg")
    assert sent[-1].options["only"] == "hair" and sent[-1].options["look"] == "a.jpg"
    bpy.context.scene.likeness.photos.clear()
    bpy.ops.likeness.solve_again()
    assert sent[-1].options["look"] == "a.jpg" and "only" not in sent[-1].options


def test_a_chosen_parting_grows_the_hair_by_itself(
    sent: list[Submission], backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blender_addon.redraw.SETTLED_SECONDS", 0.0)
    bpy.ops.likeness.reconstruct()
    backend.connected = True
    head().likeness.parting, head().likeness.parting_place = "left", 0.05
    timer._on_timer()
    timer._on_timer()
    assert [one.options.get("parting") for one in sent] == [None, "left"]
    assert sent[1].options["only"] == "hair" and sent[1].options["parting_place"] == pytest.approx(0.05)
    bpy.ops.likeness.solve_again()
    assert sent[-1].options["parting"] == "left" and "only" not in sent[-1].options


def test_a_slider_that_moves_on_before_its_picture_arrives_is_one_step_of_undo(
    sent: list[Submission], backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step of an earlier picture would have the later value of the slider."""
    monkeypatch.setattr("blender_addon.redraw.SETTLED_SECONDS", 0.0)
    bpy.ops.likeness.reconstruct()
    pushed: list[float] = []
    monkeypatch.setattr("blender_addon.redraw.push_undo", lambda *_: pushed.append(head().likeness.parting_place))
    backend.connected, moves, begin = True, [0.05], backend.begin

    def begin_and_move_on(submission: Submission, where: object) -> None:
        begin(submission, where)
        if moves:
            head().likeness.parting_place = moves.pop()

    backend.begin = begin_and_move_on
    head().likeness.parting, head().likeness.parting_place = "left", 0.02
    for _ in range(6):
        timer._on_timer()
    assert [one.options["parting_place"] for one in sent[1:]] == pytest.approx([0.02, 0.05])
    assert pushed == pytest.approx([0.05])


def test_sliders_of_the_list_make_the_head_and_are_its_own_then(sent: list[Submission], tmp_path: Path) -> None:
    bpy.context.scene.likeness.symmetry, bpy.context.scene.likeness.average = 0.75, 1.0
    bpy.ops.likeness.reconstruct()
    assert (sent[0].options["symmetry"], sent[0].options["average"]) == (0.75, 1.0)
    bpy.context.scene.likeness.symmetry = bpy.context.scene.likeness.average = 0.0
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "head.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "head.blend"))
    assert (head().likeness.symmetry, head().likeness.average, head().likeness.changed) == (0.75, 1.0, False)
    bpy.ops.likeness.solve_again()
    assert (sent[1].options["symmetry"], sent[1].options["average"]) == (0.75, 1.0)


def test_a_chosen_hairstyle_is_the_heads_own_and_solve_again_obeys_it(sent: list[Submission]) -> None:
    bpy.context.scene.likeness.hair_style = "long curly"
    bpy.ops.likeness.reconstruct()
    assert sent[0].options["hair_style"] == "long curly"
    bpy.context.scene.likeness.hair_style = "auto"
    assert head().likeness.hair_style == "long curly"
    head().likeness.hair_style = "long wavy"
    bpy.ops.likeness.solve_again()
    assert sent[1].options["hair_style"] == "long wavy" and head().likeness.hair_style == "long wavy"


def test_one_photo_of_the_list_has_the_star_and_solve_again_keeps_its_look(
    sent: list[Submission], tmp_path: Path
) -> None:
    (tmp_path / "b.jpg").write_bytes(b"another photo")
    bpy.ops.likeness.add_photos(directory=str(tmp_path), files=[{"name": "b.jpg"}])
    photos = bpy.context.scene.likeness.photos
    photos[0].leads = True
    photos[1].leads = True
    assert [photo.leads for photo in photos][:2] == [False, True]
    bpy.ops.likeness.reconstruct()
    assert sent[0].options["look"] == photos[1].name == head().likeness.look
    photos[1].leads = False
    bpy.ops.likeness.solve_again()
    assert sent[1].options["look"] == head().likeness.look == photos[1].name
    bpy.ops.likeness.star_photo(photo=photos[1].name)
    assert head().likeness.look == ""
    bpy.ops.likeness.star_photo(photo=photos[0].name)
    bpy.ops.likeness.solve_again()
    assert sent[2].options["look"] == photos[0].name


def test_properties_are_the_declared_options_with_their_defaults(sent: list[Submission]) -> None:
    settings = bpy.context.scene.likeness
    assert options_of(settings) == HeadOptions() and HeadOptions().changed() == {}
    settings.texture_size, settings.hair_style, settings.symmetry = "4096", "side part", 0.25
    assert options_of(settings).changed() == {"texture_size": 4096, "hair_style": "side part", "symmetry": 0.25}


def test_fit_obeys_a_moved_slider_and_has_done_with_it(sent: list[Submission]) -> None:
    bpy.ops.likeness.reconstruct()
    head().likeness.symmetry = 0.3
    assert head().likeness.changed and "likeness.fit_corrections" in fit_buttons()
    bpy.ops.likeness.fit_corrections()
    assert sent[1].options["only"] == "geometry" and sent[1].options["symmetry"] == pytest.approx(0.3)
    assert "average" not in sent[1].options
    assert not head().likeness.changed and "likeness.fit_corrections" not in fit_buttons()
    head().likeness.symmetry = 0.0
    bpy.ops.likeness.solve_again()
    assert "symmetry" not in sent[2].options and not head().likeness.changed


def fit_buttons() -> list[str]:
    layout = MagicMock()
    ShapePanel.draw(MagicMock(layout=layout), bpy.context)
    return [call.args[0] for call in layout.mock_calls if call[0].endswith("operator")]
