"""Which mesh the artist means: a head's own, or a copy of it (Shift+D) that lies in the same collection."""

from __future__ import annotations

import bpy

from ..protocol.names import ARKIT_NAMES
from . import tags


def head_mesh(obj: bpy.types.Object | None) -> bpy.types.Object | None:
    """The head mesh that a head's object is or hangs on, be it a copy; None for objects of no head."""
    if obj is None or tags.HEAD_ID not in obj:
        return None
    while obj is not None and not (obj.type == "MESH" and obj.get(tags.PART) == "head"):
        obj = obj.parent
    return obj


def key_mesh(obj: bpy.types.Object) -> bpy.types.Object:
    """Whose keys are meant where ``obj`` is selected: an eye's or the teeth's follow those of the head they hang on."""
    of_head = head_mesh(obj) if tags.PART in obj else None
    return of_head or obj


def active_mesh(context: bpy.types.Context, collection: bpy.types.Collection) -> bpy.types.Object | None:
    """The mesh of a head that is active or selected, be it a copy; else its own, None when that was deleted."""
    for obj in (context.active_object, *context.selected_objects):
        mesh = head_mesh(obj)
        if mesh is not None and mesh.get(tags.HEAD_ID) == collection[tags.HEAD_ID]:
            return mesh
    return tags.part_object(collection, "head")


def copy_words(mesh: bpy.types.Object | None, collection: bpy.types.Collection) -> str:
    """What solving again does where ``mesh`` is a copy with a shape of its own; else ""."""
    own = tags.part_object(collection, "head")
    if mesh is None or own is None or mesh.data == own.data:
        return ""
    return f"{mesh.name} is a copy and keeps its shape: solving again changes {own.name}."


def part_on(collection: bpy.types.Collection, mesh: bpy.types.Object, part: str) -> bpy.types.Object | None:
    """The part that hangs on ``mesh``, else the head's own, None when both were deleted."""
    parts = [obj for obj in tags.objects_of(collection) if obj.type == "MESH" and obj.get(tags.PART) == part]
    return next((obj for obj in parts if head_mesh(obj) == mesh), None) or tags.part_object(collection, part)


def cameras_by_photo(
    collection: bpy.types.Collection, mesh: bpy.types.Object | None = None
) -> dict[str, bpy.types.Object]:
    """Photo -> camera to look through at ``mesh``: one that hangs on it, else the head's own; None is the head."""
    own = tags.part_object(collection, "head")
    mesh = mesh or own
    found: dict[str, bpy.types.Object] = {}
    for camera in tags.camera_objects(collection):
        hangs_on, photo = head_mesh(camera), str(camera[tags.PHOTO])
        if hangs_on == mesh and (photo not in found or head_mesh(found[photo]) != mesh):
            found[photo] = camera
        elif hangs_on in (None, own):
            found.setdefault(photo, camera)
    return found


def expressive_meshes(context: bpy.types.Context) -> list[bpy.types.Object]:
    """The active and the selected meshes with the 52 keys, each mesh data once; without any, the active head's."""
    chosen = [key_mesh(obj) for obj in (context.active_object, *context.selected_objects) if obj is not None]
    meant = {obj.data.name_full: obj for obj in chosen if obj.type == "MESH" and _has_all_keys(obj)}
    collection = tags.active_head(context)
    own = active_mesh(context, collection) if collection is not None and not meant else None
    return list(meant.values()) if own is None else [own]


def _has_all_keys(obj: bpy.types.Object) -> bool:
    keys = obj.data.shape_keys
    return keys is not None and set(keys.key_blocks.keys()) >= ARKIT_NAMES
