"""The photos given by a command's arguments."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from backend.errors import LikenessError
from backend.photos.collection import FORMATS_ADVICE, PhotoSource
from protocol.photo_folder import FILM_SENTENCE, OWN_SENTENCE, RAW_SENTENCE, PhotoFolder, natural_key, photo_folder

_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def find_photos(paths: Iterable[Path]) -> list[tuple[str, Path]]:
    """(name, path) of each photo, in the given order, folders sorted by file name (2 before 10), each file once.

    Names are unique text: the file's name, with as many of its folders as needed to distinguish two files.
    A path that does not exist is kept, so that the verdict on it can report it.

    Raises
    ------
    LikenessError : code "no_photo" when a folder holds no photo.
    """
    photos: dict[Path, Path] = {}  # resolved -> as given
    for path in paths:
        for photo in _photos_in(path) if os.path.isdir(path) else [path]:
            photos.setdefault(Path(os.path.realpath(photo)), photo)  # unlike Path.resolve, accepts any path
    return list(zip(_unique_names(list(photos)), photos.values(), strict=True))


def left_out_files(paths: Iterable[Path]) -> list[tuple[str, Path, str]]:
    """(name, path, sentence) of the files in the given folders that are left out without being read: raw files, films,
    and pictures that Likeness made, all of a folder in one line. Raises ``LikenessError`` as ``find_photos``."""
    left_out = []
    for path in paths:
        if os.path.isdir(path):
            inside = _listed(path)
            left_out += [(readable(raw.name), raw, RAW_SENTENCE) for raw in inside.raw]
            left_out += [(readable(film.name), film, FILM_SENTENCE) for film in inside.films]
            if inside.own:
                more = f" and {len(inside.own) - 1} more" if len(inside.own) > 1 else ""
                left_out.append((readable(inside.own[0].name) + more, inside.own[0], OWN_SENTENCE))
    return left_out


def as_sources(photos: Iterable[tuple[str, Path]], given: Iterable[Path]) -> list[PhotoSource]:
    """The photos (name, path) of the ``given`` paths, and the files there that are left out."""
    found = [PhotoSource(name, path=path) for name, path in photos]
    return found + [PhotoSource(name, path=path, left_out=why) for name, path, why in left_out_files(given)]


def in_name_order(photos: Iterable[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """The photos (name, path) by folder and name, numbers as numbers: the frames of a take."""
    return sorted(photos, key=lambda photo: (str(photo[1].parent), natural_key(photo[1].name)))


def readable(text: str) -> str:
    """A file's name, or text with one, as one printable line: bytes that are not UTF-8 become ``\\udce9``.

    So do control characters, line breaks, and marks that change the direction of text.
    """
    visible = "".join(char.encode("unicode_escape").decode() if _CONTROL.match(char) else char for char in text)
    return visible.encode("utf-8", "backslashreplace").decode("utf-8")


def check_there_are(photos: Sequence[tuple[str, Path]]) -> None:
    """Fail early where none of the (name, path) exists.

    Raises ``LikenessError`` with code "no_photo".
    """
    if not any(os.path.exists(path) for _, path in photos):
        listed = " ".join(f"{name}: There is no such file; check the path." for name, _ in photos[:5])
        raise LikenessError("no_photo", f"No photo could be read. {listed}", FORMATS_ADVICE)


def _photos_in(folder: Path) -> list[Path]:
    inside = _listed(folder)
    if not inside.photos:
        listed = [f"{len(inside.raw)} raw file{'s' * (len(inside.raw) > 1)}"] * bool(inside.raw)
        listed += [f"{len(inside.own)} picture{'s' * (len(inside.own) > 1)} that Likeness made"] * bool(inside.own)
        but = f", only {' and '.join(listed)}" if listed else ""
        raise LikenessError("no_photo", f"The folder {folder} holds no photo{but}.", FORMATS_ADVICE)
    return list(inside.photos)


def _listed(folder: Path) -> PhotoFolder:
    try:
        return photo_folder(folder)
    except OSError as error:
        advice = "Check its permissions."
        raise LikenessError("no_photo", f"The folder {folder} cannot be read: {error.strerror}.", advice) from error


def _unique_names(paths: list[Path]) -> list[str]:
    depth = 1
    parts = [[readable(part) for part in path.parts] for path in paths]
    names = [of_path[-1] for of_path in parts]
    while len(set(names)) < len(names) and depth < max(map(len, parts)):
        depth += 1
        count = Counter(names)
        names = [
            "/".join(of_path[-depth:]) if count[name] > 1 else name for of_path, name in zip(parts, names, strict=True)
        ]
    return names
