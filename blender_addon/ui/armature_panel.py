"""Panel of the active head's armature: add or remove it, and choose whether keys or bones lead."""

from __future__ import annotations

import bpy

from ..rig.lead import bones_lead
from ..rig.names import EYE_AIM, EYES_LED, JAW_LED
from ..scene import tags
from .keys_panel import active_face
from .panel import SidebarPanel


def active_rig(context: bpy.types.Context) -> bpy.types.Object | None:
    """The active head's armature object, None if there is none."""
    collection = tags.active_head(context)
    return None if collection is None else tags.rig_object(collection)


class ArmaturePanel(SidebarPanel, bpy.types.Panel):
    """Bones."""

    bl_idname = "LIKENESS_PT_armature"
    bl_label = "Armature"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012 (Blender wants a set)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return active_face(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout, head, rig = self.layout, active_face(context), active_rig(context)
        if rig is None:
            layout.operator("likeness.add_armature", icon="ARMATURE_DATA")
            return
        for what, label in ((JAW_LED, "Jaw Led by"), (EYES_LED, "Eyes Led by")):
            led = bones_lead(head, rig, what)
            row = layout.row(align=True)
            row.label(text=label)
            for by_bones, name in ((False, "Keys"), (True, "Bones")):
                button = row.operator("likeness.set_lead", text=name, depress=led == by_bones)
                button.what, button.by_bones = what, by_bones
        row = layout.row()
        row.enabled = bones_lead(head, rig, EYES_LED)
        row.prop(rig, f'["{EYE_AIM}"]', text="Eyes at Target", slider=True)
        row = layout.row(align=True)
        row.operator("likeness.reset_pose", icon="LOOP_BACK")
        row.operator("likeness.remove_armature", text="", icon="TRASH")


CLASSES = (ArmaturePanel,)
