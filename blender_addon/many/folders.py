"""Folders of people: a folder with one subfolder of photos per person."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..client.photo_files import PHOTO_ENDINGS, is_text
from ..errors import AddonError

MOST_PEOPLE = 10_000
MOST_PHOTOS = 200
"""Per person; more are left out, in the order of their names."""


@dataclass(frozen=True)
class PersonFolder:
    """One person: the folder's name, its path, and the photos directly in it, sorted by name."""

    name: str
    folder: Path
    photos: tuple[Path, ...]


def people_in(folder: Path) -> tuple[PersonFolder, ...]:
    """The people in a folder, sorted by name; folders without photos are skipped.

    Raises ``AddonError`` ``no_photo``, one sentence, if there are none or the folder cannot be read.
    """
    try:
        inside = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise AddonError(f"The folder {folder} cannot be read.", "Choose another one.", "no_photo") from error
    people = []
    for place in inside[:MOST_PEOPLE]:
        photos = photos_in(place)
        if photos and place.name.isprintable() and is_text(str(place)):
            people.append(PersonFolder(place.name, place, photos))
    if not people:
        raise AddonError(
            f"There is no folder with photos in {folder.name or folder}.",
            "Choose a folder that has a folder of photos for each person.",
            "no_photo",
        )
    return tuple(people)


def photos_in(folder: Path) -> tuple[Path, ...]:
    """The photos directly in a folder; empty if it cannot be read."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return ()
    photos = [folder / name for name in names if name.lower().endswith(PHOTO_ENDINGS) and not name.startswith(".")]
    return tuple(path for path in photos if path.is_file() and is_text(str(path)))[:MOST_PHOTOS]


def file_of(person: PersonFolder | Path) -> Path:
    """The .blend file for a person's head, beside the photos."""
    folder = person.folder if isinstance(person, PersonFolder) else person
    return folder / f"{folder.name}.blend"


def library_of(folder: Path) -> Path:
    """The .blend file for all heads of a folder of people."""
    return folder / f"{folder.name or 'heads'}.blend"
