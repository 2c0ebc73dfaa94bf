"""Resolve which head mesh the artist means: the head's own, or a copy (Shift+D) in the same collection."""

from __future__ import annotations

import bpy

from ..protocol.names import ARKIT_NAMES
from . import tags


def head_mesh(obj: bpy.types.Object | None) -> bpy.types.Object | None:
    """The head mesh that an object is or is parented to, possibly a copy; None for other objects."""
    if obj is None or tags.HEAD_ID not in obj:
        return None
    while obj is not None and not (obj.type == "MESH" and obj.get(tags.PART) == "head"):
        obj = obj.parent
    return obj


def key_mesh(obj: bpy.types.Object) -> bpy.types.Object:
    """The mesh whose keys ``obj`` follows: for eyes or teeth that of their parent head, else ``obj`` itself."""
    of_head = head_mesh(obj) if tags.PART in obj else None
    return of_head or obj


def active_mesh(context: bpy.types.Context, collection: bpy.types.Collection) -> bpy.types.Object | None:
    """The head's active or selected mesh, possibly a copy; else its own, None if that was deleted."""
    for obj in (context.active_object, *context.selected_objects):
        mesh = head_mesh(obj)
        if mesh is not None and mesh.get(tags.HEAD_ID) == collection[tags.HEAD_ID]:
            return mesh
    return tags.part_object(collection, "head")


def copy_words(mesh: bpy.types.Object | None, collection: bpy.types.Collection) -> str:
    """A sentence on what solving again does if ``mesh`` is a copy with its own shape; else ""."""
    own = tags.part_object(collection, "head")
    if mesh is None or own is None or mesh.data == own.data:
        return ""
    return f"{mesh.name} is a copy and keeps its shape: solving again changes {own.name}."


def part_on(collection: bpy.types.Collection, mesh: bpy.types.Object, part: str) -> bpy.types.Object | None:
    """The part parented to ``mesh``, else the head's own, None if both were deleted."""
    parts = [obj for obj in tags.objects_of(collection) if obj.type == "MESH" and obj.get(tags.PART) == part]
    return next((obj for obj in parts if head_mesh(obj) == mesh), None) or tags.part_object(collection, part)


def cameras_by_photo(
    collection: bpy.types.Collection, mesh: bpy.types.Object | None = None
) -> dict[str, bpy.types.Object]:
    """Photo -> its camera for ``mesh``: one parented to it, else the head's own. None stands for the head's own
    mesh."""
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
    """The active and the selected meshes with the 52 keys, each mesh data once; if there are none, the active
    head's."""
    chosen = [key_mesh(obj) for obj in (context.active_object, *context.selected_objects) if obj is not None]
    meant = {obj.data.name_full: obj for obj in chosen if obj.type == "MESH" and _has_all_keys(obj)}
    collection = tags.active_head(context)
    own = active_mesh(context, collection) if collection is not None and not meant else None
    return list(meant.values()) if own is None else [own]


def _has_all_keys(obj: bpy.types.Object) -> bool:
    keys = obj.data.shape_keys
    return keys is not None and set(keys.key_blocks.keys()) >= ARKIT_NAMES
