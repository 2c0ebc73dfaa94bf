"""Photos for solving a head again: those stored in the .blend, and those added by the list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bpy

from ..client.photo_files import unique_labels
from ..client.submissions import PhotoFile
from ..errors import AddonError
from . import tags
from .images import file_bytes


def missing_photos(collection: bpy.types.Collection, stored: Sequence[PhotoFile]) -> int:
    """Number of a head's photos that are not in ``stored`` because their external files are gone."""
    present = {photo.label for photo in stored}
    groups = [group for group in collection.get(tags.PHOTOS, ()) if group.get("image") is not None]
    return sum(str(group["name"]) not in present for group in groups)


def stored_photos(collection: bpy.types.Collection) -> tuple[PhotoFile, ...]:
    """The photos that were given for a head, used or not, from the .blend, without missing ones."""
    found = []
    for group in collection.get(tags.PHOTOS, ()):
        image = group.get("image")
        data = None if image is None else file_bytes(image)
        if data:
            found.append(PhotoFile(str(group["name"]), None, data))
    return tuple(found)


def list_words(collection: bpy.types.Collection, scene: bpy.types.Scene) -> str:
    """A warning if the scene's list has photos that another head was solved from, as they would be sent; else ""."""
    others = [photo.head for photo in scene.likeness.photos if photo.head not in ("", collection[tags.HEAD_ID])]
    if not others:
        return ""
    other = tags.collection_of_id(others[0], scene)
    whose = "another head" if other is None or len(set(others)) > 1 else other.name
    name = collection.name
    return f"Photos of {whose} are in the list ({len(others)}): take them out first if they do not show {name}."


def photos_to_send(
    collection: bpy.types.Collection, scene: bpy.types.Scene
) -> tuple[tuple[PhotoFile, ...], tuple[tuple[str, str], ...]]:
    """The photos to send to solve a head again, and (path as listed, label) of the scene's list for the statuses.

    A listed file that the head already has, byte for byte, is not sent twice.

    Raises ``AddonError`` ``no_photo`` if neither the head nor the list has a photo.
    """
    stored = stored_photos(collection)
    name_of = {photo.data: photo.label for photo in stored}
    added: list[tuple[str, str, Path]] = []
    given: list[tuple[str, str]] = []
    for entry in scene.likeness.photos:
        path = Path(bpy.path.abspath(entry.path))
        try:
            known = name_of.get(path.read_bytes())
        except OSError:
            known = None  # sending it will report what is wrong
        if known is None:
            added.append((entry.path, entry.name, path))
        else:
            given.append((entry.path, known))
    labels = unique_labels([photo.label for photo in stored] + [name for _, name, _ in added])[len(stored) :]
    given += [(listed, label) for (listed, _, _), label in zip(added, labels, strict=True)]
    photos = stored + tuple(PhotoFile(label, path) for label, (_, _, path) in zip(labels, added, strict=True))
    if not photos:
        raise AddonError(
            "The photos of this head are not in the file any more.", "Add them to the list again.", "no_photo"
        )
    return photos, tuple(given)
