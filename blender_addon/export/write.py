"""One head into one file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import bpy

from ..errors import AddonError
from ..scene import tags
from .copies import ONE_MESH_PARTS, export_parts, joined, neutral_copy
from .key_animation import key_in, may_move, sampled
from .presets import ExportPreset

_ADDONS = {"fbx": "FBX format", "gltf": "glTF 2.0 format"}


def export_head(context: bpy.types.Context, collection: bpy.types.Collection, preset: ExportPreset, path: Path) -> None:
    """Write a head as ``preset`` wants it. The scene is as it was afterwards.

    Raises
    ------
    AddonError : one sentence, where the head has no mesh any more, the exporter is switched off, or it failed.
    """
    parts = export_parts(collection)
    if preset.one_mesh:
        parts = [obj for obj in parts if obj[tags.PART] in ONE_MESH_PARTS]
    if not parts or parts[0].get(tags.PART) != "head":
        raise AddonError("The head's mesh was deleted.", "Solve it again, then export.", "head_gone")
    exporter = getattr(bpy.ops.export_scene, preset.exporter)
    try:
        known = set(exporter.get_rna_type().properties.keys())
    except (KeyError, RuntimeError) as error:
        raise AddonError(
            f"Blender's exporter for {_ADDONS[preset.exporter]} is switched off.",
            "Switch it on in the preferences, under Add-ons.",
            "exporter",
        ) from error
    name = tags.name_of(collection) or collection.name
    layer = context.view_layer
    selected, active = list(context.selected_objects), layer.objects.active
    animation = sampled(context.scene, parts) if may_move(parts) else {}
    copies: list[bpy.types.Object] = []
    try:
        for part in parts:
            copies.append(neutral_copy(part, f"{name}_{part[tags.PART]}", preset.subdivision, preset.units))
        courses = [animation.get(part.name, {}) for part in parts]
        if preset.one_mesh:
            copies, courses = [joined(copies, f"{name}_head")], courses[:1]
        root = bpy.data.objects.new(name, None)
        copies.append(root)
        for obj in copies:
            context.scene.collection.objects.link(obj)
        for obj, curves in zip(copies, courses, strict=False):
            matrix = obj.matrix_world.copy()
            obj.parent, obj.matrix_world = root, matrix
            key_in(obj, curves, context.scene.frame_start)
        for obj in selected:
            obj.select_set(False)
        for obj in copies:
            obj.select_set(True)
        layer.objects.active = copies[0]
        wanted = dict(preset.settings)
        wanted["bake_anim" if preset.exporter == "fbx" else "export_animations"] = any(animation.values())
        try:
            exporter(filepath=str(path), **{key: value for key, value in wanted.items() if key in known})
        except (RuntimeError, OSError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise AddonError(f"The file could not be written: {reason}", "Choose another folder.", "disk") from error
    finally:
        _remove(copies)
        for obj in selected:
            with suppress(RuntimeError, ReferenceError):
                obj.select_set(True)
        layer.objects.active = active


def _remove(copies: list[bpy.types.Object]) -> None:
    """The copies, their meshes and the actions on their keys."""
    for obj in copies:
        mesh = obj.data
        keys = mesh.shape_keys if mesh is not None else None
        action = keys.animation_data.action if keys is not None and keys.animation_data else None
        bpy.data.objects.remove(obj)
        if mesh is not None:
            bpy.data.meshes.remove(mesh)
        if action is not None:
            bpy.data.actions.remove(action)
