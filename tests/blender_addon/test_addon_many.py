"""Many people, one after the other: the table, the run, what fails, files of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")
sys.path[:0] = [str(Path(__file__).parent / "scene"), str(Path(__file__).parent)]
from instant_backend import Backend  # noqa: E402

from blender_addon.errors import AddonError  # noqa: E402
from blender_addon.many import run, settings  # noqa: E402
from blender_addon.objects import tags  # noqa: E402
from blender_addon.operators import many as operators  # noqa: E402
from blender_addon.runner import JobView, Phase  # noqa: E402
from blender_addon.session import session  # noqa: E402

pytestmark = pytest.mark.blender


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
    found = settings.people_in(people)
    assert [(person.name, [path.name for path in person.photos]) for person in found] == [
        ("Anna", ["a.png", "b.JPG"]),
        ("Ben", ["1.jpg"]),
    ]


@pytest.mark.parametrize("where", ["empty", "not there"])
def test_a_folder_without_people_is_one_sentence(people: Path, where: str) -> None:
    with pytest.raises(AddonError) as caught:
        settings.people_in(people / where)
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


def test_a_file_for_each_keeps_the_scene_empty_and_is_not_made_twice(many, people: Path) -> None:
    many.apart = True
    bpy.ops.likeness.reconstruct_many()
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
