"""Give a copy of a head its own id and data: Blender's copies of scenes and collections keep the original's id."""

from __future__ import annotations

import uuid

import bpy

from ..errors import AddonError
from . import tags
from .skin_detail import relief_nodes


def check_editable(collection: bpy.types.Collection) -> None:
    """Raise ``AddonError`` ``linked`` for a head from another file, even if library overrides make it editable."""
    own = [
        obj for obj in tags.objects_of(collection) if (tags.PART in obj or tags.PHOTO in obj) and obj.data is not None
    ]
    if any(item.library is not None for item in (collection, *own, *(obj.data for obj in own))):
        raise AddonError(
            f"The head {collection.name} is linked from another file.",
            "Open that file and do it there.",
            "linked",
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
