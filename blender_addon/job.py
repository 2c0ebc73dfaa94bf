"""Settings of a reconstruction as it was started."""

from __future__ import annotations

from dataclasses import dataclass, field

from .client.submissions import PhotoCorrections, PhotoFile
from .scene.tags import Place
from .shared.options import HeadOptions


@dataclass(frozen=True)
class Job:
    """Settings of a reconstruction.

    Attributes
    ----------
    place : the scene whose photo list is used and which gets the head, and what was shown of it.
    photos : photos to send, old and new.
    given : (path as listed, label it was sent under) of the list.
    name : the person's, for a new head; may be empty.
    options : of the head; its look is a photo's label.
    armature : whether the head gets bones.
    frame : whether views turn to a new head.
    material_preview : whether views in Solid then switch to Material Preview.
    corrections : the artist's corrections of photos, by label.
    only : what alone of ``into`` is made anew: one of ``ONLY``.
    head : token of the job that solved ``into`` last; of this head the backend makes hair or texture alone.
    into : id of the head to solve again, None for a new one.
    missing : number of its photos whose files are gone.
    """

    place: Place
    photos: tuple[PhotoFile, ...]
    given: tuple[tuple[str, str], ...]
    options: HeadOptions = field(default_factory=HeadOptions)
    into: str | None = None
    missing: int = 0
    frame: bool = True
    material_preview: bool = False
    pack_photos: bool = True
    armature: bool = False
    name: str = ""
    corrections: tuple[PhotoCorrections, ...] = ()
    only: str = ""
    head: str = ""
