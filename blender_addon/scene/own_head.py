"""The solved head in the scene: ids of copies, photos for solving again, its neutral mesh, and what the artist
changed.
"""

import uuid
from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np

from ..client.submissions import PhotoFile, unique_labels
from ..errors import AddonError
from ..objects import tags
from ..objects.meshes import hm08_order, neutral_coordinates, origin_of, to_head
from ..shared.names import PART_NAMES
from .materials import file_bytes, relief_nodes


def check_editable(collection: bpy.types.Collection) -> None:
    """Raise ``AddonError`` ``linked`` for a head from another file, even if library overrides make it editable."""
    own = [
        obj for obj in tags.objects_of(collection) if (tags.PART in obj or tags.PHOTO in obj) and obj.data is not None
    ]
    if any(item.library is not None for item in (collection, *own, *(obj.data for obj in own))):
        raise AddonError(
            f"The head {collection.name} is linked from another file.", "Open that file and do it there.", "linked"
        )


def own_id(collection: bpy.types.Collection) -> tuple[str, bool]:
    """Ensure that a head's id is unique; return the id and whether it is new.

    With a new id, albedo and pictures of eyes and lashes shared with copies are duplicated. Photos stay shared because
    they are not changed. Objects and meshes stay as Blender copied them. Raises ``AddonError`` ``linked``.
    """
    check_editable(collection)
    before = str(collection[tags.HEAD_ID])
    others = [other for other in tags.head_collections() if other != collection]
    if all(other[tags.HEAD_ID] != before for other in others):
        return before, False
    head_id, own = uuid.uuid4().hex, tags.objects_of(collection)
    collection[tags.HEAD_ID] = head_id
    for child in collection.children_recursive:
        if child.get(tags.CAMERAS) == before:
            child[tags.CAMERAS] = head_id
    for obj in own:
        if obj.get(tags.HEAD_ID) == before and obj.library is None:
            obj[tags.HEAD_ID] = head_id
    for tag in (tags.ALBEDO, tags.EYES, tags.LASHES):
        picture = collection.get(tag)
        if picture is not None and any(other.get(tag) == picture for other in others):
            _own_picture(collection, tag, head_id)
    return head_id, True


def _own_picture(collection: bpy.types.Collection, tag: str, head_id: str) -> None:
    """Duplicate the picture under ``tag`` and the materials that show it; not if the meshes are shared, too."""
    picture: bpy.types.Image = collection[tag]
    own = picture.copy()
    made: dict[bpy.types.Material, bpy.types.Material] = {}
    for obj in tags.objects_of(collection):
        for slot in obj.material_slots:
            shared = slot.link == "DATA" and obj.data.users > 1
            if slot.material is None or shared or not _image_nodes(slot.material, picture):
                continue
            if slot.material not in made:
                made[slot.material] = _copy_with(slot.material, picture, own, head_id)
            slot.material = made[slot.material]
    if not made:
        bpy.data.images.remove(own)
        return
    own[tags.HEAD_ID] = head_id
    collection[tag] = own


def _copy_with(
    material: bpy.types.Material, picture: bpy.types.Image, own: bpy.types.Image, head_id: str
) -> bpy.types.Material:
    copy = material.copy()
    if tags.HEAD_ID in copy:
        copy[tags.HEAD_ID] = head_id
    for node in _image_nodes(copy, picture):
        node.image = own
    for node in relief_nodes(copy):
        node.image = node.image.copy()
        node.image[tags.HEAD_ID] = head_id
    return copy


def _image_nodes(material: bpy.types.Material, image: bpy.types.Image) -> list[bpy.types.Node]:
    nodes = material.node_tree.nodes if material.node_tree is not None else ()
    return [node for node in nodes if node.type == "TEX_IMAGE" and node.image == image]


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


def neutral_head(collection: bpy.types.Collection) -> bytes:
    """``<f4`` (V, 3): rest shapes of all parts in the order of ``PART_NAMES``, head frame, metres; of crowns the
    vertices that hm08 has.

    Raises ``AddonError`` ``no_head`` if a part is missing.
    """
    shapes = []
    for part in PART_NAMES:
        obj = tags.part_object(collection, part)
        if obj is None:
            raise AddonError(
                f"The head {collection.name} has no {part} any more.",
                "Choose another head as Person, or none to solve the face from the pictures.",
                "no_head",
            )
        shape = to_head(neutral_coordinates(obj.data) + origin_of(obj.data))
        shapes.append(shape[hm08_order(obj.data)] if part.startswith("teeth") else shape)
    return np.concatenate(shapes).astype("<f4").tobytes()
