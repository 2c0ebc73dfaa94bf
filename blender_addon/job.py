"""Settings of a reconstruction as it was started."""

from __future__ import annotations

from dataclasses import dataclass

from .client.submissions import PhotoCorrections, PhotoFile
from .protocol.names import AUTO_HAIR_STYLE, EVEN_AVERAGE, NO_SYMMETRY
from .scene.tags import Place


@dataclass(frozen=True)
class Job:
    """Settings of a reconstruction.

    Attributes
    ----------
    place : the scene whose photo list is used and which gets the head, and what was shown of it.
    photos : photos to send, old and new.
    given : (path as listed, label it was sent under) of the list.
    name : the person's, for a new head; may be empty.
    hair : ``curves``, ``cards`` or ``none``.
    hair_style : ``auto``, or the name of a hairstyle.
    look : label of the photo whose hair and beard the head gets; empty: chosen.
    bust : whether to include neck and shoulders.
    face_model : ``linear`` or ``graph``.
    armature : whether the head gets bones.
    frame : whether views turn to a new head.
    material_preview : whether views in Solid then switch to Material Preview.
    symmetry, average : slider values, 0 to 1.
    corrections : the artist's corrections of photos, by label.
    geometry_only : whether to solve only shapes, keys and cameras of ``into`` again.
    into : id of the head to solve again, None for a new one.
    missing : number of its photos whose files are gone.
    """

    place: Place
    photos: tuple[PhotoFile, ...]
    given: tuple[tuple[str, str], ...]
    quality: str
    texture_size: int
    hair: str = "curves"
    hair_style: str = AUTO_HAIR_STYLE
    look: str = ""
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
