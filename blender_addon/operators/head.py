"""Operators on a finished head: cameras and their expressions, reset, sculpt and skin locks, MPFB body, armature, and
export for another program."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..errors import AddonError
from ..export.presets import BY_NAME, STRANDS, ExportPreset
from ..export.write import ExportSettings, export_head, export_strands
from ..objects import meshes, tags
from ..rig import build, lead
from ..rig.bones import EYES_LED, JAW_LED
from ..scene import cameras, expressions, hair, mpfb
from ..settings.properties import SHAPE_SLIDERS
from ..shared.message import CARD_LEVELS
from ..text import NO_HEAD, LikenessOperator, clickable, draw_wrapped, needs, poll_of
from ..transfer.sliced import SlicedOperator, Steps
from .corrections import HeadPhotoOperator, close_all

NO_ARMATURE = "This head has no armature: Add Armature makes one"
_HAS_ONE = "This head has its armature"


if hasattr(bpy.types, "USDHook") and find_spec("pxr"):  # without USD's modules Blender ends where it calls a hook

    class StrandsOfUSD(bpy.types.USDHook):
        """Blender reads curves without materials: the strands of a head get theirs"""

        bl_idname = "LIKENESS_USD_strands"
        bl_label = "Likeness strands"

        @staticmethod
        def on_import(read: object) -> bool:
            for one in (one for each in getattr(read, "get_prim_map", dict)().values() for one in each):
                if isinstance(one, bpy.types.Curves) and hair.ROOT_COLOUR in one.attributes and not one.materials:
                    one.materials.append(hair.new_material("hair"))
            return True


class AddArmature(LikenessOperator):
    """Give the active head bones for neck, head, jaw, eyes and tongue"""

    poll = needs((tags.own_face, NO_HEAD), (lambda context: tags.active_rig(context) is None, _HAS_ONE))

    def run(self, context: bpy.types.Context) -> set[str] | None:
        if build.put_rig(tags.active_head(context)) is None:
            return self.refuse("A part of this head or a key of its jaw or eyes is missing: no bones were added.")


class _OfArmature:
    poll = needs((tags.own_face, NO_HEAD), (tags.active_rig, NO_ARMATURE))


class RemoveArmature(_OfArmature, LikenessOperator):
    """Take the active head's bones away; its keys keep their values"""

    def run(self, context: bpy.types.Context) -> None:
        build.remove_rig(tags.active_head(context))


class SetLead(_OfArmature, LikenessOperator):
    """Let bones drive the shape keys of jaw or eyes, or keys turn the bones; the face stays as it is"""

    bl_label = "Who Leads"

    what: EnumProperty(
        name="What", items=((JAW_LED, "Jaw", "The jaw's bone and keys"), (EYES_LED, "Eyes", "The eyes' bones and keys"))
    )
    by_bones: BoolProperty(name="Bones", description="Bones lead; else the keys do")

    def run(self, context: bpy.types.Context) -> None:
        lead.set_lead(tags.own_face(context), tags.active_rig(context), self.what, self.by_bones)


class ResetPose(_OfArmature, LikenessOperator):
    """Put every bone of the active head to rest"""

    def run(self, context: bpy.types.Context) -> None:
        lead.reset_pose(tags.own_face(context), tags.active_rig(context))


