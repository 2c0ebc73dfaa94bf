"""Export one head into one file: copies without modifiers and drivers, keys and bones sampled over the scene's frames,
the skeleton, and the files beside.

In the file keys move the face, and bones move what keys do not: neck, head, and bends of the tongue. The bones of jaw
and eyes follow their keys and move no vertex, so that a program that supports only keys loses nothing; the tongue's
bones are children of the head's bone there, not of the jaw's.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ..errors import AddonError
from ..objects import tags
from ..objects.meshes import coordinates, write_key
from ..rig import bones, build
from ..rig.bones import BONE_NAMES, EYE_TARGET, HEAD, JAW, PARENTS, ROOT, TONGUE, RigPlaces, rig_places
from ..scene.hair import hair_cards, show_albedo, still_hairs
from ..scene.materials import TYPICAL, WRINKLES, file_bytes, lined, skin_material, strength_socket, wrinkles_of
from ..shared.hair_cards import card_atlas
from ..shared.message import CARD_LEVELS
from ..shared.names import ALL_PART_NAMES, BUST, EYE_PART_NAMES, GLASSES, PART_NAMES
from ..shared.photo_folder import png_bytes
from .presets import ANIMATED, STRANDS, ExportPreset
from .surfaces import HAIR, ExportMaterials

STATIC_BONE_CHANGE = 1e-6
"""Metres, or rotation-matrix units: a bone whose matrix changes by less over all frames counts as not animated."""
NAME = "Armature"
"""Unreal does not import an armature with this name as a bone of its own."""


def places_of(parts: Sequence[bpy.types.Object]) -> RigPlaces:
    """Bone positions of a head. Raises ``AddonError`` if a part or a key needed for them is missing."""
    places = rig_places({obj[tags.PART]: obj for obj in parts if tags.PART in obj})
    if places is None:
        raise AddonError(
            "A part or a key of the head that its skeleton needs was deleted.",
            "Solve it again, or export it without a skeleton.",
            "no_skeleton",
        )
    return places


def new_skeleton(head: bpy.types.Object, places: RigPlaces, units: float) -> bpy.types.Object:
    """An armature object with the head's bones at rest, in the frame of the mesh ``head``, coordinates times ``units``.
    Linked to nothing yet."""
    rig = bpy.data.objects.new(NAME, bpy.data.armatures.new(NAME))
    scaled = RigPlaces({name: (a * units, b * units) for name, (a, b) in places.bones.items()}, places.motions)
    bones.place_bones(rig, scaled)
    with bones.edit_mode(rig):
        edited = rig.data.edit_bones
        edited.remove(edited[EYE_TARGET])
        edited[TONGUE[0]].parent = edited[HEAD]
    matrix = head.matrix_world.copy()
    matrix.translation *= units
    rig.matrix_world = matrix
    return rig


def animate(rig: bpy.types.Object, courses: Mapping[str, np.ndarray], first: int, units: float) -> bool:
    """Insert keyframes of the bones at every frame from ``first`` on; return whether there are any. ``courses`` : as
    ``FrameAnimation.bones``, in metres."""
    moves = {name: courses[name].copy() for name in PARENTS if name in courses and name in rig.data.bones}
    if HEAD in moves and JAW in moves:
        back = np.linalg.inv(moves[JAW]) @ moves[HEAD]  # the keys have already moved the tongue with the jaw
        for name in TONGUE:
            if name in moves:
                moves[name] = moves[name] @ back
    for move in moves.values():
        move[:, :3, 3] *= units
    moved = False
    for name, move in moves.items():
        bone, pose = rig.data.bones[name], rig.pose.bones[name]
        rest = np.array(bone.matrix_local)
        parent = moves.get(bone.parent.name) if bone.parent else None
        above = np.broadcast_to(np.eye(4), move.shape) if parent is None else parent
        basis = np.linalg.inv(rest) @ np.linalg.inv(above) @ move @ rest
        if np.ptp(basis, axis=0).max() < STATIC_BONE_CHANGE:
            continue
        moved = True
        pose.rotation_mode = "QUATERNION"
        before = None
        for frame, matrix in enumerate(basis, first):
            location, turn, _ = Matrix(matrix.tolist()).decompose()
            if before is not None and turn.dot(before) < 0:  # same rotation, opposite sign: take the short way
                turn.negate()
            before = turn.copy()
            pose.location, pose.rotation_quaternion = location, turn
            pose.keyframe_insert("location", frame=frame)
            pose.keyframe_insert("rotation_quaternion", frame=frame)
        pose.matrix_basis = Matrix()
    return moved


STATIC_KEY_CHANGE = 1e-5
"""A key that changes by less than this over all frames counts as not animated."""


def may_move(parts: Sequence[bpy.types.Object]) -> bool:
    """Whether a key of these objects (head first) may be animated: by an action, a strip, or a driver of the head's
    keys, from a leading bone or the artist's own."""
    animations = [obj.data.shape_keys.animation_data if obj.data.shape_keys else None for obj in parts]
    head = next(iter(animations), None)
    return any(map(_has_course, animations)) or (head is not None and len(head.drivers) > 0)


