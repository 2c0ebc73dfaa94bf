"""Sidebar panels for expressions: from files, from rig to rig, and keys for meshes without any."""

import bpy

from ..objects.tags import active_head
from ..operators.transfer_keys import POINT_NAMES, MappingPresets, settings_of, source_of
from ..text import draw_wrapped, time_left
from ..transfer.meshes import points_on
from ..transfer.sliced import current_work
from .panel import ClosedPanel


class KeyLinkList(bpy.types.UIList):
    """One row per link: from, to. How much is below the list, where there is room for it."""

    bl_idname = "LIKENESS_UL_key_links"

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flt_flag=0):
        row = layout.row(align=True)
        row.prop(item, "source", text="", emboss=False)
        row.prop(item, "target", text="", emboss=False)


class ExpressionPanel(ClosedPanel, bpy.types.Panel):
    """Expressions onto rigs."""

    bl_label = "Expressions"

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, settings_of(context)
        work = current_work()
        if work is not None:
            box = layout.box()
            draw_wrapped(box, work.sentence)
            text = f"{work.fraction:.0%}  {time_left(work.seconds_left)}".strip()
            box.progress(factor=work.fraction, text=text)
            box.operator("likeness.cancel_transfer", text="Cancel (ESC)", icon="X")
            layout = layout.column()
            layout.enabled = False
        layout.operator_context = "INVOKE_DEFAULT"
        row = layout.column(align=True)
        row.operator("likeness.expression_from_photo", text="Expression from Photo…", icon="IMAGE_DATA")
        row.operator("likeness.animate_from_video", text="Animate from Video…", icon="FILE_MOVIE")
        row.operator("likeness.load_expression_file", text="Load Expression File…", icon="IMPORT")
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(settings, "person")
        column.separator()
        column.prop(settings, "source")
        source = source_of(context)
        if source is None:
            draw_wrapped(layout, "Choose a mesh with shape keys as source, and select the meshes to transfer to.")
        elif settings.source is None:
            active = ", the active object" if source == context.active_object else ""
            draw_wrapped(layout, f"The source is {source.name}{active}.", icon="INFO")
        column.prop(settings, "gain")
        column = layout.column(align=True)
        column.scale_y = 1.2
        column.operator("likeness.transfer_to_selected", icon="SHAPEKEY_DATA")
        column.operator("likeness.make_arkit_keys", icon="ADD")
        column.operator_menu_enum("likeness.make_viseme_keys", "kind", icon="ADD")
        if active_head(context) is None:  # otherwise the head's panel has this button
            layout.operator("likeness.reset_selected", icon="LOOP_BACK")


class MappingPanel(ClosedPanel, bpy.types.Panel):
    """The artist's own mapping."""

    bl_parent_id = ExpressionPanel.bl_idname

    def draw_header(self, context: bpy.types.Context) -> None:
        self.layout.prop(settings_of(context), "use_links", text="")

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, settings_of(context)
        layout.operator("likeness.suggest_mapping", icon="SHADERFX")
        row = layout.row()
        row.template_list(KeyLinkList.bl_idname, "", settings, "links", settings, "active_link", rows=5)
        column = row.column(align=True)
        column.operator("likeness.add_link", text="", icon="ADD")
        column.operator("likeness.remove_link", text="", icon="REMOVE")
        row = layout.row(align=True)
        row.menu(MappingPresets.bl_idname, text=MappingPresets.bl_label)
        row.operator("likeness.keep_mapping", text="", icon="ADD")
        row.operator("likeness.keep_mapping", text="", icon="REMOVE").remove_active = True
        if 0 <= settings.active_link < len(settings.links):
            _draw_link(layout, context, settings.links[settings.active_link])


def _draw_link(layout: bpy.types.UILayout, context: bpy.types.Context, link: bpy.types.PropertyGroup) -> None:
    source = source_of(context)
    target = next((o for o in context.selected_objects if o != source and getattr(o.data, "shape_keys", None)), None)
    column = layout.column(align=True)
    for obj, field in ((source, "source"), (target, "target")):
        if obj is not None:
            column.prop_search(link, field, obj.data.shape_keys, "key_blocks")
        else:
            column.prop(link, field)
    for field in ("weight", "lowest", "highest"):
        column.prop(link, field)


class PointsPanel(ClosedPanel, bpy.types.Panel):
    """Points that the artist marks where a face is not found by itself."""

    bl_parent_id = ExpressionPanel.bl_idname
    bl_label = "Corresponding Points"

    def draw(self, context: bpy.types.Context) -> None:
        layout, obj = self.layout, context.active_object
        draw_wrapped(layout, "If Make ARKit Keys misses the face, mark at least four points on both meshes.")
        if obj is None or obj.type != "MESH":
            return
        present = points_on(obj)
        column = layout.column(align=True)
        for name in POINT_NAMES:
            done = name in present
            text = name.replace("_", " ").capitalize()
            column.operator(
                "likeness.mark_point", text=text, icon="CHECKMARK" if done else "DOT", depress=done
            ).name = name
        layout.operator("likeness.clear_points", icon="TRASH")


class PosePanel(ClosedPanel, bpy.types.Panel):
    """Where the head's turning comes from and goes to."""

    bl_idname = "LIKENESS_PT_head_pose"
    bl_parent_id = ExpressionPanel.bl_idname
    bl_label = "Head Pose"

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, settings_of(context)
        layout.use_property_split = True
        layout.use_property_decorate = False
        for end in ("pose_from", "pose_to"):
            layout.prop(settings, end)
            obj = getattr(settings, end)
            if obj is not None and obj.type == "ARMATURE":
                layout.prop_search(settings, f"{end}_bone", obj.data, "bones")
