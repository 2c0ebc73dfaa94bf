"""What the artist asked for when a reconstruction was begun."""

from __future__ import annotations

from dataclasses import dataclass

from .client.submissions import PhotoCorrections, PhotoFile
from .protocol.names import AUTO_HAIR_STYLE, EVEN_AVERAGE, NO_SYMMETRY
from .scene.place import Place


@dataclass(frozen=True)
class Job:
    """What the artist asked for.

    Attributes
    ----------
    place : the scene whose list the photos come from and which gets the head, and what was shown of it.
    photos : what is sent, old and new. given : the list's paths with the labels they were sent under.
    name : the person's, for a new head; may be empty.
    hair : ``curves``, ``cards`` or ``none``. hair_style : ``auto``, or the name of a hairstyle.
    bust : whether neck and shoulders come along.
    face_model : ``linear`` or ``graph``.
    armature : whether the head gets bones.
    frame : whether views turn to a new head. material_preview : whether those in Solid go to Material Preview then.
    symmetry, average : what the sliders say, from 0 to 1.
    corrections : what the artist says of photos, by their labels.
    geometry_only : whether only shapes, keys and cameras of ``into`` are solved again.
    into : id of the head to solve again, None for a new one. missing : how many of its photos' files are gone.
    """

    place: Place
    photos: tuple[PhotoFile, ...]
    given: tuple[tuple[str, str], ...]
    quality: str
    texture_size: int
    hair: str = "curves"
    hair_style: str = AUTO_HAIR_STYLE
    bust: bool = False
    face_model: str = "linear"
    into: str | None = None
    missing: int = 0
    frame: bool = True
    material_preview: bool = False
    pack_photos: bool = True
    armature: bool = False
    name: str = ""
    corrections: tuple[PhotoCorrections, ...] = ()
    geometry_only: bool = False
    symmetry: float = NO_SYMMETRY
    average: float = EVEN_AVERAGE
