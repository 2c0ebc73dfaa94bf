"""Settings of a transfer: source, mapping list, target of the head's rotation; and *Make ARKit Keys* with its marked
points.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import bpy
import numpy as np
from bl_operators.presets import AddPresetBase
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ..errors import AddonError
from ..objects.meshes import array_of
from ..objects.tags import HEAD_ID, PART, key_mesh
from ..scene.expressions import OCULUS, VRM
from ..scene.importing import drive_keys
from ..scene.mpfb import KEY_NAME, MACRO
from ..shared.names import ARKIT_NAMES
from ..shared.similarity import Similarity
from ..text import LikenessOperator, needs
from ..transfer import meshes
from ..transfer.apply import key_names
from ..transfer.keys_for_mesh import find_face, staged, transfer_keys
from ..transfer.names import KeyLink, meaning, suggest
from ..transfer.sliced import SlicedOperator, Steps

NO_SOURCE = "Choose a mesh with shape keys as source, or make one the active object"


def _is_head(_: bpy.types.PropertyGroup, collection: bpy.types.Collection) -> bool:
    return HEAD_ID in collection


def _has_keys(_: object, obj: bpy.types.Object) -> bool:
    return obj.type == "MESH" and len(key_names(obj)) > 0


class LikenessKeyLink(bpy.types.PropertyGroup):
    """A row of the mapping."""

    source: StringProperty(name="Source", description="Shape key of the source")
    target: StringProperty(name="Target", description="Shape key of the targets")
    weight: FloatProperty(name="Gain", description="Factor on the source's value", default=1.0, soft_min=-1, soft_max=2)
    lowest: FloatProperty(name="Lowest", description="Lower limit of the target's value", soft_min=-1, soft_max=1)
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
        name="Own Mapping", description="Use the list instead of the names on every target that it fits"
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
    """The links for one target, with the gain: the artist's if enabled and matching, else the suggested ones, which
    only the sliders limit."""
    names = key_names(target)
    links: tuple[KeyLink, ...] = ()
    if settings.use_links:
        links = tuple(link for link in listed_links(settings) if link.target in names and link.source in sources)
    if not links:
        links = tuple(replace(link, lowest=-np.inf, highest=np.inf) for link in suggest(sources, names))
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


class SuggestMapping(LikenessOperator):
    """Fill the list with what the names of the source's and the selected mesh's shape keys say"""

    poll = needs((source_of, NO_SOURCE))

    def run(self, context: bpy.types.Context) -> None:
        source = source_of(context)
        targets = selected_meshes(context, source)
        links: dict[tuple[str, str], KeyLink] = {}
        for target in targets:
            for link in suggest(key_names(source), key_names(target)):
                block = target.data.shape_keys.key_blocks[link.target]
                known = links.get((link.source, link.target), replace(link, lowest=np.inf, highest=-np.inf))
                ends = min(known.lowest, block.slider_min), max(known.highest, block.slider_max)
                links[link.source, link.target] = replace(link, lowest=ends[0], highest=ends[1])
        settings = settings_of(context)
        fill_list(settings, list(links.values()))
        settings.use_links = True
        open_keys = len(key_names(source)) - len({link.source for link in links.values()})
        self.report({"INFO"}, f"{len(links)} links; {open_keys} keys of the source are not linked.")


class AddLink(LikenessOperator):
    """Add a row to the mapping"""

    bl_options = {"INTERNAL", "UNDO"}

    def run(self, context: bpy.types.Context) -> None:
        settings = settings_of(context)
        settings.links.add()
        settings.active_link = len(settings.links) - 1
        settings.use_links = True


class RemoveLink(LikenessOperator):
    """Remove the active row of the mapping"""

    bl_options = {"INTERNAL", "UNDO"}

    poll = needs(
        (lambda c: 0 <= settings_of(c).active_link < len(settings_of(c).links), "No row of the mapping is chosen")
    )

    def run(self, context: bpy.types.Context) -> None:
        settings = settings_of(context)
        settings.links.remove(settings.active_link)
        settings.active_link = max(min(settings.active_link, len(settings.links) - 1), 0)


class MappingPresets(bpy.types.Menu):
    """Mappings that were kept in the user's folder of Blender's presets"""

    bl_idname, bl_label = "LIKENESS_MT_mappings", "Kept Mappings"
    preset_subdir, preset_operator = "likeness/mappings", "script.execute_preset"
    draw = bpy.types.Menu.draw_preset


class KeepMapping(AddPresetBase, LikenessOperator):
    """Keep the mapping under a name, for every file; or forget the one that is shown"""

    preset_menu, preset_subdir = MappingPresets.bl_idname, MappingPresets.preset_subdir
    preset_defines = ("settings = bpy.context.scene.likeness_transfer",)
    preset_values = ("settings.links", "settings.use_links")

    poll = needs((lambda context: settings_of(context).links, "The mapping has no rows"))


POINT_NAMES = (
    "nose_tip", "chin", "eye_outer_left", "eye_inner_left", "eye_inner_right", "eye_outer_right", "mouth_left",
    "mouth_right", "lip_upper", "lip_lower", "nose_bridge", "nose_base",
)  # fmt: skip
MOST_VERTICES = 400_000
FACE_OF_ITS_OWN = 0.7
"""A mesh beside a face, but smaller than this share of it, is a part of it: a beard, not another head."""
UNMOVED = 1e-4
"""Share of the largest motion below which nobody sees one: a hundredth of a millimetre."""


def _in_object_mode(context: bpy.types.Context) -> bool:
    return context.mode == "OBJECT"


class MakeArkitKeys(SlicedOperator, bpy.types.Operator):
    """Give the selected meshes the source's ARKit shape keys, whatever their topology"""

    bl_label = "Make ARKit Keys on Selected"
    doing = "Making shape keys"

    replace: BoolProperty(name="Replace", description="Replace keys that the mesh already has")

    can_run = needs((_in_object_mode, "Switch to Object Mode"), (source_of, NO_SOURCE))

    def steps(self, context: bpy.types.Context) -> Steps:
        source = source_of(context)
        targets = selected_meshes(context, source)
        names = meshes.keys_to_give(source)
        own = {part.name for part in source.children}
        targets = [target for target in targets if target.name not in own]
        if not targets:
            raise AddonError("Only parts of the source are selected.", "Select other meshes.", "no_target")
        made, problems = [], []
        characters = yield from staged(_characters(source, targets, names), 0.0, 0.3)
        for number, (face, fit, others) in enumerate(characters):
            try:
                for done in (steps := _make(source, [face, *others], fit, names, self.replace, made, problems)):
                    yield 0.3 + 0.7 * (number + done) / len(characters)
            except AddonError as error:
                if len(characters) == 1:
                    raise
                problems.append(f"{face.name}: {error}")
            finally:
                steps.close()
        keys = "key" if sum(made) == 1 else "keys"
        done = f"Made {sum(made)} {keys} on {len(made)} mesh{'' if len(made) == 1 else 'es'}."
        return "\n".join([done, *problems])