def _has_course(data: bpy.types.AnimData | None) -> bool:
    return data is not None and (data.action is not None or any(track.strips for track in data.nla_tracks))


@dataclass(frozen=True)
class FrameAnimation:
    """Animation over the F frames of the scene's frame range.

    Attributes
    ----------
    keys : object -> key -> (F,) values, for keys that change.
    bones : bone -> (F, 4, 4) transform of vertices from rest, in the armature's frame, for all bones; empty for a head
        without an armature.
    """

    keys: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    bones: Mapping[str, np.ndarray] = field(default_factory=dict)


def bones_may_move(rig: bpy.types.Object | None) -> bool:
    """Whether a bone may be animated by something other than keys: an action, a strip, or a constraint to another
    object."""
    if rig is None or _has_course(rig.animation_data):
        return rig is not None
    targets = (getattr(c, "target", None) for bone in rig.pose.bones for c in bone.constraints)
    return any(target not in (None, rig) for target in targets)


@contextmanager
def _without_modifiers(objects: Iterable[bpy.types.Object]) -> Iterator[None]:
    """Objects without their modifiers: keys do not depend on these, which take most of a frame's time."""
    drawn = [(modifier, modifier.show_viewport) for obj in objects for modifier in obj.modifiers]
    try:
        for modifier, _ in drawn:
            modifier.show_viewport = False
        yield
    finally:
        for modifier, shown in drawn:
            modifier.show_viewport = shown


def sampled(
    scene: bpy.types.Scene, parts: Sequence[bpy.types.Object], rig: bpy.types.Object | None = None
) -> FrameAnimation:
    """Sample keys and bones; the scene's current frame is restored."""
    frames = range(scene.frame_start, scene.frame_end + 1)
    rests = {} if rig is None else {bone.name: np.array(bone.matrix_local.inverted()) for bone in rig.data.bones}
    transforms = {name: np.zeros((len(frames), 4, 4)) for name in rests}
    keyed = [obj for obj in parts if obj.data.shape_keys]
    values = {obj.name: np.zeros((len(frames), len(obj.data.shape_keys.key_blocks)), np.float32) for obj in keyed}
    before = scene.frame_current, scene.frame_subframe
    try:
        with _without_modifiers(scene.objects):
            for row, frame in enumerate(frames):
                scene.frame_set(frame)
                graph = bpy.context.evaluated_depsgraph_get()
                for obj in keyed:
                    blocks = obj.evaluated_get(graph).data.shape_keys.key_blocks
                    blocks.foreach_get("value", values[obj.name][row])
                for name, rest in rests.items():
                    transforms[name][row] = np.array(rig.evaluated_get(graph).pose.bones[name].matrix) @ rest
    finally:
        scene.frame_set(before[0], subframe=before[1])
    keys = {
        obj.name: {
            block.name: values[obj.name][:, column]
            for column, block in enumerate(obj.data.shape_keys.key_blocks)
            if column and np.ptp(values[obj.name][:, column]) > STATIC_KEY_CHANGE
        }
        for obj in keyed
    }
    return FrameAnimation(keys, transforms)


