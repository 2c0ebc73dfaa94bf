"""Many people: the table, the run, what fails, and the asset library that it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import bpy
import numpy as np
import pytest
from blender_addon.shared.options import HeadOptions
from instant_backend import Backend
from scene_helpers import import_head

from backend.exchange.buffers import png_bytes
from blender_addon.errors import AddonError
from blender_addon.many import run
from blender_addon.many.stage import CATALOGUE_ID, mark_as_asset
from blender_addon.objects import tags
from blender_addon.operators import photos as operators
from blender_addon.protocol.result import HeadResult
from blender_addon.runner import JobView, Phase
from blender_addon.session import Job, session
from blender_addon.ui.many_panel import ManyPanel


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Anna and Ben with photos, a folder without, and a file."""
    folder = tmp_path / "people"
    for name, photos in (("Ben", ("1.jpg",)), ("Anna", ("b.JPG", "a.png", "notes.txt")), ("empty", ())):
        (folder / name).mkdir(parents=True)
        for photo in photos:
            (folder / name / photo).write_bytes(b"\xff\xd8")
    (folder / "readme.txt").write_text("no person")
    return folder


@pytest.fixture
def many(backend: Backend, people: Path, monkeypatch: pytest.MonkeyPatch):
    """The table with both people, and the backend that has the result at once."""
    monkeypatch.setattr(operators, "chosen_backend", lambda context: None)
    assert bpy.ops.likeness.choose_people(directory=str(people)) == {"FINISHED"}
    yield bpy.context.scene.likeness_many
    run.forget()


def states(many) -> dict[str, str]:
    return {person.name: person.state for person in many.people}


def failing(backend: Backend, monkeypatch: pytest.MonkeyPatch, code: str, when: Callable[[int], bool]) -> list[int]:
    """Let the backend's jobs fail with ``code``; returns the list of jobs begun."""
    begun: list[int] = []
    begin = backend.begin

    def begin_or_fail(submission: object, where: object) -> None:
        begun.append(len(begun))
        backend.view = JobView()
        if when(begun[-1]):
            backend.view = JobView(Phase.FAILED, "No photo shows a face.", code=code, advice="Use others.")
        else:
            begin(submission, where)

    monkeypatch.setattr(backend, "begin", begin_or_fail)
    return begun


def test_people_are_folders_with_photos(people: Path) -> None:
    found = run.people_in(people)
    assert [(person.name, [path.name for path in person.photos]) for person in found] == [
        ("Anna", ["a.png", "b.JPG"]),
        ("Ben", ["1.jpg"]),
    ]


@pytest.mark.parametrize("where", ["empty", "not there"])
def test_a_folder_without_people_is_one_sentence(people: Path, where: str) -> None:
    with pytest.raises(AddonError) as caught:
        run.people_in(people / where)
    assert caught.value.code == "no_photo"


def test_everybody_gets_a_head_of_their_name(many) -> None:
    assert states(many) == {"Anna": "WAITING", "Ben": "WAITING"}
    assert bpy.ops.likeness.reconstruct_many() == {"FINISHED"}
    assert states(many) == {"Anna": "DONE", "Ben": "DONE"}
    assert {collection[tags.NAME] for collection in tags.head_collections()} == {"Anna", "Ben"}
    heads = [tags.part_object(collection, "head") for collection in tags.head_collections()]
    assert abs(heads[0].location.x - heads[1].location.x) > 0.1  # beside each other
    assert not bpy.ops.likeness.reconstruct_many.poll()


