"""The table of people, stored per scene.

Folders of people: a folder with one subfolder of photos per person.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..client.photo_files import is_text
from ..errors import AddonError
from ..shared.photo_folder import PersonFolder, people_folder, photo_folder

MOST_PEOPLE = 10_000
MOST_PHOTOS = 200
"""Per person; more are left out, in the order of their names."""


def people_in(folder: Path) -> tuple[PersonFolder, ...]:
    """The people in a folder, sorted by name; folders without photos are skipped.

    Raises ``AddonError`` ``no_photo``, one sentence, if there are none or the folder cannot be read.
    """
    try:
        found = people_folder(folder)
    except OSError as error:
        raise AddonError(f"The folder {folder} cannot be read.", "Choose another one.", "no_photo") from error
    people = [replace(one, photos=_sendable(one.photos)) for one in found if one.name.isprintable()]
    people = [one for one in people if one.photos][:MOST_PEOPLE]
    if not people:
        raise AddonError(
            f"There is no folder with photos in {folder.name or folder}.",
            "Choose a folder that has a folder of photos for each person.",
            "no_photo",
        )
    return tuple(people)


def photos_in(folder: Path) -> tuple[Path, ...]:
    """The photos directly in a folder, without raw files and Likeness's own pictures; empty if it cannot be read."""
    try:
        return _sendable(photo_folder(folder).photos)
    except OSError:
        return ()


def _sendable(photos: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(path for path in photos if is_text(str(path)))[:MOST_PHOTOS]


def file_of(person: PersonFolder | Path) -> Path:
    """The .blend file for a person's head, beside the photos."""
    folder = person.folder if isinstance(person, PersonFolder) else person
    return folder / f"{folder.name}.blend"


def library_of(folder: Path) -> Path:
    """The .blend file for all heads of a folder of people."""
    return folder / f"{folder.name or 'heads'}.blend"


STATES = (
    ("WAITING", "Waiting", "Its turn will come"),
    ("RUNNING", "Running", "Its head is being made"),
    ("DONE", "Done", "Its head is made"),
    ("FAILED", "Failed", "No head could be made; the reason is below the list"),
)


class LikenessPerson(bpy.types.PropertyGroup):
    """A row of the table. ``name`` is the name of the person's folder."""

    folder: StringProperty(name="Folder", subtype="DIR_PATH")
    first: StringProperty(name="First photo", description="Photo whose thumbnail is shown for the person")
    photos: IntProperty(name="Photos")
    state: EnumProperty(name="State", items=STATES, default="WAITING")
    sentence: StringProperty(name="Result", description="Result, or the reason of the failure")
    seconds: FloatProperty(name="Seconds")


class LikenessMany(bpy.types.PropertyGroup):
    """The table and the options of the run."""

    people: CollectionProperty(type=LikenessPerson)
    active: IntProperty(name="Active person", default=0)
    apart: BoolProperty(
        name="A File for Each",
        description="Write each head into a .blend file beside its photos instead of this scene, for more people than "
        "one scene can hold",
        default=False,
    )
    library: BoolProperty(
        name="One Library File",
        description="Write all heads as assets into one .blend file in the chosen folder, named like it, at the end of "
        "a run. Each head is also written to a .blend file beside its photos, which is not an asset",
        default=False,
    )


def list_people(scene: bpy.types.Scene, folder: Path) -> int:
    """Fill the table from a folder of folders; return the number of people. People whose file exists are marked done.

    Raises ``AddonError`` as ``people_in`` does; the table then stays as it was.
    """
    people = people_in(folder)
    many = scene.likeness_many
    many.people.clear()
    many.active = 0
    for person in people:
        row = many.people.add()
        row.name, row.folder, row.photos = person.name, str(person.folder), len(person.photos)
        row.first = str(person.photos[0])
        if file_of(person).is_file():
            row.state, row.sentence = "DONE", f"{file_of(person).name} is there already."
    return len(people)
