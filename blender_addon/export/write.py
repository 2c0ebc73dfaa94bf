"""Export one head into one file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import bpy

from ..errors import AddonError
from ..rig.places import RigPlaces
from ..scene import tags
from . import skeleton
from .copies import ONE_MESH_PARTS, export_parts, joined, neutral_copy, weighed_copy
from .key_animation import FrameAnimation, bones_may_move, key_in, may_move, sampled
from .presets import ExportPreset

_ADDONS = {"fbx": "FBX format", "gltf": "glTF 2.0 format"}


def export_head(
    context: bpy.types.Context,
    collection: bpy.types.Collection,
    preset: ExportPreset,
    path: Path,
    with_bones: bool | None = None,
) -> None:
    """Write a head as ``preset`` requires, with a skeleton or keys only (``with_bones``; None: the preset's default).
    The scene is restored afterwards.

    Raises
    ------
    AddonError : if the head has no mesh or lacks the parts that define its bones, or the exporter is disabled or fails.
    """
    parts = export_parts(collection)
    with_bones = preset.skeleton if with_bones is None else with_bones
    places = skeleton.places_of(parts) if with_bones and parts and parts[0].get(tags.PART) == "head" else None
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
    rig = tags.rig_object(collection) if with_bones else None
    moves = may_move(parts) or bones_may_move(rig)
    courses = sampled(context.scene, parts, rig) if moves else FrameAnimation()
    copies: list[bpy.types.Object] = []
    try:
        for part in parts:
            copies.append(_copy(part, f"{name}_{part[tags.PART]}", preset, places))
        keys = [courses.keys.get(part.name, {}) for part in parts]
        if preset.one_mesh:
            copies, keys = [joined(copies, f"{name}_head")], keys[:1]
        root = _root(name, parts[0], preset, places)
        copies.append(root)
        for obj in copies:
            context.scene.collection.objects.link(obj)
        first = context.scene.frame_start
        for obj, curves in zip(copies, keys, strict=False):
            if places is None:
                matrix = obj.matrix_world.copy()
                obj.parent, obj.matrix_world = root, matrix
            else:
                skeleton.bind(obj, root)
            key_in(obj, curves, first)
        moved = any(keys)
        if places is not None:
            moved |= skeleton.animate(root, courses.bones, first, preset.units)
        for obj in selected:
            obj.select_set(False)
        for obj in copies:
            obj.select_set(True)
        layer.objects.active = copies[0]
        wanted = dict(preset.settings)
        wanted["bake_anim" if preset.exporter == "fbx" else "export_animations"] = moved
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


def _copy(part: bpy.types.Object, name: str, preset: ExportPreset, places: RigPlaces | None) -> bpy.types.Object:
    """A part as exported, with weights if the file has bones."""
    if places is None:
        return neutral_copy(part, name, preset.subdivision, preset.units)
    weighed = weighed_copy(part, places)
    try:
        return neutral_copy(weighed, name, preset.subdivision, preset.units)
    finally:
        mesh = weighed.data
        bpy.data.objects.remove(weighed)
        bpy.data.meshes.remove(mesh)


def _root(name: str, head: bpy.types.Object, preset: ExportPreset, places: RigPlaces | None) -> bpy.types.Object:
    """Parent of all parts: an empty, or the skeleton."""
    return bpy.data.objects.new(name, None) if places is None else skeleton.new_skeleton(head, places, preset.units)


def _remove(copies: list[bpy.types.Object]) -> None:
    """Remove the copies, their data, and the actions of their keys and bones."""
    for obj in copies:
        data = obj.data
        keys = data.shape_keys if isinstance(data, bpy.types.Mesh) else None
        actions = [one.animation_data.action for one in (obj, keys) if one is not None and one.animation_data]
        bpy.data.objects.remove(obj)
        bpy.data.batch_remove([one for one in (data, *actions) if one is not None])
