"""Add a head's armature, update it after the head was solved again, or remove it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import bpy

from ..protocol.names import ALL_PART_NAMES, BUST, PART_NAMES
from ..scene import tags
from . import bones, lead, weights
from .names import BONES_BY_PART, ROOT
from .places import rig_places

MODIFIER_NAME = "Armature"


def rig_steps(collection: Callable[[], bpy.types.Collection]) -> Iterator[Callable[[], object]]:
    """Slices that add a head's armature or update it to the head's new shape. Each slice looks its data up again:
    ``collection`` returns the head's collection. A head that lacks a part, or a key of jaw or eyes, gets no
    armature."""
    yield lambda: put_armature(collection())
    for part in ALL_PART_NAMES:
        yield lambda part=part: bind_part(collection(), part)
    yield lambda: bind_hair(collection())
    yield lambda: link_keys(collection())


def put_rig(collection: bpy.types.Collection) -> bpy.types.Object | None:
    """Run ``rig_steps`` at once; return the armature object, None for a head that cannot have one."""
    for step in rig_steps(lambda: collection):
        step()
    return tags.rig_object(collection)


def put_armature(collection: bpy.types.Collection) -> None:
    """Create or update the armature object with its bones."""
    found = {name: tags.part_object(collection, name) for name in PART_NAMES}
    places = rig_places({name: obj for name, obj in found.items() if obj is not None})
    if places is None:
        return
    rig = tags.rig_object(collection)
    if rig is None:
        rig = bones.new_armature()
        rig[tags.HEAD_ID], rig[tags.RIG] = collection[tags.HEAD_ID], True
        rig.parent = found["head"]
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
        found = {name: tags.part_object(collection, name) for name in PART_NAMES}
        weights.set_skin_weights(obj, rig_places(found))
    elif part == "tongue":
        weights.set_tongue_weights(obj)
    elif part == BUST:
        weights.set_rigid_weights(obj, ROOT)
    else:
        weights.set_rigid_weights(obj)
    _bend(obj, rig)


def bind_hair(collection: bpy.types.Collection) -> None:
    """Attach hair: cards follow the head's bone; strands follow the skin, which follows the bones."""
    rig, cards = tags.rig_object(collection), tags.hair_object(collection, "MESH")
    if rig is not None and cards is not None:
        weights.set_rigid_weights(cards)
        _bend(cards, rig)


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
        weights.free_tongue(obj)
        weights.remove_groups(obj)
    data = rig.data
    bpy.data.objects.remove(rig)
    if data.users == 0:
        bpy.data.armatures.remove(data)


def _bend(obj: bpy.types.Object, rig: bpy.types.Object) -> None:
    """Add the armature modifier before all others, so that the skin is subdivided after bending."""
    modifier = next((m for m in obj.modifiers if m.type == "ARMATURE" and m.object in (rig, None)), None)
    if modifier is None:
        modifier = obj.modifiers.new(MODIFIER_NAME, "ARMATURE")
        obj.modifiers.move(len(obj.modifiers) - 1, 0)
        modifier.use_deform_preserve_volume = True
    modifier.object = rig
