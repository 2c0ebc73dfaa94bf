"""Transfer settings of a scene: source, the edited mapping, target of the head rotation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import bpy
from bpy.props import BoolProperty, CollectionProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from ..errors import AddonError
from ..protocol.names import ARKIT_NAMES
from ..scene.mpfb import KEY_NAME, MACRO
from ..scene.tags import HEAD_ID, PART
from ..scene.which_mesh import key_mesh
from ..transfer.apply import key_names
from ..transfer.mapping import KeyLink, suggest
from ..transfer.names import meaning

NO_SOURCE = "Choose a mesh with shape keys as source, or make one the active object"


def _has_keys(_: object, obj: bpy.types.Object) -> bool:
    return obj.type == "MESH" and len(key_names(obj)) > 0


def _is_head(_: object, collection: bpy.types.Collection) -> bool:
    return HEAD_ID in collection


class LikenessKeyLink(bpy.types.PropertyGroup):
    """A row of the mapping."""

    source: StringProperty(name="Source", description="Shape key of the source")
    target: StringProperty(name="Target", description="Shape key of the targets")
    weight: FloatProperty(name="Gain", description="Factor on the source's value", default=1.0, soft_min=-1, soft_max=2)
    lowest: FloatProperty(
        name="Lowest", description="Lower limit of the target's value", default=0.0, soft_min=-1, soft_max=1
    )
    highest: FloatProperty(
        name="Highest", description="Upper limit of the target's value", default=1.0, soft_min=0, soft_max=2
    )


class LikenessTransfer(bpy.types.PropertyGroup):
    """Settings of transfers."""

    source: PointerProperty(
        name="Source",
        description="The rig whose expression or keys are transferred",
        type=bpy.types.Object,
        poll=_has_keys,
    )
    person: PointerProperty(
        name="Person",
        description="Likeness head of the person in the pictures; empty: their face is solved from the pictures",
        type=bpy.types.Collection,
        poll=_is_head,
    )
    gain: FloatProperty(name="Gain", description="Stronger or weaker than the source", default=1.0, min=0.0, soft_max=2)
    use_links: BoolProperty(
        name="Own Mapping", description="Use the list instead of the names on every target that it fits", default=False
    )
    links: CollectionProperty(type=LikenessKeyLink)
    active_link: IntProperty()
    pose_from: PointerProperty(
        name="Pose From", description="Object whose rotation is copied, too", type=bpy.types.Object
    )
    pose_from_bone: StringProperty(name="Bone", description="Bone of it; empty for the object itself")
    pose_to: PointerProperty(
        name="Pose To", description="Object or armature that the head's rotation is copied to", type=bpy.types.Object
    )
    pose_to_bone: StringProperty(name="Bone", description="Bone of it; empty for the object itself")


def settings_of(context: bpy.types.Context) -> LikenessTransfer:
    """The scene's transfer settings."""
    return context.scene.likeness_transfer


def listed_links(settings: LikenessTransfer) -> tuple[KeyLink, ...]:
    """The links in the mapping list."""
    return tuple(KeyLink(row.source, row.target, row.weight, row.lowest, row.highest) for row in settings.links)


def fill_list(settings: LikenessTransfer, links: Sequence[KeyLink]) -> None:
    """Replace the links in the mapping list."""
    settings.links.clear()
    for link in links:
        row = settings.links.add()
        row.name = row.source = link.source
        row.target, row.weight, row.lowest, row.highest = link.target, link.weight, link.lowest, link.highest
    settings.active_link = 0


def links_for(settings: LikenessTransfer, sources: Sequence[str], target: bpy.types.Object) -> tuple[KeyLink, ...]:
    """The links for one target, with the gain: the artist's if enabled and matching, else the suggested ones."""
    names = key_names(target)
    links: tuple[KeyLink, ...] = ()
    if settings.use_links:
        links = tuple(link for link in listed_links(settings) if link.target in names and link.source in sources)
    if not links:
        links = suggest(sources, names)
    return tuple(replace(link, weight=link.weight * settings.gain) for link in links)


def expression_keys(settings: LikenessTransfer, obj: bpy.types.Object) -> tuple[str, ...]:
    """Keys of a mesh that form its expression: all keys, with two exceptions.

    A MakeHuman body also stores its build in keys (MPFB's macros, and the key of *Apply to MPFB Body*), so only keys
    with expression names or in the mapping list count. On a Likeness head only the 52 keys count; others are the
    artist's own.
    """
    names, linked = key_names(obj), {link.target for link in listed_links(settings)}
    if PART in obj:
        return tuple(name for name in names if name in ARKIT_NAMES)
    if not any(name == KEY_NAME or name.startswith(MACRO) for name in names):
        return names
    return tuple(name for name in names if meaning(name) is not None or name in linked)


def source_of(context: bpy.types.Context) -> bpy.types.Object | None:
    """The chosen source, else the active object or the head it belongs to, if it has shape keys."""
    chosen, obj = settings_of(context).source, context.active_object
    obj = None if obj is None else key_mesh(obj)
    if chosen is not None and chosen.name in context.scene.objects:
        obj = chosen
    return obj if obj is not None and _has_keys(None, obj) else None


def selected_meshes(context: bpy.types.Context, source: bpy.types.Object | None) -> list[bpy.types.Object]:
    """Selected meshes without the source, each mesh data once; a part of a head stands for the head that drives its
    keys.

    Raises ``AddonError`` ``no_target`` if there are none.
    """
    found = {
        obj.data.name_full: obj
        for obj in map(key_mesh, context.selected_objects)
        if obj.type == "MESH" and (source is None or obj.data != source.data)
    }
    if not found:
        raise AddonError("No other mesh is selected.", "Select the meshes to transfer it to.", "no_target")
    return list(found.values())


CLASSES = (LikenessKeyLink, LikenessTransfer)
