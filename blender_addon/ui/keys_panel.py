"""Panels of the 52 keys (sliders by region, both sides at once, search, pictures) and of the armature."""

from collections.abc import Mapping
from functools import lru_cache

import bpy
import numpy as np
from bpy.props import BoolProperty, FloatProperty, StringProperty

from ..objects import tags
from ..objects.actions import animated_keys
from ..rig.bones import EYE_AIM, EYES_LED, JAW_LED, LEADABLE_KEYS
from ..rig.lead import bones_drive_keys, led_keys, set_keys
from ..scene.expressions import EMOTIONS, STARTER_POSES, VISEMES, poses
from ..scene.key_shapes import KEY_REGIONS, MADE, SCULPTED
from ..shared.names import ARKIT_NAMES
from .panel import ClosedPanel
from .pictures import picture_icon

_LEFT_WIDTH = 0.66
"""Width of the left one of two sliders in a row, which has the label."""
_LARGE = 3.0
"""Scale of the large pictures, in button heights."""


@lru_cache(maxsize=64)
def key_rows(group: str, search: str = "") -> tuple[tuple[str, ...], ...]:
    """Keys of a group whose names contain ``search``, in rows; both sides share a row, left first."""
    rows: dict[str, list[str]] = {}
    for name in sorted(ARKIT_NAMES):
        if name.startswith(KEY_REGIONS[group]) and search.lower() in name.lower():
            rows.setdefault(both_sides(name) or name, []).append(name)
    return tuple(tuple(names) for _, names in sorted(rows.items()))


def both_sides(name: str) -> str:
    """``mouthSmile`` for ``mouthSmileLeft`` or ``mouthSmileRight``; "" for a key without another side (``mouthLeft``
    and ``jawLeft`` are directions, not sides)."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        base = name.removesuffix(side)
        if base != name and base + other in ARKIT_NAMES and base not in ("mouth", "jaw"):
            return base
    return ""


class LikenessKeys(bpy.types.PropertyGroup):
    """Display settings of the sliders, and sliders without storage of their own: one per pair of keys, and one per key
    that a bone may lead, because such a key's own value cannot be dragged then."""

    symmetric: BoolProperty(name="Both Sides", description="Move left and right together", default=True)
    pictures: BoolProperty(name="Pictures", description="Show the keys' pictures large, above their sliders")
    search: StringProperty(name="Search", description="Part of a key's name", options={"TEXTEDIT_UPDATE"})


def _slider(name: str, description: str, keys: tuple[str, ...]) -> FloatProperty:
    """A slider that shows the mean of those of ``keys`` that the active face has, and sets them."""

    def present() -> list[bpy.types.ShapeKey]:
        blocks = tags.head_keys(bpy.context)
        return [] if blocks is None else [blocks[key] for key in keys if key in blocks]

    def read(_: bpy.types.PropertyGroup) -> float:
        values = [block.value for block in present()]
        return sum(values) / len(values) if values else 0.0

    def write(_: bpy.types.PropertyGroup, value: float) -> None:
        for block in present():
            set_keys(tags.active_face(bpy.context), {block.name: value})

    words = {"name": name, "description": description, "subtype": "FACTOR", "precision": 3}
    return FloatProperty(**words, min=0.0, max=1.0, get=read, set=write, options={"SKIP_SAVE"})


for _base in sorted({both_sides(name) for name in ARKIT_NAMES} - {""}):
    _sides = (f"{_base}Left", f"{_base}Right")
    LikenessKeys.__annotations__[_base] = _slider(_base, " and ".join(_sides), _sides)
for _name in sorted(LEADABLE_KEYS):
    LikenessKeys.__annotations__[_name] = _slider(_name, "A bone leads this key: the slider poses it", (_name,))


class PosesMenu(bpy.types.Menu):
    """Emotions, visemes, and the pose assets of this file"""

    bl_idname = "LIKENESS_MT_poses"
    bl_label = "Poses"

    def draw(self, context: bpy.types.Context) -> None:
        layout, kept = self.layout, [action.name for action in poses()]
        for number, names in enumerate((EMOTIONS, VISEMES, [name for name in kept if name not in STARTER_POSES])):
            if number and names:
                layout.separator()
            for name in names:
                layout.operator("likeness.apply_pose_asset", text=name, translate=False).pose = name
        layout.separator()
        layout.operator("likeness.keep_starter_poses", icon="ASSET_MANAGER")