def key_in(obj: bpy.types.Object, curves: Mapping[str, np.ndarray], first: int) -> None:
    """Insert keyframes for an object's keys at every frame from ``first`` on."""
    blocks = obj.data.shape_keys.key_blocks if obj.data.shape_keys else {}
    for name, values in curves.items():
        if name not in blocks:
            continue
        for frame, value in enumerate(values, first):
            blocks[name].value = float(value)
            blocks[name].keyframe_insert("value", frame=frame)
        blocks[name].value = 0.0


ONE_MESH_PARTS: tuple[str, ...] = tuple(name for name in PART_NAMES if name != "lashes")
"""Without lashes and the parts over the eyes: they need opacity, which the shared material does not have."""


def export_parts(collection: bpy.types.Collection, simple_eyes: bool = False) -> list[bpy.types.Object]:
    """The parts of a head that are exported, head first; glasses that are taken off are not. ``simple_eyes`` : the
    eyeballs alone."""
    left_out = EYE_PART_NAMES if simple_eyes else ()
    objects = [tags.part_object(collection, name) for name in ALL_PART_NAMES if name not in left_out]
    return [obj for obj in objects if obj is not None and not (obj.get(tags.PART) in GLASSES and obj.hide_render)]


def weighted_copy(obj: bpy.types.Object, places: RigPlaces) -> bpy.types.Object:
    """A copy of ``obj`` with its own mesh and weights for the skeleton's bones: existing weights, else computed ones.
    Linked to nothing. The tongue follows the head's bone instead of the jaw's, because its keys already move it with
    the jaw."""
    copy = bpy.data.objects.new(obj.name, obj.data.copy())
    copy.matrix_world = obj.matrix_world
    part = obj.get(tags.PART, HAIR)
    if part == "head":
        build.set_skin_weights(copy, places)
    elif part == "tongue":
        build.set_tongue_weights(copy)
        jaw = copy.vertex_groups.get(JAW)
        if jaw is not None:
            jaw.name = HEAD
    elif part == BUST:
        build.set_rigid_weights(copy, ROOT)
    else:
        build.set_rigid_weights(copy)
    for group in [group for group in copy.vertex_groups if group.name not in PARENTS]:
        copy.vertex_groups.remove(group)
    return copy


def neutral_copy(obj: bpy.types.Object, name: str, subdivision: int, units: float) -> bpy.types.Object:
    """A copy of ``obj`` called ``name`` with its own mesh: every key, at 0 and without drivers, after ``subdivision``
    Catmull-Clark steps; coordinates in the object's own frame times ``units``."""
    mesh = obj.data.copy()
    if mesh.shape_keys is not None:
        mesh.shape_keys.animation_data_clear()
        for block in mesh.shape_keys.key_blocks:
            block.value, block.mute, block.vertex_group = 0.0, False, ""
    mesh = _subdivided(mesh, subdivision) if subdivision else mesh
    mesh.name = name
    copy = bpy.data.objects.new(name, mesh)
    if units != 1.0:
        _scale(mesh, units)
    matrix = obj.matrix_world.copy()
    matrix.translation *= units
    copy.matrix_world = matrix
    return copy


