"""When a head counts as done: the same photos, options, code and weights, and all files there."""

from __future__ import annotations

import os
import tomllib
from importlib import metadata
from pathlib import Path

import msgspec
import pytest

from backend.batch.manifest import PersonOptions
from backend.batch.records import (
    FILE_NAME,
    Input,
    InputRecord,
    Stamp,
    current_stamp,
    forget,
    made_before,
    photos_in,
    remember,
)
from backend.exchange.all_or_none import FILE_NAMES
from backend.system.assets import ASSETS

ROOT = Path(__file__).resolve().parents[3]
STAMP = Stamp("code", "models", ("torch 2.13.0",))


def given(*photos: Path, options: PersonOptions | None = None, stamp: Stamp = STAMP) -> Input:
    return Input(photos_in([(path.name, path) for path in photos]), options or PersonOptions(), stamp)


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
        given(photo, stamp=Stamp("other code", "models", STAMP.packages)),
        given(photo, stamp=Stamp("code", "other models", STAMP.packages)),
        given(photo, stamp=Stamp("code", "models", ("torch 2.14.0",))),
    ]
    photo.write_bytes(b"another one")
    others.append(given(photo))
    photo.rename(tmp_path / "renamed.jpg")
    others += [given(photo), given(tmp_path / "renamed.jpg")]
    assert len({before, *(one.fingerprint for one in others)}) == 1 + len(others)


def test_only_files_are_hashed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    found = photos_in([("fifo", tmp_path / "fifo.jpg"), ("zero", Path("/dev/zero")), ("none", tmp_path / "none")])
    assert [photo.sha256 for photo in found] == [None, None, None]


def test_a_head_is_done_when_all_of_it_is_there_and_from_the_same(photo: Path, tmp_path: Path) -> None:
    head, what = tmp_path / "head", given(photo)
    head.mkdir()
    record = InputRecord(
        fingerprint=what.fingerprint,
        input=what,
        seconds=1.0,
        cpu_seconds=1.0,
        photos_used=1,
        peak_rss_mb=None,
        device="cpu",
    )
    assert made_before(head, what.fingerprint) is None
    remember(head, record)
    assert made_before(head, what.fingerprint) is None  # its files are missing
    for name in FILE_NAMES:
        (head / name).write_bytes(b"")
    assert made_before(head, what.fingerprint) == record
    assert made_before(head, "another") is None
    (head / FILE_NAME).write_bytes(b"[" * 100_000)
    assert made_before(head, what.fingerprint) is None
    remember(head, record)
    forget(head)
    assert made_before(head, what.fingerprint) is None


def test_the_stamp_is_of_the_code_and_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = current_stamp()
    assert before == current_stamp()
    (tmp_path / "lap-00001-of-00001.safetensors").write_bytes(b"other weights")
    monkeypatch.setenv("LIKENESS_LAP", str(tmp_path))
    after = current_stamp()
    assert after.code == before.code and after.models != before.models
    assert (ASSETS / "template.safetensors").is_file()
    assert msgspec.json.decode(msgspec.json.encode(after), type=Stamp) == after


def test_the_stamp_is_of_the_packages_that_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that pyproject.toml wants, but those that carry messages and files; where torch was built for is not said."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {requirement.split("==")[0] for requirement in project["dependencies"]}
    before = current_stamp()
    assert {package.split()[0] for package in before.packages} == wanted - {
        "msgspec",
        "pygltflib",
        "pyzmq",
        "rich",
        "safetensors",
        "tomli-w",
    }
    versions = {package.split()[0]: package.split()[1] for package in before.packages}

    def installed_elsewhere(**changed: str | None) -> Stamp:
        def version(name: str) -> str:
            found = changed.get(name, versions[name])
            if found is None:
                raise metadata.PackageNotFoundError(name)
            return found

        monkeypatch.setattr(metadata, "version", version)
        return current_stamp()

    assert installed_elsewhere(torch=f"{versions['torch']}+cu130") == before
    for package in versions:
        for other in ("99.0", None):
            after = installed_elsewhere(**{package: other})
            assert (after.code, after.models) == (before.code, before.models) and after != before