def _head_of(camera: bpy.types.Object, scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The head mesh that is the parent of a photo's camera; for a camera without one, its head's own mesh."""
    heads = [c for c in tags.heads_in(scene) if camera in tags.objects_of(c)]
    return tags.head_mesh(camera) or (tags.part_object(heads[0], "head") if heads else None)


class LookThroughPhoto(HeadPhotoOperator, LikenessOperator):
    """Look through this photo's camera, and give the head its expression"""

    bl_idname = "likeness.look_through"

    def run(self, context: bpy.types.Context) -> set[str] | None:
        collection = tags.active_head(context)
        camera = tags.cameras_by_photo(collection, tags.active_mesh(context, collection)).get(self.photo)
        head = None if camera is None else _head_of(camera, context.scene)
        if camera is None or head is None:
            return self.refuse(f"The camera of {self.photo} is not in the file any more.")
        before = cameras.photo_wearer(context.scene)
        if before is not None and before != head:
            expressions.set_expression(before, {})
        expressions.set_expression(head, dict(camera[tags.EXPRESSION]))
        cameras.look_through(context, camera, head)


class LeavePhoto(LikenessOperator):
    """Look freely again, and put the expression of the head in the photo back to neutral"""

    def run(self, context: bpy.types.Context) -> None:
        close_all(context)
        if (head := cameras.photo_wearer(context.scene)) is not None:
            expressions.set_expression(head, {})
        cameras.leave_cameras(context)


class RemoveSculpt(LikenessOperator):
    """Put the head back to the shape that the photos gave; the shape keys move along"""

    poll = poll_of(lambda context: "" if any(_sculpted_meshes(context)) else "This head has not been sculpted")

    def run(self, context: bpy.types.Context) -> None:
        for mesh in list(_sculpted_meshes(context)):
            meshes.remove_sculpt(mesh)
        collection = tags.active_head(context)
        collection.pop(tags.SHAPE, None)
        for name in SHAPE_SLIDERS:
            setattr(collection.likeness, name, 0.0)


NOTHING_TO_LOCK = "This head has not been sculpted. Sculpt it, or select vertices in Edit Mode"


def _may_lock(context: bpy.types.Context) -> bool:
    """Whether a vertex of the head is selected in Edit Mode, or sculpted otherwise."""
    head = tags.own_face(context)
    return bool(head.data.total_vert_sel if head.mode == "EDIT" else meshes.is_sculpted(head.data))


class LockSkin(LikenessOperator):
    """Keep what you have sculpted, or in Edit Mode what is selected, as it is when the head is solved again; or paint \
the vertex group Lock yourself"""

    bl_label = "Lock"

    poll = needs((tags.own_face, NO_HEAD), (_may_lock, NOTHING_TO_LOCK))

    def run(self, context: bpy.types.Context) -> None:
        head = tags.own_face(context)
        edited = head.mode == "EDIT"
        if edited:
            bpy.ops.object.mode_set(mode="OBJECT")  # vertex groups can be written only in Object Mode
            weights = meshes.array_of(head.data.vertices, "select", kind=bool)
        else:
            weights = expressions.sculpted_weights(head.data)
        expressions.lock(head, weights.astype(np.float32))
        if edited:
            bpy.ops.object.mode_set(mode="EDIT")


class UnlockSkin(LikenessOperator):
    """Let solving again move all of the head's skin"""

    bl_label = "Unlock"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        head = tags.own_face(context)
        locked = head is not None and expressions.LOCK in head.vertex_groups and head.mode != "EDIT"
        return clickable(cls, "" if locked else "Nothing of this head is locked, or it is being edited")

    def run(self, context: bpy.types.Context) -> None:
        expressions.unlock(tags.own_face(context))


def _sculpted_meshes(context: bpy.types.Context) -> Iterator[bpy.types.Mesh]:
    """Meshes of the active head's parts whose basis has been sculpted."""
    collection = tags.active_head(context)
    if collection is None or context.mode != "OBJECT":
        return
    own = [obj.data for obj in tags.objects_of(collection) if tags.PART in obj and obj.type == "MESH"]
    yield from (mesh for mesh in dict.fromkeys(own) if meshes.is_sculpted(mesh))


class ApplyToBody(SlicedOperator, bpy.types.Operator):
    """Write the head's shape, shape keys and skin into the selected MakeHuman or MPFB body"""

    bl_idname = "likeness.apply_to_mpfb"
    bl_label = "Apply to MPFB Body"
    doing = "Baking the skin into the body"

    can_run = poll_of(mpfb.unavailable_reason)

    def steps(self, context: bpy.types.Context) -> Steps:
        return mpfb.apply_steps(context)


_HAIR_DETAIL = tuple(zip(CARD_LEVELS, ("near by", "in a room", "far away"), strict=True))
_CHOICES = tuple((preset.name, preset.label, preset.description) for preset in BY_NAME.values())


def contents(collection: bpy.types.Collection, preset: ExportPreset) -> str:
    """What of a head goes into a file of ``preset``, in words."""
    if preset == STRANDS:
        return "strands"
    parts = [] if preset.one_mesh else ["lashes"]
    if parts and tags.hair_object(collection) is not None:
        parts.insert(0, "hair and its strands" if preset.exporter == "usd" else "hair as cards")
    parts += ["bust"] if tags.part_object(collection, "bust") is not None else []
    return ", ".join([*parts, "brows in the skin", "keys", "maps"])


class ExportHead(LikenessOperator):
    """Write the head into a file for another program, with its shape keys, their animation and, where wanted, bones"""

    bl_idname = "likeness.export"
    bl_options = {"REGISTER"}

    preset: EnumProperty(name="For", items=_CHOICES, default="UNREAL")
    skeleton: BoolProperty(
        name="Skeleton",
        description="With bones of neck, head, jaw, eyes and tongue, and weights; without, what bones do to the face "
        "is in the keys",
        options={"SKIP_SAVE"},
    )
    bone_names: EnumProperty(
        name="Bones",
        items=(
            ("LIKENESS", "Likeness", "root, neck, head, jaw, eye.L, tongue.01 and so on"),
            ("MAKEHUMAN", "MakeHuman", "As in MakeHuman's default skeleton: spine01, neck01, head, tongue00"),
            ("RIGIFY", "Rigify", "As in Rigify's human metarig: spine.003, spine.004, spine.006, tongue"),
        ),
        options={"SKIP_SAVE"},
    )
    webp: BoolProperty(
        name="WebP Textures",
        description="A third of the bytes; for programs that know glTF's EXT_texture_webp, as browsers do",
        options={"SKIP_SAVE"},
    )
    simple_eyes: BoolProperty(
        name="Simple Eyes",
        description="Eyeballs alone, without corneas, tear lines and caruncles: for games that sort surfaces badly",
        options={"SKIP_SAVE"},
    )
    hair_detail: EnumProperty(
        name="Cards",
        items=tuple((str(most), f"{most:,}", f"At most {most:,} triangles: {use}") for most, use in _HAIR_DETAIL),
        options={"SKIP_SAVE"},
    )
    filepath: StringProperty(name="File", subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default="*.fbx;*.glb;*.usdc;*.abc", options={"HIDDEN"})

    poll = needs((tags.active_head, NO_HEAD), (lambda context: context.mode == "OBJECT", "Leave Edit Mode first"))

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        collection = tags.active_head(context)
        name = bpy.path.clean_name(tags.name_of(collection) or collection.name)
        folder = Path(bpy.data.filepath).parent if bpy.data.filepath else Path.home()
        self.skeleton = BY_NAME[self.preset].skeleton
        self.filepath = str(folder / (name + BY_NAME[self.preset].suffix))
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def draw(self, context: bpy.types.Context) -> None:
        preset = BY_NAME[self.preset]
        if preset == STRANDS:
            return
        self.layout.prop(self, "skeleton")
        row = self.layout.row()
        row.enabled = self.skeleton
        row.prop(self, "bone_names")
        if preset.exporter == "gltf":
            self.layout.prop(self, "webp")
        if not preset.one_mesh:
            self.layout.prop(self, "simple_eyes")
            self.layout.prop(self, "hair_detail")
        draw_wrapped(self.layout, f"In the file: {contents(tags.active_head(context), preset)}.")

    def run(self, context: bpy.types.Context) -> set[str] | None:
        preset = BY_NAME[self.preset]
        if not self.filepath or Path(self.filepath).is_dir():
            raise AddonError("Choose a file to write to.")
        path = Path(bpy.path.abspath(self.filepath)).with_suffix(preset.suffix)
        with_bones = self.skeleton if self.properties.is_property_set("skeleton") else None
        chosen = ExportSettings(with_bones, self.webp, self.simple_eyes, int(self.hair_detail), self.bone_names)
        if preset == STRANDS:
            export_strands(context, tags.active_head(context), path)
        else:
            export_head(context, tags.active_head(context), preset, path, chosen)
        bones = ", bones" if preset != STRANDS and (preset.skeleton if with_bones is None else with_bones) else ""
        what = contents(tags.active_head(context), preset)
        self.report({"INFO"}, f"Wrote {path.name} with {what}{bones}.")