def draw_in_asset_browser(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    """Entry in the Asset Browser's context menu, for actions."""
    asset = getattr(context, "asset", None)
    if asset is not None and asset.id_type == "ACTION":
        menu.layout.separator()
        menu.layout.operator("likeness.apply_pose_asset", text="Apply to Face", icon="SHAPEKEY_DATA").pose = ""


def register() -> None:
    """Add our entry to the Asset Browser's menu."""
    bpy.types.ASSETBROWSER_MT_context_menu.append(draw_in_asset_browser)


def unregister() -> None:
    """Remove our entry."""
    bpy.types.ASSETBROWSER_MT_context_menu.remove(draw_in_asset_browser)


class KeysPanel(ClosedPanel, bpy.types.Panel):
    """The 52 keys."""

    bl_label = "Face Keys"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return tags.head_keys(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.operator_context = "INVOKE_DEFAULT"
        face = tags.active_face(context)
        led, keys = led_keys(face), dict(face.data.shape_keys.key_blocks.items())  # Blender's own lookup is linear
        layout, settings = self.layout, context.scene.likeness_keys
        curves = dict(animated_keys(face.data.shape_keys))
        row = layout.row(align=True)
        row.prop(settings, "search", text="", icon="VIEWZOOM")
        row.prop(settings, "symmetric", text="", icon="MOD_MIRROR")
        row.prop(settings, "pictures", text="", icon="IMAGE_DATA")
        row.operator("likeness.keyframe_keys", text="", icon="KEY_HLT").names = ""
        row.operator("likeness.reset_keys", text="", icon="LOOP_BACK").group = ""
        row = layout.row(align=True)
        row.operator("likeness.load_expression_file", text="Load…", icon="IMPORT")
        row.operator("likeness.save_pose", text="Save…", icon="EXPORT")
        row = layout.row(align=True)
        row.menu(PosesMenu.bl_idname, icon="ASSET_MANAGER")
        row.operator("likeness.save_pose_asset", text="", icon="ADD")
        if MADE in face.data:
            row, active = layout.row(align=True), face.active_shape_key
            if SCULPTED in face:
                sculpted = face[SCULPTED]["key"]
                row.operator("likeness.sculpt_key", text=f"Done with {sculpted}", depress=True).key = sculpted
            else:
                row.operator_menu_enum("likeness.sculpt_key", "key", text="Sculpt Key", icon="SCULPTMODE_HLT")
            if active is not None and active.name in ARKIT_NAMES:
                row.operator("likeness.mirror_key", text="", icon="MOD_MIRROR").key = active.name
                row.operator("likeness.reset_key", text="", icon="LOOP_BACK").key = active.name
        for group in KEY_REGIONS:
            rows = key_rows(group, settings.search)
            if not rows:
                continue
            if settings.search:
                body = layout.column(align=True)
            else:
                header, body = layout.panel(f"LIKENESS_keys_{group}", default_closed=group != "Mouth")
                header.label(text=group)
                header.operator("likeness.reset_keys", text="", icon="LOOP_BACK", emboss=False).group = group
                if body is None:
                    continue
                body = body.column(align=True)
            body.use_property_decorate = False
            for names in rows:
                row, locked = body.row(align=True), any(name in keys and keys[name].lock_shape for name in names)
                line = row.row(align=True)
                line.active = not locked
                icon = "LOCKED" if locked else "UNLOCKED"
                row.operator("likeness.lock_keys", text="", icon=icon, emboss=False).names = " ".join(names)
                if len(names) == 2 and settings.symmetric:
                    cell = _pictured(line, names, settings.pictures)
                    cell.prop(settings, both_sides(names[0]), slider=True)
                    icon = _keyframe_icon(curves, names, context.scene.frame_current)
                    row.operator("likeness.keyframe_keys", text="", icon=icon, emboss=False).names = " ".join(names)
                    continue
                texts = (f"{both_sides(names[0])} L", "R") if len(names) == 2 else names
                line = line.split(factor=_LEFT_WIDTH, align=True) if len(names) == 2 else line
                for name, text in zip(names, texts, strict=True):
                    if name not in led and name not in keys:
                        continue
                    cell = _pictured(line, (name,), settings.pictures)
                    if name in led:
                        cell.prop(settings, name, text=text, slider=True)
                    else:
                        cell.prop(keys[name], "value", text=text, slider=True)


def _keyframe_icon(curves: Mapping[str, bpy.types.FCurve], names: tuple[str, ...], frame: int) -> str:
    """Blender's sign beside a slider for several keys: whether they are animated, and have keyframes at ``frame``."""
    animated = [curves[name] for name in names if name in curves]
    if not animated:
        return "DECORATE"
    frames = np.empty(2 * max(len(curve.keyframe_points) for curve in animated), np.float32)
    for curve in animated:
        found = frames[: 2 * len(curve.keyframe_points)]
        curve.keyframe_points.foreach_get("co", found)
        if len(animated) < len(names) or not (np.abs(found[::2] - frame) < 0.5).any():
            return "DECORATE_ANIMATE"
    return "DECORATE_KEYFRAME"


def _pictured(line: bpy.types.UILayout, names: tuple[str, ...], large: bool) -> bpy.types.UILayout:
    """Layout for a slider: beside the pictures of its keys, or below large ones."""
    cell = line.column(align=True) if large else line.row(align=True)
    pictures = cell.row(align=True) if large else cell
    for icon in filter(None, map(picture_icon, names)):
        if large:
            pictures.template_icon(icon_value=icon, scale=_LARGE)
        else:
            pictures.label(text="", icon_value=icon)
    return cell


class ArmaturePanel(ClosedPanel, bpy.types.Panel):
    """Bones."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return tags.own_face(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout, head, rig = self.layout, tags.own_face(context), tags.active_rig(context)
        if rig is None:
            layout.operator("likeness.add_armature", icon="ARMATURE_DATA")
            return
        for what, label in ((JAW_LED, "Jaw Led by"), (EYES_LED, "Eyes Led by")):
            led = bones_drive_keys(head, rig, what)
            row = layout.row(align=True)
            row.label(text=label)
            for by_bones, name in ((False, "Keys"), (True, "Bones")):
                button = row.operator("likeness.set_lead", text=name, depress=led == by_bones)
                button.what, button.by_bones = what, by_bones
        row = layout.row()
        row.enabled = bones_drive_keys(head, rig, EYES_LED)
        row.prop(rig, f'["{EYE_AIM}"]', text="Eyes at Target", slider=True)
        row = layout.row(align=True)
        row.operator("likeness.reset_pose", icon="LOOP_BACK")
        row.operator("likeness.remove_armature", text="", icon="TRASH")
