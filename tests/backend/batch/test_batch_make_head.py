"""When a person's head is made, kept or refused: the same photos, options, code and weights, and all files there."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from backend.batch import records
from backend.batch.make_head import Task, make_head
from backend.batch.manifest import Person, PersonOptions
from backend.exchange.all_or_none import FILE_NAMES, RESULT_NAMES, OutputFolder
from backend.models import registry
from backend.pipeline import ReconstructOptions
from backend.system.files import ASSETS

LEFT_OUT = b'{"version": 1, "photos": [{"name": "1.jpg", "use": "neither"}]}'
SHAPE_ONLY = b'{"version": 1, "photos": [{"name": "1.jpg", "use": "shape"}]}'
STAMP = registry.Stamp("code", "models", ("torch 2.13.0",))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[ReconstructOptions]:
    """Options of the heads that were made, in order."""
    options: list[ReconstructOptions] = []

    def reconstruct(sources: object, own: ReconstructOptions, *more: object) -> SimpleNamespace:
        options.append(own)
        report = {"photos": [{"used": True}], "settings": {"device": "cpu"}}
        return SimpleNamespace(asset=SimpleNamespace(report=report), previews=())

    def file_stages(files: Path, out_dir: Path, progress: object) -> dict[str, object]:
        for name in RESULT_NAMES:
            (files / name).write_bytes(b"")
        return {}

    monkeypatch.setattr("backend.pipeline.reconstruct", reconstruct)

    def draw_preview(asset: object, previews: object, folder: OutputFolder) -> None:
        (folder.path / "preview.png").write_bytes(b"")

    monkeypatch.setattr("backend.pipeline.file_stages", file_stages)
    monkeypatch.setattr("backend.exchange.folder.draw_preview", draw_preview)
    return options


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """Somebody with two photos and corrections of the first."""
    folder = tmp_path / "given"
    folder.mkdir()
    for name in ("1.jpg", "2.jpg"):
        (folder / name).write_bytes(name.encode())
    (folder / "it.json").write_bytes(LEFT_OUT)
    person = Person(name="anna", line=1, sources=(str(folder),), corrections=str(folder / "it.json"))
    return Task(person, str(tmp_path / "heads"), registry.Stamp("code", "models", ()))


def changed(task: Task, **fields: object) -> Task:
    return msgspec.structs.replace(task, person=msgspec.structs.replace(task.person, **fields))


def test_all_choices_reach_the_reconstruction(task: Task, made: list[ReconstructOptions]) -> None:
    options = PersonOptions(
        quality="best",
        texture_size=1024,
        hair="none",
        hair_style="bob",
        look="2.jpg",
        bust=False,
        face_model="graph",
        symmetry=0.25,
        average=1.0,
        lap=False,
    )
    assert make_head(changed(task, options=options)).status == "done"
    (own,) = made
    assert (own.quality, own.texture_size, own.hair, own.hair_style) == ("best", 1024, "none", "bob")
    assert not own.bust and own.look == "2.jpg"
    assert (own.face_model, own.symmetry, own.average) == ("graph", 0.25, 1.0)
    assert [(one.name, one.use) for one in own.corrections] == [("1.jpg", "neither")]


@pytest.mark.parametrize(
    ("option", "value"),
    [("bust", False), ("hair_style", "bob"), ("look", "2.jpg"), ("symmetry", 0.75), ("average", 0.75)],
)
def test_another_option_makes_the_head_again(
    task: Task, made: list[ReconstructOptions], option: str, value: object
) -> None:
    assert [make_head(task).status for _ in range(2)] == ["done", "kept"]
    other = changed(task, options=PersonOptions(**{option: value}))
    assert [make_head(other).status for _ in range(2)] == ["done", "kept"]
    assert make_head(task).status == "done" and len(made) == 3


def test_other_corrections_make_the_head_again_and_moved_ones_do_not(
    task: Task, made: list[ReconstructOptions], tmp_path: Path
) -> None:
    file = Path(task.person.corrections or "")
    assert [make_head(task).status for _ in range(2)] == ["done", "kept"]
    file.write_bytes(SHAPE_ONLY)
    assert [make_head(task).status for _ in range(2)] == ["done", "kept"]
    moved = changed(task, corrections=str(file.rename(tmp_path / "moved.json")))
    assert make_head(moved).status == "kept"
    assert [make_head(changed(task, corrections=None)).status for _ in range(2)] == ["done", "kept"]
    assert [[one.use for one in own.corrections] for own in made] == [["neither"], ["shape"], []]


def missing(path: Path) -> None:
    path.unlink()


def no_corrections(path: Path) -> None:
    path.write_bytes(b"[1")


def endless(path: Path) -> None:
    path.unlink()
    os.symlink("/dev/zero", path)


@pytest.mark.parametrize(
    ("spoil", "words"), [(missing, "could not be read"), (no_corrections, "not a file of"), (endless, "regular file")]
)
def test_corrections_that_cannot_be_had_are_no_reason_to_keep_a_head(
    task: Task, made: list[ReconstructOptions], spoil: Callable[[Path], None], words: str
) -> None:
    """A head that was made without corrections lies there already."""
    assert make_head(changed(task, corrections=None)).status == "done"
    spoil(Path(task.person.corrections or ""))
    outcome = make_head(task)
    assert (outcome.status, outcome.code) == ("failed", "usage") and words in outcome.reason
    assert len(made) == 1


def test_corrections_that_change_meanwhile_are_refused(
    task: Task, made: list[ReconstructOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    def reconstruct(*_: object) -> SimpleNamespace:
        Path(task.person.corrections or "").write_bytes(SHAPE_ONLY)
        return SimpleNamespace(asset=None, previews=())

    monkeypatch.setattr("backend.pipeline.reconstruct", reconstruct)
    outcome = make_head(task)
    assert outcome.status == "failed" and "changed while the head was made" in outcome.reason


def given(*photos: Path, options: PersonOptions | None = None, stamp: registry.Stamp = STAMP) -> records.Input:
    return records.Input(records.photos_in([(path.name, path) for path in photos]), options or PersonOptions(), stamp)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"one picture")
    return path


def test_what_changes_the_fingerprint_and_what_does_not(photo: Path, tmp_path: Path) -> None:
    before = given(photo).fingerprint
    elsewhere = tmp_path / "moved" / "photo.jpg"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(photo.read_bytes())
    assert given(elsewhere).fingerprint == before
    others = [
        given(photo, elsewhere),
        given(photo, options=PersonOptions(texture_size=1024)),
        given(photo, options=PersonOptions(bust=False)),
        given(photo, options=PersonOptions(symmetry=0.5)),
        given(photo, options=PersonOptions(average=0.25)),
        given(photo, stamp=registry.Stamp("other code", "models", STAMP.packages)),
        given(photo, stamp=registry.Stamp("code", "other models", STAMP.packages)),
        given(photo, stamp=registry.Stamp("code", "models", ("torch 2.14.0",))),
    ]
    photo.write_bytes(b"another one")
    others.append(given(photo))
    photo.rename(tmp_path / "renamed.jpg")
    others += [given(photo), given(tmp_path / "renamed.jpg")]
    assert len({before, *(one.fingerprint for one in others)}) == 1 + len(others)


def test_only_files_are_hashed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    found = records.photos_in(
        [("fifo", tmp_path / "fifo.jpg"), ("zero", Path("/dev/zero")), ("none", tmp_path / "none")]
    )
    assert [photo.sha256 for photo in found] == [None, None, None]


def test_a_head_is_done_when_all_of_it_is_there_and_from_the_same(photo: Path, tmp_path: Path) -> None:
    head, what = tmp_path / "head", given(photo)
    head.mkdir()
    record = records.InputRecord(
        fingerprint=what.fingerprint,
        input=what,
        seconds=1.0,
        cpu_seconds=1.0,
        photos_used=1,
        peak_rss_mb=None,
        device="cpu",
    )
    assert records.made_before(head, what.fingerprint) is None
    records.remember(head, record)
    assert records.made_before(head, what.fingerprint) is None  # its files are missing
    for name in FILE_NAMES:
        (head / name).write_bytes(b"")
    assert records.made_before(head, what.fingerprint) == record
    assert records.made_before(head, "another") is None
    (head / records.FILE_NAME).write_bytes(b"[" * 100_000)
    assert records.made_before(head, what.fingerprint) is None
    records.remember(head, record)
    records.forget(head)
    assert records.made_before(head, what.fingerprint) is None


def test_the_stamp_is_of_the_code_and_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = registry.current_stamp()
    assert before == registry.current_stamp()
    (tmp_path / "lap-00001-of-00001.safetensors").write_bytes(b"other weights")
    monkeypatch.setenv("LIKENESS_LAP", str(tmp_path))
    after = registry.current_stamp()
    assert after.code == before.code and after.models != before.models
    assert (ASSETS / "template.safetensors").is_file()
    assert msgspec.json.decode(msgspec.json.encode(after), type=registry.Stamp) == after
