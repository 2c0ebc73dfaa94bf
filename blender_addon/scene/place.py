"""Where a head is placed, the scene's units per metre, and removal of a head."""

from __future__ import annotations

from dataclasses import dataclass

import bpy

from . import tags


@dataclass(frozen=True)
class Place:
    """Where a head is placed.

    Attributes
    ----------
    scene_uid : ``session_uid`` of the scene. It survives renaming and undo; a copy of the scene gets its own.
    view_layer, layer_number : name and index of the scene's view layer in which the head becomes the active object.
    at_cursor : whether a new head's origin goes to the scene's 3D cursor at its arrival; else it stands beside the
        existing objects.
    """

    scene_uid: int
    view_layer: str
    layer_number: int
    at_cursor: bool = False

    @classmethod
    def shown(cls, context: bpy.types.Context, at_cursor: bool = False) -> Place:
        """The scene and view layer of the context's window."""
        layer = context.view_layer.name
        return cls(context.scene.session_uid, layer, context.scene.view_layers.find(layer), at_cursor)

    def scene(self) -> bpy.types.Scene | None:
        """The scene, None if it was deleted."""
        return next((scene for scene in bpy.data.scenes if scene.session_uid == self.scene_uid), None)


def units_per_metre(scene: bpy.types.Scene | None) -> float:
    """Scale that gives a head its real size in scenes whose unit is not the metre, as in Blender's own importers."""
    units = None if scene is None else scene.unit_settings
    return 1.0 if units is None or units.system == "NONE" else 1.0 / units.scale_length


def remove_part(collection: bpy.types.Collection, part: str) -> None:
    """Remove one object of a head, and its mesh if it has no other users; no effect if missing."""
    obj = tags.part_object(collection, part)
    if obj is not None:
        mesh = obj.data
        bpy.data.objects.remove(obj)
        if mesh.users == 0:
            bpy.data.meshes.remove(mesh)


def remove_head(head_id: str) -> None:
    """Remove all data of the head ``head_id`` from the file."""
    owned = [
        item
        for items in (bpy.data.objects, bpy.data.collections, bpy.data.materials, bpy.data.images)
        for item in items
        if item.get(tags.HEAD_ID) == head_id or item.get(tags.CAMERAS) == head_id
    ]
    owned += [item.data for item in owned if isinstance(item, bpy.types.Object) and item.data is not None]
    bpy.data.batch_remove(owned)


def select_alone(obj: bpy.types.Object, layer: bpy.types.ViewLayer) -> None:
    """Select only ``obj`` in a view layer and make it active; no effect if the layer excludes it."""
    try:
        obj.select_set(True, view_layer=layer)
    except RuntimeError:
        return
    layer.objects.active = obj
    for other in list(layer.objects.selected):
        if other != obj:
            other.select_set(False, view_layer=layer)