def joined(parts: Sequence[bpy.types.Object], name: str) -> bpy.types.Object:
    """Join copies into one object, in the frame of the first and with its material; keys, vertex groups and UV maps of
    one name become one. The others and their meshes are removed. Linked to nothing."""
    whole, others = parts[0], [part.data for part in parts[1:]]
    materials, linked = list(whole.data.materials), bpy.context.scene.collection.objects
    for part in parts:
        linked.link(part)
    bpy.context.view_layer.update()
    with bpy.context.temp_override(active_object=whole, object=whole, selected_editable_objects=list(parts)):
        bpy.ops.object.join()
    linked.unlink(whole)
    bpy.data.batch_remove(others)
    whole.data.materials.clear()
    for material in materials:
        whole.data.materials.append(material)
    whole.name = whole.data.name = name
    return whole


def _subdivided(neutral: bpy.types.Mesh, levels: int) -> bpy.types.Mesh:
    """``neutral`` after Catmull-Clark steps, with its keys; each is evaluated separately. ``neutral`` is removed."""
    plain = bpy.data.objects.new("likeness export", neutral)
    modifier = plain.modifiers.new("Subdivision", "SUBSURF")
    modifier.levels = modifier.render_levels = levels
    modifier.uv_smooth = "NONE"
    scene = bpy.context.scene
    scene.collection.objects.link(plain)
    try:
        graph, shapes = _graph(), {}
        evaluated = plain.evaluated_get(graph)
        mesh = bpy.data.meshes.new_from_object(evaluated, preserve_all_data_layers=True, depsgraph=graph)
        for block in neutral.shape_keys.key_blocks if neutral.shape_keys else ():  # the first is the basis
            block.value = 1.0
            shapes[block.name] = coordinates(plain.evaluated_get(_graph()).data.vertices)
            block.value = 0.0
    finally:
        tags.remove_object(plain)
    if shapes:
        holder = bpy.data.objects.new("likeness export", mesh)
        for name, points in shapes.items():
            write_key(holder, name, points)
        bpy.data.objects.remove(holder)
    return mesh


def _graph() -> bpy.types.Depsgraph:
    """The scene's dependency graph, up to date."""
    graph = bpy.context.evaluated_depsgraph_get()
    graph.update()
    return graph


def _scale(mesh: bpy.types.Mesh, factor: float) -> None:
    mesh.vertices.foreach_set("co", (coordinates(mesh.vertices) * factor).ravel())
    for block in mesh.shape_keys.key_blocks if mesh.shape_keys else ():
        block.points.foreach_set("co", (coordinates(block.points) * factor).ravel())
    mesh.update()


CHANNELS = ("red", "green", "blue")


def write_companions(parts: Sequence[bpy.types.Object], preset: ExportPreset, path: Path) -> None:
    """Write ``NAME_wrinkles_1.png`` and so on, ``NAME_hair_strand_map.png`` and ``NAME.txt`` beside the exported file
    ``path``. Without wrinkles, a strand map and advice nothing is written. Raises ``OSError``."""
    material = skin_material(parts[0])
    maps, groups, reach = ([], [], 0.0) if material is None else wrinkles_of(material)
    names = [f"{path.stem}_wrinkles_{number + 1}.png" for number in range(len(maps))]
    lines = [f"{path.name}: {preset.label}", ""] + [f"- {sentence}" for sentence in preset.advice]
    typical, strength = ((material and strength_socket(material, kind)) for kind in (TYPICAL, WRINKLES))
    for number, (name, image) in enumerate(zip(names, maps, strict=True), 1):
        data = file_bytes(image) or b""
        if typical and typical.default_value:
            data = png_bytes(np.rint(65536.0 * np.clip(lined(material, number)[::-1], 0.0, 0.99998)).astype(np.uint16))
        path.with_name(name).write_bytes(data)
    if maps:
        factor = 1.0 if strength is None else strength.default_value
        lines += [
            "",
            "Wrinkles: 16-bit heights in the skin's UV map, linear, to be added to its normals or displacement.",
            f"- Millimetres outwards = (value / 65536 - 0.5) * {2.0 * reach * factor:.4g} * weight.",
            "- Weight = the largest value of a group's keys; those that end in Left or Right act on that side only.",
        ]
        for group, keys, number, channel in groups:
            lines.append(f"- {group}: {names[number]}, {CHANNELS[channel]}: {', '.join(keys)}")
    if hair := tags.PART not in parts[-1]:
        strand_map = path.with_name(f"{path.stem}_hair_strand_map.png")
        strand_map.write_bytes(png_bytes(card_atlas().strand_map))
        lines += ["", f"Hair: {strand_map.name}, linear, in the cards' UV map.", *_STRAND_MAP_TEXT]
    if maps or hair or preset.advice:
        path.with_suffix(".txt").write_text("\n".join(lines) + "\n", "utf-8")


