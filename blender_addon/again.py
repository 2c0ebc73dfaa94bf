"""*Add photos and solve again*: the photos that a head carries, and those of the list that are new to it."""

from __future__ import annotations

from pathlib import Path

import bpy

from .client.connection import PhotoFile
from .client.photo_files import unique_labels
from .errors import AddonError
from .scene import tags
from .scene.images import file_bytes


def photos_to_solve(
    collection: bpy.types.Collection, scene: bpy.types.Scene
) -> tuple[tuple[PhotoFile, ...], tuple[tuple[str, str], ...]]:
    """The head's stored photos, then the list's new ones; and (path as listed, label) of all that are in the list.

    A listed file of a stored photo's name and size is that photo.

    Raises ``AddonError`` ``no_photo`` where the head carries no photos and the list is empty.
    """
    stored: list[PhotoFile] = []
    for group in collection.get(tags.PHOTOS, ()):
        image = group.get("image")
        data = file_bytes(image) if image is not None else None
        if data:
            stored.append(PhotoFile(str(group["name"]), data=data))
    sizes = {photo.label: len(photo.data or b"") for photo in stored}
    new: list[tuple[str, Path]] = []
    given: list[tuple[str, str]] = []
    for photo in scene.likeness.photos:
        path = Path(bpy.path.abspath(photo.path))
        if photo.name in sizes and path.is_file() and path.stat().st_size == sizes[photo.name]:
            given.append((photo.path, photo.name))
        else:
            new.append((photo.path, path))
    labels = unique_labels([*sizes, *(path.name for _, path in new)])[len(sizes) :]
    given += [(listed, label) for (listed, _), label in zip(new, labels, strict=True)]
    files = [PhotoFile(label, path) for (_, path), label in zip(new, labels, strict=True)]
    if not stored and not files:
        raise AddonError(
            "The head carries no photos, and the list is empty.", "Add photos of the same person.", "no_photo"
        )
    return (*stored, *files), tuple(given)
