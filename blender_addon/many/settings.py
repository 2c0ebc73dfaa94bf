"""The table of people, stored per scene."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from .folders import file_of, people_in

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
    found = people_in(folder)
    many = scene.likeness_many
    many.people.clear()
    many.active = 0
    for person in found:
        row = many.people.add()
        row.name, row.folder, row.photos = person.name, str(person.folder), len(person.photos)
        row.first = str(person.photos[0])
        if file_of(person).is_file():
            row.state, row.sentence = "DONE", f"{file_of(person).name} is there already."
    return len(found)


CLASSES = (LikenessPerson, LikenessMany)
