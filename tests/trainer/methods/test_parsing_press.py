"""Decisions on press photos: what counts as wrong, and the list that somebody looked at."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from pathlib import Path

import pytest

from backend.errors import EXIT_CODES
from trainer.__main__ import main
from trainer.methods.parsing import evaluate as parsing_press
from trainer.methods.parsing.evaluate import KINDS, PressPhoto, count_wrong, press_figures, read_press_photos
from trainer.portraits.collection import sheet_photographs


def test_missed_and_invented_are_counted_where_it_is_known() -> None:
    truths = [
        {"glasses": True, "beard": False},
        {"glasses": False, "beard": None},
        {"glasses": True, "beard": True},
        {"glasses": False, "beard": False},
    ]
    found = [
        {"glasses": False, "beard": True},
        {"glasses": True, "beard": True},
        {"glasses": True},
        {"glasses": False, "beard": False},
    ]
    assert count_wrong(truths, found) == {
        "glasses.worn": 2,
        "glasses.bare": 2,
        "glasses.missed": 1,
        "glasses.invented": 1,
        "beard.bare": 2,
        "beard.missed": 0,
        "beard.invented": 1,
    }


def test_the_list_names_each_photo_once_and_nobody_of_the_sheet() -> None:
    photos = read_press_photos()
    assert len({photo.path for photo in photos}) == len(photos) >= 800
    judged = {Path(path).parent.name for path in sheet_photographs() if "lfw" in path}
    assert judged and not judged & {photo.person for photo in photos}
    people = [photo.person for photo in photos]
    changes = sum(one != other for one, other in itertools.pairwise(people))
    assert changes + 1 == len(set(people)), "photos of one person lie in a row"
    worn = Counter(kind for photo in photos for kind in KINDS if photo.worn[kind])
    assert min(worn[kind] for kind in KINDS) > 20


@pytest.mark.photos
def test_real_photographs_are_looked_at_alone_and_with_votes(photo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = sorted((photo_dir / "people" / "emotions_a").glob("*"))[1:3]  # on the first, hands are on the head
    bare = dict.fromkeys(KINDS, False)
    listed = tuple(PressPhoto(str(photo.relative_to(photo_dir)), bare) for photo in photos)
    monkeypatch.setattr(parsing_press, "read_press_photos", lambda: listed)
    figures = press_figures(photo_dir)
    for kind in KINDS:
        assert figures[f"press.{kind}.bare"] == 2 and figures[f"press.{kind}.invented"] == 0
    assert figures["press.together.beard.bare"] == 2


def test_a_list_is_read(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("photo,glasses,moustache,beard,headwear\nset/Somebody/1.jpg,1,0,9,0\n", encoding="utf-8")
    (photo,) = read_press_photos(file)
    assert photo.person == "Somebody"
    assert photo.worn == {"glasses": True, "moustache": False, "beard": None, "headwear": False}


@pytest.mark.parametrize("option", ["--press", "--portraits"])
def test_a_missing_photograph_is_one_sentence(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["trainer", "evaluate", "parsing", "--people", "0", option, str(tmp_path)])
    assert main() == EXIT_CODES["no_photo"]
    told = capsys.readouterr().err
    assert str(tmp_path) in told and "no such file" in told and "Traceback" not in told