def test_who_fails_has_a_sentence_and_the_others_go_on(many, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(backend, monkeypatch, "no_face", lambda number: number == 0)
    bpy.ops.likeness.reconstruct_many()
    assert states(many) == {"Anna": "FAILED", "Ben": "DONE"}
    assert many.people["Anna"].sentence == "No photo shows a face. Use others."
    bpy.ops.likeness.try_again()
    bpy.ops.likeness.reconstruct_many()
    assert states(many) == {"Anna": "DONE", "Ben": "DONE"}


def test_a_backend_that_is_gone_stops_the_run_and_nobody_is_lost(
    many, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = failing(backend, monkeypatch, "backend_died", lambda number: True)
    with pytest.raises(RuntimeError, match="No photo shows a face"):
        bpy.ops.likeness.reconstruct_many()
    assert len(begun) == 1 and states(many) == {"Anna": "WAITING", "Ben": "WAITING"}
    assert run.current() is None and "Use others" in run.last_words()


def test_stopping_lets_the_rest_wait(many, backend: Backend) -> None:
    backend.meanwhile = lambda: run.current() and run.current().stop()
    bpy.ops.likeness.reconstruct_many()
    assert set(states(many).values()) == {"WAITING"} and run.current() is None
    backend.meanwhile = lambda: None
    bpy.ops.likeness.reconstruct_many()
    assert set(states(many).values()) == {"DONE"}


def test_a_file_for_each_keeps_the_scene_empty_and_is_not_made_twice(
    many, people: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    many.apart = True
    bpy.ops.likeness.reconstruct_many()
    assert "ERROR" not in "".join(capfd.readouterr()), "of Blender's writer in the console"
    assert tags.head_collections() == [] and not [i for i in bpy.data.images if tags.HEAD_ID in i]
    path = people / "Anna" / "Anna.blend"
    assert path.is_file() and (people / "Ben" / "Ben.blend").is_file()
    bpy.ops.likeness.choose_people(directory=str(people))
    assert states(bpy.context.scene.likeness_many) == {"Anna": "DONE", "Ben": "DONE"}
    with bpy.data.libraries.load(str(path)) as (source, target):
        target.collections = list(source.collections)
    (head,) = tags.head_collections()
    assert len(tags.part_object(head, "head").data.shape_keys.key_blocks) == 53


def test_the_table_is_in_the_file_and_goes_on_later(many, tmp_path: Path, backend: Backend) -> None:
    backend.meanwhile = lambda: run.current().stop() if states(many)["Anna"] == "DONE" else None
    bpy.ops.likeness.reconstruct_many()
    assert states(many) == {"Anna": "DONE", "Ben": "WAITING"}
    path = str(tmp_path / "table.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert states(bpy.context.scene.likeness_many) == {"Anna": "DONE", "Ben": "WAITING"}
    assert run.current() is None and not session().busy


def assets_in(path: Path) -> dict[str, object]:
    """The collections that are assets, appended out of a file as the Asset Browser does, by their names in it."""
    with bpy.data.libraries.load(str(path), link=False, assets_only=True) as (source, target):
        names = list(source.collections)
        target.collections = list(names)
    return dict(zip(names, target.collections, strict=True))


def check_asset(head: object, people: Path) -> None:
    """Metadata, catalogue, a picture of something, and a head that moves."""
    data = head.asset_data
    assert {"Likeness", "head"} <= {tag.name for tag in data.tags}
    assert data.description == "Head from 4 photos, with 52 shape keys"
    lines = (people / run.FILE_NAME).read_text("utf-8").splitlines()
    assert "VERSION 1" in lines and f"{data.catalog_id}:Likeness/Heads:Likeness-Heads" in lines
    assert tuple(head.preview.image_size) == (256, 256)
    pixels = np.empty(256 * 256 * 4, np.float32)
    head.preview.image_pixels_float.foreach_get(pixels)
    pixels = pixels.reshape(256, 256, 4)
    assert (pixels[..., 3] == 1.0).all() and pixels[..., :3].std() > 0.05
    assert len(tags.part_object(head, "head").data.shape_keys.key_blocks) == 53


def test_a_file_for_each_is_an_asset_with_a_picture(many, people: Path) -> None:
    many.apart = True
    assert bpy.ops.likeness.reconstruct_many() == {"FINISHED"}
    for name in ("Anna", "Ben"):
        found = assets_in(people / name / f"{name}.blend")
        assert list(found) == [name]
        check_asset(found[name], people)
    assert not list(people.rglob("*.blend1"))


def test_one_library_file_has_all_heads_and_shows_each_once(many, people: Path) -> None:
    many.library = True
    assert bpy.ops.likeness.reconstruct_many() == {"FINISHED"}
    assert tags.head_collections() == []
    found = assets_in(people / "people.blend")
    assert sorted(found) == ["Anna", "Ben"]
    for head in found.values():
        check_asset(head, people)
    assert assets_in(people / "Anna" / "Anna.blend") == {}  # else it would stand in the Asset Browser twice


def test_a_library_of_a_stopped_run_has_who_is_done_and_later_the_rest(many, people: Path, backend: Backend) -> None:
    many.library = True
    backend.meanwhile = lambda: run.current().stop() if many.people["Anna"].state == "DONE" else None
    bpy.ops.likeness.reconstruct_many()
    assert [person.state for person in many.people] == ["DONE", "WAITING"]
    assert list(assets_in(people / "people.blend")) == ["Anna"]
    backend.meanwhile = lambda: None
    bpy.ops.likeness.reconstruct_many()
    assert sorted(assets_in(people / "people.blend")) == ["Anna", "Ben"]


def test_a_library_keeps_what_else_is_in_it(many, people: Path) -> None:
    other = bpy.data.materials.new("Clay")
    other.asset_mark()
    bpy.data.libraries.write(str(people / "people.blend"), {other}, fake_user=True)
    bpy.data.materials.remove(other)
    many.library = True
    bpy.ops.likeness.reconstruct_many()
    with bpy.data.libraries.load(str(people / "people.blend"), assets_only=True) as (source, _):
        assert list(source.materials) == ["Clay"] and sorted(source.collections) == ["Anna", "Ben"]


def test_who_is_done_is_gathered_without_another_reconstruction(many, people: Path, backend: Backend) -> None:
    many.apart = True
    bpy.ops.likeness.reconstruct_many()
    assert not bpy.ops.likeness.reconstruct_many.poll()
    begun: list[bool] = []
    backend.meanwhile = lambda: begun.append(True)
    many.library = True
    bpy.ops.likeness.reconstruct_many()
    assert begun == [] and sorted(assets_in(people / "people.blend")) == ["Anna", "Ben"]


def test_a_broken_file_is_said_and_the_others_are_in_the_library(many, people: Path) -> None:
    many.apart = True
    bpy.ops.likeness.reconstruct_many()
    (people / "Anna" / "Anna.blend").write_bytes(b"no Blender file")
    many.library = True
    with pytest.raises(RuntimeError, match=r"Anna\.blend could not be made an asset"):
        bpy.ops.likeness.reconstruct_many()
    assert list(assets_in(people / "people.blend")) == ["Ben"]
    before = (people / "people.blend").read_bytes()
    (people / "Ben" / "Ben.blend").write_bytes(b"none either")
    with pytest.raises(RuntimeError, match=r"Anna\.blend and 1 more could not be made an asset"):
        bpy.ops.likeness.reconstruct_many()
    assert (people / "people.blend").read_bytes() == before


def test_the_picture_is_the_backends_portrait_and_goes_with_the_head(backend: Backend, result: HeadResult) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    head = import_head(replace(result, portrait_png=png_bytes(pixels)), bpy.context, name="Anna")
    mark_as_asset(head)
    shown = np.empty(256 * 256 * 4, np.float32)
    head.preview.image_pixels_float.foreach_get(shown)
    shown = shown.reshape(256, 256, 4)[::-1]
    assert np.abs(shown[..., :3] * 255 - pixels).max() < 1.0 and (shown[..., 3] == 1.0).all()
    import_head(replace(result, portrait_png=None), bpy.context, into=head[tags.HEAD_ID])
    assert head[tags.PORTRAIT].packed_file.size == len(png_bytes(pixels))
    tags.remove_head(str(head[tags.HEAD_ID]))
    assert not [image for image in bpy.data.images if tags.HEAD_ID in image]


@pytest.fixture
def writing(many) -> None:
    """A run that has made its heads and is writing the library."""
    many.apart = True
    bpy.ops.likeness.reconstruct_many()
    job = Job(tags.Place.shown(bpy.context), (), (), HeadOptions(texture_size=1024), frame=False, pack_photos=False)
    run.begin(run.ManyRun(job, None, True, library=True))
    run.tick()
    assert run.is_writing()


def test_stopping_while_the_library_is_written_is_said_and_leaves_no_half_file(writing: None, people: Path) -> None:
    layout = MagicMock()
    ManyPanel.draw(MagicMock(layout=layout), bpy.context)
    assert "Writing the assets" in [call.kwargs.get("text") for call in layout.mock_calls]
    bpy.ops.likeness.stop_many()
    run.run_to_end()
    assert run.last_words() == "people.blend could not be written (it was stopped)."
    assert not (people / "people.blend").exists()


def test_catalogues_that_are_there_stay(tmp_path: Path) -> None:
    path = tmp_path / run.FILE_NAME
    mine = "VERSION 1\n11111111-2222-4333-8444-555555555555:Props:Props"
    path.write_text(mine, "utf-8")
    assert run.heads_catalogue(tmp_path) == CATALOGUE_ID
    assert path.read_text("utf-8") == f"{mine}\n{CATALOGUE_ID}:Likeness/Heads:Likeness-Heads\n"
    own = "aaaaaaaa-2222-4333-8444-555555555555"
    path.write_text(f"VERSION 1\n\nbroken:Likeness/Heads:x\n{own}:Likeness/Heads:Faces\n", "utf-8")
    before = path.read_bytes()
    assert run.heads_catalogue(tmp_path) == own and path.read_bytes() == before
