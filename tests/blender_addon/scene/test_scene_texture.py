"""Texture by photo: regions, the brush, the other side and sliders; asked, kept, undone, and shown by the materials."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from instant_backend import Backend  # noqa: E402

from blender_addon import timer  # noqa: E402
from blender_addon.client.submissions import PhotoCorrections, Submission  # noqa: E402
from blender_addon.objects import tags  # noqa: E402
from blender_addon.protocol.result import HeadResult  # noqa: E402
from blender_addon.runner import JobView, Phase  # noqa: E402
from blender_addon.scene import corrections  # noqa: E402


@pytest.fixture
def asked(backend: Backend, result: HeadResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Submission]:
    """What the backend was asked for, from the default scene on; a texture comes with nothing else new."""
    monkeypatch.setattr("blender_addon.redraw.SETTLED_SECONDS", 0.0)
    sent: list[Submission] = []

    def begin(submission: Submission, where: object) -> None:
        sent.append(submission)
        bare = {"albedo_png": red_png(256), "hair": None, "detail": None, "only": "texture"}
        only = submission.options.get("only") == "texture"
        backend.result = replace(result, **bare, report={"settings": {}}) if only else result
        backend.busy = True

    backend.begin = begin
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff")
    bpy.ops.likeness.add_photos(directory=str(tmp_path), files=[{"name": "b.jpg"}])
    bpy.ops.likeness.reconstruct()
    return sent


def red_png(side: int) -> bytes:
    image = bpy.data.images.new("red", side, side)
    image.pixels.foreach_set(np.tile(np.float32([1, 0, 0, 1]), side * side))
    path = Path(bpy.app.tempdir) / "red.png"
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return path.read_bytes()


def head() -> bpy.types.Collection:
    (collection,) = tags.head_collections()
    return collection


def shown(collection: bpy.types.Collection | None = None) -> np.ndarray:
    """(3,) mean of the albedo that the head's material shows."""
    image = (collection or head())[tags.ALBEDO]
    pixels = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(pixels)
    return pixels.reshape(-1, 4)[:, :3].mean(0)


def sent_of(submission: Submission) -> dict[str, PhotoCorrections]:
    return {one.label: one for one in submission.corrections}


def test_a_photo_paints_a_region_and_nothing_else_changes(asked: list[Submission]) -> None:
    one, two = "a.jpg", "b.jpg"
    mesh, strands = tags.part_object(head(), "head"), tags.hair_object(head())
    points, materials = len(mesh.data.vertices), list(mesh.data.materials)
    relief, report = {image.name for image in bpy.data.images}, head()[tags.REPORT]
    before = shown()
    assert bpy.ops.likeness.paint_region(region="nose", source=one) == {"FINISHED"}
    assert asked[-1].options["only"] == "texture" and sent_of(asked[-1])[one].paints == ("nose",)
    assert asked[-1].options["head"] == head()[tags.JOB] and not asked[-1].photos
    np.testing.assert_allclose(shown(), [1.0, 0.0, 0.0], atol=0.02)
    assert np.abs(shown() - before).max() > 0.2
    assert tags.hair_object(head()) == strands and head()[tags.REPORT] == report
    assert len(mesh.data.vertices) == points and list(mesh.data.materials) == materials
    assert {image.name for image in bpy.data.images} == relief
    bpy.ops.likeness.paint_region(region="nose", source=two)  # a region has one photo
    bpy.ops.likeness.paint_region(region="left cheek", source=two)
    assert sent_of(asked[-1]) == {two: PhotoCorrections(two, paints=("nose", "left cheek"))}
    assert corrections.painted_regions(head()) == {"nose": two, "left cheek": two}
    bpy.ops.likeness.paint_region(region="nose", source="/all")
    bpy.ops.likeness.paint_region(region="left cheek", source="/all")
    assert asked[-1].corrections == () and corrections.painted_regions(head()) == {}


def test_a_side_is_filled_from_the_other(asked: list[Submission]) -> None:
    bpy.ops.likeness.paint_region(region="left ear", source="/mirrored")
    bpy.ops.likeness.paint_region(region="right cheek", source="/mirrored")
    assert asked[-1].options["mirror"] == "left ear, right cheek"
    bpy.ops.likeness.paint_region(region="left ear", source="/all")
    assert asked[-1].options["mirror"] == "right cheek"
    with pytest.raises(RuntimeError, match="no other side"):
        bpy.ops.likeness.paint_region(region="nose", source="/mirrored")


def test_the_brush_marks_what_a_photo_paints(asked: list[Submission]) -> None:
    photo, mesh = "a.jpg", tags.part_object(head(), "head")
    with pytest.raises(RuntimeError, match="Nothing is marked"):
        bpy.ops.likeness.paint_region(region="brush", source=photo)
    assert bpy.ops.likeness.texture_brush() == {"FINISHED"}
    assert mesh.mode == "WEIGHT_PAINT" and mesh.vertex_groups.active.name == corrections.BRUSH_GROUP
    assert head().likeness.texture_region == "brush"
    bpy.ops.likeness.texture_brush()
    assert mesh.mode == "OBJECT"
    mesh.vertex_groups[corrections.BRUSH_GROUP].add([5, 7], 0.5, "REPLACE")
    bpy.ops.likeness.texture_brush()
    bpy.ops.likeness.paint_region(region="brush", source=photo)  # leaves the brush by itself
    brush = sent_of(asked[-1])[photo].brush
    assert len(brush) == len(mesh.data.vertices) and (brush[5], brush[6], brush[7]) == (128, 0, 128)


