"""Add a head's armature, update it after the head was solved again, or remove it.

Bone weights of the vertices: along the neck they fall off smoothly to its rim, which stays fixed.
"""

from collections.abc import Callable, Iterator, Mapping

import bpy
import numpy as np

from ..objects import tags
from ..objects.meshes import along_edges, array_of, neutral_coordinates, smooth
from ..shared.names import ALL_PART_NAMES, BUST, PART_NAMES
from . import bones, lead
from .bones import BONES_BY_PART, HEAD, JAW, JAW_KEYS, NECK, ROOT, TONGUE, RigPlaces, along_tongue, neck_rim, rig_places

KEYS_OFF = "jaw_by_bone"
"""Empty vertex group of the tongue that disables its jaw keys: the jaw bone moves the tongue, and both would move it
twice."""
NECK_LENGTH = 1.2
"""Distance along the skin at which the head's bone has full weight, relative to the height from neck rim to skull
joint."""
STEPS = 64
"""Weights are rounded to 1/64: 1.5 % of a rotation of 30 degrees is less than half a degree."""


def set_skin_weights(obj: bpy.types.Object, places: RigPlaces) -> None:
    """Weight the skin to root, neck and head, unless it has weights of these bones."""
    if _weighed(obj, (ROOT, NECK, HEAD)):
        return
    pivot, rim = places.bones[HEAD][0], places.bones[NECK][0]
    share = distance_from_rim(obj.data) / (NECK_LENGTH * (pivot[2] - rim[2]))
    root = 1.0 - smooth(share / 0.5)
    head = smooth((share - 0.3) / 0.7)
    _give(obj, {ROOT: root, NECK: np.clip(1.0 - root - head, 0.0, 1.0), HEAD: head})


def set_tongue_weights(obj: bpy.types.Object) -> None:
    """Weight the tongue: root to the jaw, middle and tip to its own bones; disable its jaw keys."""
    if not _weighed(obj, (JAW, *TONGUE)):
        along = along_tongue(neutral_coordinates(obj.data))
        tip = smooth((along - 0.4) / 0.3)
        middle = (1.0 - tip) * smooth(along / 0.3)
        _give(obj, {JAW: 1.0 - tip - middle, TONGUE[0]: middle, TONGUE[1]: tip})
    if KEYS_OFF not in obj.vertex_groups:
        obj.vertex_groups.new(name=KEYS_OFF)
    for block in obj.data.shape_keys.key_blocks if obj.data.shape_keys else ():
        if block.name in JAW_KEYS:
            block.vertex_group = KEYS_OFF


def free_tongue(obj: bpy.types.Object) -> None:
    """Re-enable the tongue's jaw keys, for a head without armature."""
    for block in obj.data.shape_keys.key_blocks if obj.data.shape_keys else ():
        if block.vertex_group == KEYS_OFF:
            block.vertex_group = ""


def set_rigid_weights(obj: bpy.types.Object, bone: str = HEAD) -> None:
    """Weight a whole object to one bone."""
    if not _weighed(obj, (bone,)):
        _give(obj, {bone: np.ones(len(obj.data.vertices))})


def remove_groups(obj: bpy.types.Object) -> None:
    """Remove the vertex groups of our bones."""
    for name in (ROOT, NECK, HEAD, JAW, *TONGUE, KEYS_OFF):
        group = obj.vertex_groups.get(name)
        if group is not None:
            obj.vertex_groups.remove(group)


def distance_from_rim(mesh: bpy.types.Mesh) -> np.ndarray:
    """(V,) metres along the edges to the neck's rim, smoothed once over neighbours. Unconnected pieces get the distance
    of the farthest vertex."""
    points = neutral_coordinates(mesh).astype(np.float64)
    rim, ends = neck_rim(mesh), array_of(mesh.edges, "vertices", 2)
    distances = along_edges(points, ends, rim)
    distances[~np.isfinite(distances)] = distances[np.isfinite(distances)].max()
    edges_of = np.bincount(ends.ravel(), minlength=len(points))
    of_others = np.bincount(ends.ravel(), distances[ends[:, ::-1].ravel()], len(points))
    result = 0.5 * (distances + np.where(edges_of > 0, of_others / np.maximum(edges_of, 1), distances))
    result[rim] = 0.0
    return result


def _weighed(obj: bpy.types.Object, names: tuple[str, ...]) -> bool:
    """Whether a vertex already has a weight in one of these groups."""
    ours = {obj.vertex_groups[name].index for name in names if name in obj.vertex_groups}
    return bool(ours) and any(group.group in ours for vertex in obj.data.vertices for group in vertex.groups)