_Character = tuple[bpy.types.Object, Similarity | None, list[bpy.types.Object]]


def _characters(source: bpy.types.Object, targets: list[bpy.types.Object], names: tuple[str, ...]):
    """Faces among the targets, each with its fit and the meshes that go with it; yields the fraction done.

    A mesh in the bounding box of another, or touching it, is of the same character. The largest that shows a face is
    the face; meshes of about its size are tried, too, since they may be faces of their own.
    """
    boxes = {}
    for obj in targets:
        corners = meshes.world_rest(obj)
        boxes[obj] = corners.min(axis=0), corners.max(axis=0)
    rows: list[list[bpy.types.Object]] = []
    for obj in sorted(targets, key=lambda one: -np.linalg.norm(np.ptp(boxes[one], axis=0))):
        low, high = boxes[obj]
        touching = [r for r in rows if any((low <= boxes[o][1]).all() and (boxes[o][0] <= high).all() for o in r)]
        rows = [row for row in rows if row not in touching] + [[*itertools.chain(*touching), obj]]
    found: list[_Character] = []
    for number, row in enumerate(rows):
        if len(row) == 1 or any(meshes.marked_points(source, obj) for obj in row):
            found += [(obj, None, []) for obj in row]
            continue
        parts, faces, others = meshes.source_parts(source, names), [], []
        row.sort(key=lambda one: -np.linalg.norm(np.ptp(boxes[one], axis=0)))
        for obj in row:
            size = np.linalg.norm(np.ptp(boxes[obj], axis=0))
            if faces and size < FACE_OF_ITS_OWN * np.linalg.norm(np.ptp(boxes[faces[0][0]], axis=0)):
                others.append(obj)
                continue
            try:
                fit = yield from staged(find_face(parts, meshes.target_mesh([obj])), number / len(rows), 1.0)
                faces.append((obj, fit, []))
            except AddonError:
                others.append(obj)
        if not faces:
            found.append((row[0], None, row[1:]))
            continue
        faces[0][2].extend(others)
        found += faces
    return found