def test_solving_again_and_the_file_keep_the_choice(asked: list[Submission], tmp_path: Path) -> None:
    photo = "a.jpg"
    bpy.ops.likeness.paint_region(region="forehead", source=photo)
    head().likeness.make_up, head().likeness.delighting = 0.5, 0.25
    bpy.ops.likeness.paint_texture()
    assert (asked[-1].options["make_up"], asked[-1].options["delighting"]) == (0.5, 0.25)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "head.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "head.blend"))
    np.testing.assert_allclose(shown(), [1.0, 0.0, 0.0], atol=0.02)
    bpy.ops.likeness.solve_again()
    assert "only" not in asked[-1].options
    assert (asked[-1].options["make_up"], asked[-1].options["delighting"]) == (0.5, 0.25)
    assert sent_of(asked[-1])[photo].paints == ("forehead",)


def test_sliders_paint_by_themselves_while_the_backend_runs(asked: list[Submission], backend: Backend) -> None:
    head().likeness.make_up = 0.25
    timer._on_timer()
    assert len(asked) == 1, "no backend runs, which could have the texture"
    backend.connected = True
    for value in (0.5, 0.75):  # a drag
        head().likeness.make_up = value
    timer._on_timer()
    timer._on_timer()
    assert [one.options.get("make_up") for one in asked[1:]] == [0.75]
    np.testing.assert_allclose(shown(), [1.0, 0.0, 0.0], atol=0.02)
    bpy.ops.object.select_all(action="DESELECT")
    bpy.context.view_layer.objects.active = None
    bpy.ops.likeness.reconstruct()
    timer._on_timer()
    assert "only" not in asked[-1].options, "a new head's own values ask for nothing"


def test_a_slider_paints_its_own_head_though_another_is_active_then(asked: list[Submission], backend: Backend) -> None:
    first = head()
    backend.connected = True
    backend.meanwhile = lambda: setattr(first.likeness, "make_up", 0.5)
    begin, backend.begin = backend.begin, lambda *job: (begin(*job), backend.meanwhile())
    bpy.ops.likeness.reconstruct()  # the second head is the active one
    backend.meanwhile = lambda: None
    (second,) = set(tags.head_collections()) - {first}
    timer._on_timer()
    assert asked[-1].options["make_up"] == 0.5 and asked[-1].options["only"] == "texture"
    np.testing.assert_allclose(shown(first), [1.0, 0.0, 0.0], atol=0.02)
    assert np.abs(shown(second) - [1.0, 0.0, 0.0]).max() > 0.2


def test_what_the_backend_refuses_is_not_kept(asked: list[Submission], backend: Backend) -> None:
    bpy.ops.likeness.paint_region(region="left ear", source="b.jpg")
    begin = backend.begin

    def refuse(submission: Submission, where: object) -> None:
        asked.append(submission)
        backend.view = JobView(Phase.FAILED, "a.jpg does not show what it is to paint.")

    backend.begin = refuse
    for source in ("a.jpg", "/mirrored"):
        with pytest.raises(RuntimeError, match="does not show"):
            bpy.ops.likeness.paint_region(region="left ear", source=source)
    with pytest.raises(RuntimeError, match="does not show"):
        bpy.ops.likeness.hair_from_photo(photo="a.jpg")
    assert corrections.painted_regions(head()) == {"left ear": "b.jpg"}
    assert head().likeness.mirror == head().likeness.look == ""
    backend.begin, backend.view = begin, JobView()
    bpy.ops.likeness.paint_region(region="left ear", source="/mirrored")
    assert head().likeness.mirror == "left ear" and corrections.painted_regions(head()) == {}


def test_a_texture_without_its_head_makes_no_other_one(asked: list[Submission], backend: Backend) -> None:
    def gone() -> None:
        for obj in list(tags.objects_of(head())):
            bpy.data.objects.remove(obj)
        bpy.data.collections.remove(head())

    def begin(submission: Submission, where: object) -> None:
        given(submission, where)
        gone()

    given, backend.begin = backend.begin, begin
    with pytest.raises(RuntimeError, match="was removed"):
        bpy.ops.likeness.paint_region(region="nose", source="a.jpg")
    assert not tags.head_collections()


def test_one_undo_takes_a_region_back(asked: list[Submission]) -> None:
    photo, before = "a.jpg", shown()
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.likeness.paint_region(region="mouth", source=photo)
    bpy.ops.ed.undo_push(message="Paint Region")  # in a window the session does this
    bpy.ops.ed.undo()
    assert corrections.painted_regions(head()) == {}
    np.testing.assert_allclose(shown(), before, atol=0.01)
    bpy.ops.ed.redo()
    assert corrections.painted_regions(head()) == {"mouth": photo}
    np.testing.assert_allclose(shown(), [1.0, 0.0, 0.0], atol=0.02)