def _give(obj: bpy.types.Object, weights: Mapping[str, np.ndarray]) -> None:
    """Write these (V,) weights, which sum to 1; they are rounded together so that they still do."""
    names = list(weights)
    levels = np.round(np.cumsum([weights[name] for name in names], axis=0) * STEPS).astype(int)
    levels[-1] = STEPS
    steps = np.diff(levels, axis=0, prepend=0)
    for name, row in zip(names, steps, strict=True):
        group = obj.vertex_groups.get(name) or obj.vertex_groups.new(name=name)
        for level in np.unique(row[row > 0]).tolist():
            group.add(np.flatnonzero(row == level).tolist(), level / STEPS, "REPLACE")


MODIFIER_NAME = "Armature"


def rig_steps(collection: Callable[[], bpy.types.Collection]) -> Iterator[Callable[[], object]]:
    """Slices that add a head's armature or update it to the head's new shape. Each slice looks its data up again:
    ``collection`` returns the head's collection. A head that lacks a part, or a key of jaw or eyes, gets no
    armature."""
    yield lambda: put_armature(collection())
    for part in ALL_PART_NAMES:
        yield lambda part=part: bind_part(collection(), part)
    yield lambda: link_keys(collection())


def put_rig(collection: bpy.types.Collection) -> bpy.types.Object | None:
    """Run ``rig_steps`` at once; return the armature object, None for a head that cannot have one."""
    for step in rig_steps(lambda: collection):
        step()
    return tags.rig_object(collection)


def put_armature(collection: bpy.types.Collection) -> None:
    """Create or update the armature object with its bones."""
    objects = {name: tags.part_object(collection, name) for name in PART_NAMES}
    places = rig_places({name: obj for name, obj in objects.items() if obj is not None})
    if places is None:
        return
    rig = tags.rig_object(collection)
    if rig is None:
        rig = bones.new_armature()
        rig[tags.HEAD_ID], rig[tags.RIG] = collection[tags.HEAD_ID], True
        rig.parent = objects["head"]
        bones.place_bones(rig, places)
        collection.objects.link(rig)
    else:
        bones.place_bones(rig, places)
    bones.set_up_pose(rig, places)
    lead.remember(rig, places)


def bind_part(collection: bpy.types.Collection, part: str) -> None:
    """Set weights and armature modifier of one part."""
    rig, obj = tags.rig_object(collection), tags.part_object(collection, part)
    if rig is None or obj is None:
        return
    if part == "head":
        objects = {name: tags.part_object(collection, name) for name in PART_NAMES}
        set_skin_weights(obj, rig_places(objects))
    elif part == "tongue":
        set_tongue_weights(obj)
    elif part == BUST:
        set_rigid_weights(obj, ROOT)
    else:
        set_rigid_weights(obj)
    _bend(obj, rig)


def link_keys(collection: bpy.types.Collection) -> None:
    """Set the drivers between keys and bones, keeping who leads; initially the keys lead."""
    rig, head = tags.rig_object(collection), tags.part_object(collection, "head")
    if rig is None or head is None or head.data.shape_keys is None:
        return
    for what in BONES_BY_PART:
        lead.set_lead(head, rig, what, lead.bones_drive_keys(head, rig, what))


def remove_rig(collection: bpy.types.Collection) -> None:
    """Remove a head's armature; keys keep their values and drive all parts directly again."""
    rig, head = tags.rig_object(collection), tags.part_object(collection, "head")
    if rig is None:
        return
    if head is not None:
        lead.unlink(head, rig)
    for obj in tags.objects_of(collection):
        if obj.type != "MESH":
            continue
        for modifier in [m for m in obj.modifiers if m.type == "ARMATURE" and m.object == rig]:
            obj.modifiers.remove(modifier)
        free_tongue(obj)
        remove_groups(obj)
    tags.remove_object(rig)


def _bend(obj: bpy.types.Object, rig: bpy.types.Object) -> None:
    """Add the armature modifier before all others, so that the skin is subdivided after bending."""
    modifier = next((m for m in obj.modifiers if m.type == "ARMATURE" and m.object in (rig, None)), None)
    if modifier is None:
        modifier = obj.modifiers.new(MODIFIER_NAME, "ARMATURE")
        obj.modifiers.move(len(obj.modifiers) - 1, 0)
        modifier.use_deform_preserve_volume = True
    modifier.object = rig
