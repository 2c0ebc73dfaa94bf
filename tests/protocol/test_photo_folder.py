"""Which files of a folder are photos, in which order, and which are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_photos import encoded

from backend.command_line.photo_paths import find_photos, in_name_order, left_out_files
from backend.errors import LikenessError
from backend.exchange.all_or_none import FILE_NAMES
from backend.exchange.buffers import png_bytes
from backend.photos.collection import PhotoSource, PhotoUnreadableError
from backend.photos.reading import read_photo
from protocol.photo_folder import OWN_SENTENCE, RAW_SENTENCE, is_own_picture, natural_key, photo_folder

PICTURE = np.full((8, 8, 3), 90, np.uint8)


def test_numbers_in_names_sort_as_numbers() -> None:
    names = ["frame_10.jpg", "frame_2.jpg", "Frame_1.jpg", "b.jpg", "a02.jpg", "a1.jpg", "a2.jpg", "10.jpg", "9.jpg"]
    wanted = ["9.jpg", "10.jpg", "a1.jpg", "a02.jpg", "a2.jpg", "b.jpg", "Frame_1.jpg", "frame_2.jpg", "frame_10.jpg"]
    assert sorted(names, key=natural_key) == wanted


@given(st.lists(st.text(max_size=12), unique=True))
def test_any_names_have_one_order(names: list[str]) -> None:
    ordered = sorted(names, key=natural_key)
    assert sorted(reversed(names), key=natural_key) == ordered


def test_frames_given_one_by_one_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in range(1, 13):
        (tmp_path / f"frame_{number}.jpg").write_bytes(b"x")
    shell = sorted(tmp_path.glob("*.jpg"))  # as a shell lists them: 1, 10, 11, 12, 2
    wanted = [f"frame_{number}.jpg" for number in range(1, 13)]
    assert [name for name, _ in in_name_order(find_photos(shell))] == wanted
    assert [name for name, _ in find_photos([tmp_path])] == wanted


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a photo, a raw file, and what an earlier version wrote beside its report."""
    (tmp_path / "face.jpg").write_bytes(encoded(PICTURE))
    (tmp_path / "IMG_1.CR2").write_bytes(b"raw")
    for name in FILE_NAMES:
        (tmp_path / name).write_bytes(encoded(PICTURE))
    return tmp_path


def test_pictures_beside_a_report_and_raw_files_are_left_out(folder: Path) -> None:
    assert [name for name, _ in find_photos([folder])] == ["face.jpg"]
    told = [(name, why) for name, _, why in left_out_files([folder])]
    pictures = sum(name.endswith(".png") for name in FILE_NAMES)
    assert told == [("IMG_1.CR2", RAW_SENTENCE), (f"albedo.png and {pictures - 1} more", OWN_SENTENCE)]


def test_every_picture_of_a_reconstruction_is_recognised(folder: Path) -> None:
    assert {path.name for path in photo_folder(folder).own} == {name for name in FILE_NAMES if name.endswith(".png")}


def test_a_picture_of_ours_is_recognised_anywhere_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "portrait.PNG").write_bytes(png_bytes(PICTURE))
    (tmp_path / "other.png").write_bytes(encoded(PICTURE, "PNG"))
    (tmp_path / "albedo.png").write_bytes(encoded(PICTURE, "PNG"))  # a name alone is no proof
    inside = photo_folder(tmp_path)
    assert [path.name for path in inside.own] == ["portrait.PNG"]
    assert [path.name for path in inside.photos] == ["albedo.png", "other.png"]
    with pytest.raises(PhotoUnreadableError, match="made it from photos"):
        read_photo(PhotoSource("x", (tmp_path / "portrait.PNG").read_bytes()))
    assert not is_own_picture(tmp_path / "missing.png") and not is_own_picture(Path("a\0.png"))


def test_a_folder_of_nothing_else_says_what_is_in_it(folder: Path) -> None:
    (folder / "face.jpg").unlink()
    with pytest.raises(LikenessError, match=r"only 1 raw file and \d+ pictures that Likeness made") as caught:
        find_photos([folder])
    assert caught.value.code == "no_photo"


def test_what_is_left_out_is_told_without_being_read(tmp_path: Path) -> None:
    source = PhotoSource("IMG.CR2", path=tmp_path / "missing", left_out=RAW_SENTENCE)
    with pytest.raises(PhotoUnreadableError, match="raw file"):
        read_photo(source)
