"""Operators for a head's armature: add, remove, choose whether keys or bones lead, reset the pose."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty

from ..rig import build, lead
from ..rig.names import EYES_LED, JAW_LED
from ..scene import tags
from ..ui.armature_panel import active_rig
from ..ui.keys_panel import active_face
from .polls import NO_HEAD, clickable

NO_ARMATURE = "This head has no armature: Add Armature makes one"
_HAS_ONE = "This head has its armature"


class AddArmature(bpy.types.Operator):
    """Give the active head bones for neck, head, jaw, eyes and tongue"""

    bl_idname = "likeness.add_armature"
    bl_label = "Add Armature"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if active_face(context) is None:
            return clickable(cls, NO_HEAD)
        return clickable(cls, _HAS_ONE if active_rig(context) is not None else "")

    def execute(self, context: bpy.types.Context) -> set[str]:
        if build.put_rig(tags.active_head(context)) is None:
            self.report({"WARNING"}, "A part of this head or a key of its jaw or eyes is missing: no bones were added.")
            return {"CANCELLED"}
        return {"FINISHED"}


class _OfArmature:
    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if active_face(context) is None:
            return clickable(cls, NO_HEAD)
        return clickable(cls, NO_ARMATURE if active_rig(context) is None else "")


class RemoveArmature(_OfArmature, bpy.types.Operator):
    """Take the active head's bones away; its keys keep their values"""

    bl_idname = "likeness.remove_armature"
    bl_label = "Remove Armature"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        build.remove_rig(tags.active_head(context))
        return {"FINISHED"}


class SetLead(_OfArmature, bpy.types.Operator):
    """Let bones drive the shape keys of jaw or eyes, or keys turn the bones; the face stays as it is"""

    bl_idname = "likeness.set_lead"
    bl_label = "Who Leads"
    bl_options = {"REGISTER", "UNDO"}

    what: EnumProperty(
        name="What", items=((JAW_LED, "Jaw", "The jaw's bone and keys"), (EYES_LED, "Eyes", "The eyes' bones and keys"))
    )
    by_bones: BoolProperty(name="Bones", description="Bones lead; else the keys do")

    def execute(self, context: bpy.types.Context) -> set[str]:
        lead.set_lead(active_face(context), active_rig(context), self.what, self.by_bones)
        return {"FINISHED"}


class ResetPose(_OfArmature, bpy.types.Operator):
    """Put every bone of the active head to rest"""

    bl_idname = "likeness.reset_pose"
    bl_label = "Reset Pose"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        lead.reset_pose(active_face(context), active_rig(context))
        return {"FINISHED"}


CLASSES = (AddArmature, RemoveArmature, SetLead, ResetPose)
