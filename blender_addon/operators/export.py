"""Operator to export a head for another program."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..errors import AddonError
from ..export.presets import BY_NAME, STRANDS, ExportPreset
from ..export.write import export_head, export_strands
from ..objects import tags
from ..shared.message import CARD_LEVELS
from ..text import NO_HEAD, LikenessOperator, clickable, draw_wrapped

_HAIR_DETAIL = tuple(zip(CARD_LEVELS, ("near by", "in a room", "far away"), strict=True))
BALD = (
    "The head's strands are not in this file. For hair in it choose Hair: Cards in Options, Solve Again, and export "
    "again; or export Strands (Alembic) too."
)
_CHOICES = tuple((preset.name, preset.label, preset.description) for preset in BY_NAME.values())


def left_bald(collection: bpy.types.Collection, preset: ExportPreset) -> bool:
    """Whether a file of ``preset``, which can hold cards, lacks the hair of a head that has strands alone."""
    strands, cards = (tags.hair_object(collection, kind) for kind in ("CURVES", "MESH"))
    return preset != STRANDS and not preset.one_mesh and strands is not None and cards is None


class ExportHead(LikenessOperator):
    """Write the head into a file for another program, with its shape keys, their animation and, where wanted, bones"""

    bl_idname = "likeness.export"
    bl_label = "Export Head"
    bl_options = {"REGISTER"}

    preset: EnumProperty(name="For", items=_CHOICES, default="UNREAL")
    skeleton: BoolProperty(
        name="Skeleton",
        description="With bones of neck, head, jaw, eyes and tongue, and weights; without, what bones do to the face "
        "is in the keys",
        options={"SKIP_SAVE"},
    )
    bone_names: EnumProperty(
        name="Bone Names",
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
        name="Hair Cards",
        items=tuple((str(most), f"{most:,}", f"At most {most:,} triangles: {use}") for most, use in _HAIR_DETAIL),
        options={"SKIP_SAVE"},
    )
    filepath: StringProperty(name="File", subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default="*.fbx;*.glb;*.abc", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        why = "" if tags.active_head(context) else NO_HEAD
        return clickable(cls, why or ("Leave Edit Mode first" if context.mode != "OBJECT" else ""))

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
            if left_bald(tags.active_head(context), preset):
                draw_wrapped(self.layout, BALD, icon="ERROR")
            else:
                self.layout.prop(self, "hair_detail")

    def run(self, context: bpy.types.Context) -> set[str] | None:
        preset = BY_NAME[self.preset]
        if not self.filepath or Path(self.filepath).is_dir():
            raise AddonError("Choose a file to write to.")
        path = Path(bpy.path.abspath(self.filepath)).with_suffix(preset.suffix)
        with_bones = self.skeleton if self.properties.is_property_set("skeleton") else None
        settings = with_bones, self.webp, self.simple_eyes, int(self.hair_detail), self.bone_names
        if preset == STRANDS:
            export_strands(context, tags.active_head(context), path)
        else:
            export_head(context, tags.active_head(context), preset, path, *settings)
        bald = left_bald(tags.active_head(context), preset)
        self.report({"WARNING"} if bald else {"INFO"}, f"Wrote {path.name}. {BALD if bald else ''}".rstrip())