def _present(objects: Sequence[bpy.types.Object]) -> dict[str, set[str]]:
    """Names of the keys that each object of a character has. Raises ``AddonError`` if it cannot get others."""
    has: dict[str, set[str]] = {}
    for obj in objects:
        if obj.data.library is not None:
            raise AddonError(f"{obj.name} is linked from another file.", "Make it local first.", "linked")
        meshes.into_object(obj, np.zeros(3))  # fails where it has no size
        has[obj.name] = {block.name for block in obj.data.shape_keys.key_blocks} if obj.data.shape_keys else set()
    face = objects[0]
    if sum(len(obj.data.vertices) for obj in objects) > MOST_VERTICES:
        raise AddonError(f"{face.name} has too many vertices.", "Select the head without subdivision.", "too_large")
    if mirrors := [m.name for m in face.modifiers if m.type == "MIRROR" and m.show_viewport]:
        raise AddonError(
            f"{face.name} is half a face; its modifier {mirrors[0]} makes the other half move the same way.",
            "Apply that modifier first.",
            "mirrored",
        )
    return has


def _make(
    source: bpy.types.Object,
    objects: Sequence[bpy.types.Object],
    fit: Similarity | None,
    names: tuple[str, ...],
    replace: bool,
    made: list[int],
    notes: list[str],
):
    """Create all keys of one character, whose first object shows the face, at the end; yields the fraction done.
    ``made`` gets the number of each mesh's keys, ``notes`` what is to be said."""
    has, face = _present(objects), objects[0]
    sizes = {obj.name: len(obj.data.vertices) for obj in objects}
    wanted = [name for name in names if replace or any(name not in own for own in has.values())]
    if not wanted:
        raise AddonError(f"{face.name} has all these keys already.", "Choose Replace to make them anew.", "has_keys")
    parts, target = meshes.source_parts(source, wanted), meshes.target_mesh(objects)
    marked = meshes.marked_points(source, face)
    yield 0.01
    blinks = [number for number, name in enumerate(wanted) if name.startswith("eyeBlink")]
    try:
        motions = yield from staged(transfer_keys(parts, target, fit, marked, blinks), 0.01, 1.0)
    except AddonError as error:
        makers = [m.name for m in face.modifiers if m.show_viewport and m.type not in ("ARMATURE", "SUBSURF")]
        if error.code != "no_face" or not makers:
            raise
        advice = f"Apply {', '.join(makers)} first: keys come before modifiers."
        raise AddonError(error.sentence, advice, error.code) from error
    objects = [bpy.data.objects.get(name) for name in sizes]  # by name: an undo meanwhile may have replaced them
    if any(obj is None or len(obj.data.vertices) != size for obj, size in zip(objects, sizes.values(), strict=True)):
        raise AddonError("A mesh was changed meanwhile.", "Start again.", "changed")
    if meshes.inwards(objects[0]):
        notes.append(f"The faces of {objects[0].name} point inwards, and were read as turned. Recalculate its normals.")
    own = np.split(motions, np.cumsum([*sizes.values()])[:-1], axis=1)
    least, still = UNMOVED * np.abs(motions).max(), []
    for obj, moves in zip(objects, own, strict=True):
        if np.abs(moves).max() <= least:
            still.append(obj.name)
            continue
        mine = [at for at, key in enumerate(wanted) if replace or key not in has[obj.name]]
        for at in mine:
            meshes.add_key(obj, wanted[at], meshes.into_object(obj, moves[at].astype(float)))
        made.append(len(mine))
    if still:
        notes.append(f"The face does not move {', '.join(still)}, so no keys there.")


