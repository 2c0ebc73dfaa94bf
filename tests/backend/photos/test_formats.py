"""What is said of the formats that are read: the same everywhere, and as many as there are."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.command_line.photo_paths import check_there_are, find_photos
from backend.errors import LikenessError
from backend.photos.collect import collect
from backend.photos.formats import FORMATS_TEXT, PhotoSource, PhotoUnreadableError
from backend.photos.reading import read_photo
from protocol.photo_folder import FORMAT_SUFFIXES

ROOT = Path(__file__).resolve().parents[3]
NO_PICTURE = b"not a picture"


def no_photo_in_a_folder(folder: Path) -> None:
    find_photos([folder])


def no_such_photo(folder: Path) -> None:
    check_there_are([("a.jpg", folder / "a.jpg")])


def no_photo_that_can_be_read(folder: Path) -> None:
    collect([PhotoSource("a.jpg", data=NO_PICTURE)])


def test_every_format_is_named_once_by_one_of_its_endings() -> None:
    named = re.split(r", | or ", FORMATS_TEXT)
    assert len(set(named)) == len(named)
    for name, endings in FORMAT_SUFFIXES.items():
        assert name == "MPO" or {f".{said.lower()}" for said in named} & set(endings), name


@pytest.mark.parametrize("fail", [no_photo_in_a_folder, no_such_photo, no_photo_that_can_be_read])
def test_the_advice_names_every_format(fail: Callable[[Path], None], tmp_path: Path) -> None:
    with pytest.raises(LikenessError) as caught:
        fail(tmp_path)
    assert caught.value.code == "no_photo"
    assert caught.value.advice == f"Give {FORMATS_TEXT} files."


def test_what_is_said_of_one_photo_names_every_format() -> None:
    with pytest.raises(PhotoUnreadableError, match=re.escape(FORMATS_TEXT)):
        read_photo(PhotoSource("a.jpg", data=NO_PICTURE))


@pytest.mark.parametrize("page", ["tutorial.md", "protocol.md"])
def test_the_documents_name_every_format(page: str) -> None:
    assert FORMATS_TEXT.replace(" or ", ", ") in (ROOT / "docs" / page).read_text("utf-8").replace(" and ", ", ")
