"""Note in a waiting head's file: when it was made, and its job without the scene."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..client.photo_files import unique_labels
from ..client.submissions import PhotoFile
from ..job import Job
from ..protocol.buffers import checked_field, malformed
from ..scene.place import Place


@dataclass(frozen=True)
class HeadNote:
    """Note of a waiting head.

    Attributes
    ----------
    kept_at : seconds since 1970.
    seconds : from the click to the result.
    fields : of the ``Job``, all but its place; a photo has its path, or its bytes are among the file's buffers.
    """

    kept_at: float
    seconds: float
    fields: Mapping[str, Any]

    @property
    def into(self) -> str | None:
        """Id of the head to solve again, None for a new one."""
        return self.fields["into"]

    @property
    def embedded(self) -> int:
        """Number of photos whose bytes are in the file."""
        return sum(photo.path is None for photo in self.fields["photos"])

    @property
    def words(self) -> str:
        """The person's name, and since when the head waits."""
        first, *others = (photo.label for photo in self.fields["photos"])
        (first,) = unique_labels([first])  # as written; or from an edited file, so sanitised for display
        rest = "" if not others else f" and {len(others)} more photo{'' if len(others) == 1 else 's'}"
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.kept_at))
        return f"A head from {first}{rest} is ready, since {since}"

    def job(self, place: Place, embedded: list[bytes]) -> Job:
        """The job with a scene of this Blender and the photo bytes from the file."""
        contents = iter(embedded)
        photos = [p if p.path else replace(p, data=next(contents)) for p in self.fields["photos"]]
        return Job(place=place, **{**self.fields, "photos": tuple(photos)})


def note_of(job: Job, seconds: float) -> tuple[dict[str, Any], list[bytes]]:
    """A note, JSON-ready, and the bytes of photos without a file."""
    note = {
        "kept_at": time.time(),
        "seconds": float(seconds),
        "photos": [{"label": p.label, "path": None if p.path is None else str(p.path)} for p in job.photos],
        "given": [list(pair) for pair in job.given],
        "quality": job.quality,
        "texture_size": job.texture_size,
        "hair": job.hair,
        "face_model": job.face_model,
        "into": job.into,
        "missing": job.missing,
        "frame": job.frame,
        "material_preview": job.material_preview,
        "pack_photos": job.pack_photos,
        "armature": job.armature,
        "name": job.name,
        "geometry_only": job.geometry_only,
    }
    return note, [photo.data or b"" for photo in job.photos if photo.path is None]


def parse_note(note: Mapping[str, Any]) -> HeadNote:
    """Parse a note from JSON. Raises ``AddonError`` ``malformed`` for anything that ``note_of`` does not write."""
    given = checked_field(note, "given", list)
    if not all(isinstance(pair, list) and len(pair) == 2 and all(map(_is_text, pair)) for pair in given):
        raise malformed("the list of photos is not one")
    photos = tuple(map(_photo, checked_field(note, "photos", list)))
    if not photos:
        raise malformed("there are no photos")
    fields = {
        "photos": photos,
        "given": tuple((path, label) for path, label in given),
        "quality": checked_field(note, "quality", str),
        "texture_size": checked_field(note, "texture_size", int),
        "hair": "curves" if note.get("hair") is None else checked_field(note, "hair", str),
        "face_model": "linear" if note.get("face_model") is None else checked_field(note, "face_model", str),
        "into": None if note.get("into") is None else checked_field(note, "into", str),
        "missing": checked_field(note, "missing", int),
        "frame": _truth(note, "frame"),
        "material_preview": _truth(note, "material_preview") if "material_preview" in note else False,
        "pack_photos": _truth(note, "pack_photos"),
        "armature": _truth(note, "armature") if "armature" in note else False,
        "geometry_only": _truth(note, "geometry_only") if "geometry_only" in note else False,
        "name": "" if note.get("name") is None else checked_field(note, "name", str),
    }
    try:
        kept_at = checked_field(note, "kept_at", float)
        time.localtime(kept_at)
    except (ValueError, OverflowError, OSError) as error:
        raise malformed("its time is none") from error
    return HeadNote(kept_at, checked_field(note, "seconds", float), fields)


def _photo(entry: Any) -> PhotoFile:
    label = checked_field(entry, "label", str)
    return PhotoFile(label, None if entry.get("path") is None else Path(checked_field(entry, "path", str)))


def _truth(note: Mapping[str, Any], name: str) -> bool:
    if not isinstance(note.get(name), bool):
        raise malformed(f"{name} is neither true nor false")
    return note[name]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