class MakeVisemeKeys(LikenessOperator):
    """Give the selected meshes keys of visemes for lip sync, mixed from their 52 keys"""

    bl_label = "Make Viseme Keys on Selected"

    kind: EnumProperty(
        name="Names",
        items=(("OCULUS", "Oculus", "Fifteen: viseme_sil, viseme_PP, …"), ("VRM", "VRM", "Five: aa, ih, ou, ee, oh")),
    )

    poll = needs((_in_object_mode, "Switch to Object Mode"))

    def run(self, context: bpy.types.Context) -> None:
        shapes, made = OCULUS if self.kind == "OCULUS" else VRM, 0
        for obj in selected_meshes(context, None):
            links = suggest(ARKIT_NAMES, [name for name in key_names(obj) if name not in shapes])
            if obj.data.library is not None or not links:
                raise AddonError(f"{obj.name} has no ARKit keys to mix.", "Use Make ARKit Keys on it first.")
            objects = meshes.parts_of(obj)
            for one, part in zip(objects, meshes.source_parts(obj, [link.target for link in links]), strict=True):
                for name, shape in shapes.items():
                    weights = [link.weight * shape.get(link.source, 0.0) for link in links]
                    motion = meshes.into_object(one, np.tensordot(weights, part.motions, 1))
                    if one == obj or np.abs(motion).max() > 0:
                        meshes.add_key(one, name, motion)
                        made += 1
                if one != obj:
                    drive_keys(one, obj)
        self.report({"INFO"}, f"Made {made} keys.")


class MarkPoint(LikenessOperator):
    """Mark a corresponding point on the active mesh: at its selected vertex in Edit Mode, else at the 3D cursor"""

    name: StringProperty(name="Point", description="Its name on both meshes; empty: the next standard name")

    poll = needs((lambda context: context.active_object and context.active_object.type == "MESH", "Select a mesh"))

    def run(self, context: bpy.types.Context) -> set[str] | None:
        obj = context.active_object
        present = meshes.points_on(obj)
        name = self.name or next((n for n in POINT_NAMES if n not in present), f"point_{len(present) + 1}")
        place = context.scene.cursor.location.copy()
        if obj.mode == "EDIT":
            obj.update_from_editmode()
            chosen = array_of(obj.data.vertices, "select", kind=bool)
            if not chosen.any():
                raise AddonError("No vertex is selected.")
            place = meshes.world_rest(obj)[chosen].mean(axis=0)
        marker = present.get(name)
        if marker is None:
            marker = bpy.data.objects.new(f"{obj.name} {name}", None)
            marker[meshes.POINT] = name
            marker.empty_display_type, marker.empty_display_size = "SPHERE", 0.02 * max(obj.dimensions)
            marker.show_name = True
            marker.parent = obj
            marker.matrix_parent_inverse = obj.matrix_world.inverted()
            (obj.users_collection or (context.scene.collection,))[0].objects.link(marker)
        marker.location = place
        self.report({"INFO"}, f"Marked {name} on {obj.name}.")


class ClearPoints(LikenessOperator):
    """Remove the marked points of the active mesh"""

    poll = needs(
        (lambda c: c.active_object and meshes.points_on(c.active_object), "The active object has no marked points")
    )

    def run(self, context: bpy.types.Context) -> None:
        for marker in meshes.points_on(context.active_object).values():
            bpy.data.objects.remove(marker)