_STRAND_MAP_TEXT = (
    "- Red, green: the strands' direction from root to tip, (1 + u) / 2 and (1 - v) / 2 with v up.",
    "- Blue: a random number of each strand. Alpha: depth, 1 in front.",
)
_ADDONS = {"fbx": "FBX format", "gltf": "glTF 2.0 format", "usd": "USD", "alembic": "Alembic"}


@dataclass(frozen=True)
class ExportSettings:
    """What a preset leaves open.

    Attributes
    ----------
    with_bones : a skeleton, or keys only; None: the preset's default.
    webp : glTF's textures are WebP, a third of the bytes, for programs that know ``EXT_texture_webp``.
    simple_eyes : without corneas, tear lines and caruncles.
    hair_triangles : of the hair cards at most.
    bone_names : whose names the skeleton's bones have, of ``rig.bones.BONE_NAMES``.
    """

    with_bones: bool | None = None
    webp: bool = False
    simple_eyes: bool = False
    hair_triangles: int = CARD_LEVELS[0]
    bone_names: str = "LIKENESS"


def export_head(
    context: bpy.types.Context,
    collection: bpy.types.Collection,
    preset: ExportPreset,
    path: Path,
    chosen: ExportSettings = ExportSettings(),
) -> None:
    """Write a head as ``preset`` requires, and beside it the wrinkle maps and a text about them and about settings.
    Strands go along as cards, which are made for the file, or as curves in USD. The scene is restored afterwards.

    Raises
    ------
    AddonError : if the head has no mesh or lacks the parts that define its bones, or the exporter is disabled or fails.
    """
    parts = export_parts(collection, chosen.simple_eyes)
    with_bones = preset.skeleton if chosen.with_bones is None else chosen.with_bones
    places = places_of(parts) if with_bones and parts and parts[0].get(tags.PART) == "head" else None
    if preset.one_mesh:
        parts = [obj for obj in parts if obj.get(tags.PART) in ONE_MESH_PARTS]
    if not parts or parts[0].get(tags.PART) != "head":
        raise AddonError("The head's mesh was deleted.", "Solve it again, then export.", "head_gone")
    exporter = bpy.ops.wm.usd_export if preset.exporter == "usd" else getattr(bpy.ops.export_scene, preset.exporter)
    strands, usd = tags.hair_object(collection), preset.exporter == "usd"
    name = tags.name_of(collection) or collection.name
    layer = context.view_layer
    layer.update()  # a script may export what it has just imported or moved
    selected, active = list(context.selected_objects), layer.objects.active
    rig = tags.rig_object(collection) if with_bones else None
    courses = sampled(context.scene, parts, rig) if may_move(parts) or bones_may_move(rig) else FrameAnimation()
    copies: list[bpy.types.Object] = []
    if strands is not None and not (usd or preset.one_mesh):
        parts.append(hair_cards(strands, parts[0], chosen.hair_triangles))
    materials = ExportMaterials(name, collection, parts, preset.exporter)
    try:
        for part in parts:
            label = part.get(tags.PART, HAIR)  # USD numbers keys of one name, but those of the first mesh by name
            copies.append(_copy(part, f"{name}_{'head_' * (usd and label != 'head')}{label}", preset, places))
            materials.put_on(copies[-1], part, preset.one_mesh)
        keys = [courses.keys.get((part if tags.PART in part else parts[0]).name, {}) for part in parts]  # cards: head's
        if preset.one_mesh:
            copies, keys = [joined(copies, f"{name}_head")], keys[:1]
        root = bpy.data.objects.new(name, None) if places is None else new_skeleton(parts[0], places, preset.units)
        copies.append(root)
        for obj in copies:
            context.scene.collection.objects.link(obj)
        first = context.scene.frame_start
        moved = _hang(copies, keys, root, places is not None, first)
        if places is not None:
            moved |= animate(root, courses.bones, first, preset.units)
            for ours, theirs in BONE_NAMES[chosen.bone_names].items():  # Blender renames weights and curves as well
                root.data.bones[ours].name = theirs
        if usd and strands is not None:  # each frame would hold them again, 36 MB: they turn with the head's bone
            hairs = still_hairs(strands, f"{name}_{HAIR}", {"viewport": 1.0})
            materials.made[STRANDS.name] = show_albedo(hairs.data)
            context.scene.collection.objects.link(hairs)
            copies.append(hairs)
            layer.update()
            matrix = hairs.matrix_world.copy()
            hairs.parent = root
            if places is not None:
                hairs.parent_type, hairs.parent_bone = "BONE", dict(BONE_NAMES[chosen.bone_names]).get(HEAD, HEAD)
            hairs.matrix_world = matrix
        _select(selected, False)
        _select(copies, True)
        layer.objects.active = copies[0]
        animated = ANIMATED[preset.exporter]
        wanted = dict(preset.settings) | ({"export_image_format": "WEBP"} if chosen.webp else {}) | {animated: moved}
        others = set(context.scene.objects).difference(copies)
        with _writing(exporter, preset.exporter) as known, _without_modifiers(others):
            exporter(filepath=str(path), **{key: value for key, value in wanted.items() if key in known})
            if usd and places is not None:
                share_names(path)
            write_companions(parts, preset, path)
    finally:
        _remove(copies + [part for part in parts if tags.PART not in part])
        materials.remove()
        _select(selected, True)
        layer.objects.active = active


def _select(objects: Sequence[bpy.types.Object], chosen: bool) -> None:
    """Select objects, or not; those that are gone are left out."""
    for obj in objects:
        with suppress(RuntimeError, ReferenceError):
            obj.select_set(chosen)


def _hang(
    copies: Sequence[bpy.types.Object], keys: Sequence[Mapping], root: bpy.types.Object, bound: bool, first: int
) -> bool:
    """Make ``root`` the parent of copies where they are, which its bones bend if ``bound``; write the courses of their
    keys from frame ``first`` on. Whether there are any."""
    for obj, curves in zip(copies, keys, strict=False):
        obj.parent, obj.matrix_world = root, obj.matrix_world.copy()
        if bound:
            obj.modifiers.new(NAME, "ARMATURE").object = root
        key_in(obj, curves, first)
    return any(keys)


@contextmanager
def _writing(exporter: Any, kind: str) -> Iterator[set[str]]:
    """Names of the settings that this Blender's exporter knows. Raises ``AddonError`` if it is missing or fails."""
    try:
        known = set(exporter.get_rna_type().properties.keys())
    except (KeyError, RuntimeError) as error:
        raise AddonError(
            f"Blender's exporter for {_ADDONS[kind]} is switched off.",
            "Switch it on in the preferences, under Add-ons.",
            "exporter",
        ) from error
    try:
        yield known
    except (RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise AddonError(f"The file could not be written: {reason}", "Choose another folder.", "disk") from error


def share_names(path: Path) -> None:
    """Give the keys of all meshes of a USD file their own names, which Blender's exporter numbers from the second mesh
    on; one whose course differs from its namesake's keeps its number. A Blender without USD's modules leaves them."""
    try:
        from pxr import Usd, UsdSkel
    except ImportError:
        return
    stage = Usd.Stage.Open(str(path))
    meshes = [mesh for mesh in map(UsdSkel.BindingAPI, stage.Traverse()) if mesh.GetBlendShapesAttr().Get()]
    for animation in filter(None, map(UsdSkel.Animation, stage.Traverse())):
        names, weights, used = animation.GetBlendShapesAttr(), animation.GetBlendShapeWeightsAttr(), {}
        times = weights.GetTimeSamples() or [Usd.TimeCode.Default()]
        courses = dict(zip(names.Get(), np.transpose([weights.Get(time) for time in times]), strict=True))
        for mesh in meshes:
            own = mesh.GetBlendShapesAttr().Get()
            for place, key in enumerate(mesh.GetBlendShapeTargetsRel().GetTargets()):
                if np.abs(courses[own[place]] - courses[key.name]).max() < STATIC_KEY_CHANGE:
                    own[place] = key.name
            mesh.GetBlendShapesAttr().Set(own)
            used |= {name: courses[name] for name in own}
        names.Set([*used])
        for time, values in zip(times, np.transpose([*used.values()]), strict=True):
            weights.Set(values, time)
    stage.Save()


def export_strands(context: bpy.types.Context, collection: bpy.types.Collection, path: Path) -> None:
    """Write a head's strands as they are at the current frame: curves in world coordinates, Alembic's y upwards.

    Raises
    ------
    AddonError : if the head has no strands, or the exporter is missing or fails.
    """
    hair = tags.hair_object(collection)
    if hair is None:
        raise AddonError("This head has no strands.", "Cards are in the other files.", "no_strands")
    if not bpy.app.build_options.alembic:
        raise AddonError("This Blender was built without Alembic.", "Use the one of blender.org.", "exporter")
    exporter, frame = bpy.ops.wm.alembic_export, context.scene.frame_current
    alone = bpy.data.collections.new("likeness export")  # a selection would leave out what is hidden
    context.scene.collection.children.link(alone)
    alone.objects.link(hair)
    try:
        with _writing(exporter, STRANDS.exporter):
            exporter(filepath=str(path), collection=alone.name, start=frame, end=frame, **STRANDS.settings)
            if not path.is_file():  # which this exporter reports to Blender alone
                raise OSError(f"{path.parent} cannot be written to.")
    finally:
        bpy.data.collections.remove(alone)


def export_mesh(context: bpy.types.Context, mesh: bpy.types.Object, path: Path) -> None:
    """Write a mesh as it is shown, with its picture, to a .glb. Raises ``AddonError`` as ``export_head``."""
    selected, exporter = list(context.selected_objects), bpy.ops.export_scene.gltf
    _select(selected, False)
    _select([mesh], True)
    try:
        with _writing(exporter, "gltf"):
            exporter(filepath=str(path), use_selection=True, export_apply=True, export_animations=False)
    finally:
        _select([mesh], False)
        _select(selected, True)


def _copy(part: bpy.types.Object, name: str, preset: ExportPreset, places: RigPlaces | None) -> bpy.types.Object:
    """A part as exported, with weights if the file has bones."""
    subdivision = preset.subdivision if tags.PART in part else 0
    if places is None:
        return neutral_copy(part, name, subdivision, preset.units)
    weighed = weighted_copy(part, places)
    try:
        return neutral_copy(weighed, name, subdivision, preset.units)
    finally:
        tags.remove_object(weighed)


def _remove(copies: list[bpy.types.Object]) -> None:
    """Remove the copies, their data, and the actions of their keys and bones."""
    for obj in copies:
        data = obj.data
        keys = data.shape_keys if isinstance(data, bpy.types.Mesh) else None
        actions = [one.animation_data.action for one in (obj, keys) if one is not None and one.animation_data]
        bpy.data.objects.remove(obj)
        bpy.data.batch_remove([one for one in (data, *actions) if one is not None])
