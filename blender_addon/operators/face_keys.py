"""Operators for shape keys: reset (all or a group), lock, keyframe all at once, save to a file."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import StringProperty
from bpy_extras.io_utils import ExportHelper

from ..protocol.names import ARKIT_NAMES
from ..rig.lead import keyframe, led_keys
from ..scene.expressions import set_expression
from ..transfer.clips import pose_json
from ..ui.keys_panel import GROUPS, active_face, head_keys
from ..ui.text import report_error
from .polls import NO_HEAD, clickable


class HeadKeysOperator:
    """Mix-in: an operator on the active head's keys."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return clickable(cls, "" if head_keys(context) is not None else NO_HEAD)


def shown_weights(context: bpy.types.Context) -> dict[str, float]:
    """Value of each of the active head's ARKit keys."""
    return {block.name: block.value for block in head_keys(context) if block.name in ARKIT_NAMES}


class ResetKeys(HeadKeysOperator, bpy.types.Operator):
    """Set these keys of the active head to 0"""

    bl_idname = "likeness.reset_keys"
    bl_label = "Reset Keys"
    bl_options = {"REGISTER", "UNDO"}

    group: StringProperty(name="Group", description="One of the panel's groups; empty: all keys", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        if self.group and self.group not in GROUPS:
            self.report({"WARNING"}, f"There is no group {self.group}; there are {', '.join(GROUPS)}.")
            return {"CANCELLED"}
        beginnings = GROUPS[self.group] if self.group else ("",)
        others = {b.name: b.value for b in head_keys(context) if not b.name.startswith(beginnings)}
        set_expression(active_face(context), others)
        return {"FINISHED"}


class LockKeys(bpy.types.Operator):
    """Keep the key's shape when the head is solved again, and its value when a pose, a photo or Neutral is put on; or \
have done with that"""

    bl_idname = "likeness.lock_keys"
    bl_label = "Lock Keys"
    bl_options = {"REGISTER", "UNDO"}

    names: StringProperty(name="Names", description="Of keys, with spaces between them", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        chosen = [block for block in head_keys(context) or () if block.name in self.names.split()]
        locked = any(block.lock_shape for block in chosen)
        for block in chosen:
            block.lock_shape = not locked
        return {"FINISHED"}


class KeyframeKeys(HeadKeysOperator, bpy.types.Operator):
    """Insert a keyframe of each of the active head's 52 keys, or of the bone that leads it, at the current frame"""

    bl_idname = "likeness.keyframe_keys"
    bl_label = "Keyframe Face"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        driven, led = 0, led_keys(active_face(context))
        for block in head_keys(context):
            if block.name not in ARKIT_NAMES or block.name in led:
                continue
            try:
                driven += not block.keyframe_insert("value")
            except (RuntimeError, TypeError):  # a linked action, or a key with a foreign driver
                driven += 1
        if led:
            try:
                keyframe(active_face(context))
            except (RuntimeError, TypeError):
                driven += len(led)
        if driven:
            self.report({"WARNING"}, f"{driven} of the keys cannot have keyframes here: they are linked or driven.")
        return {"FINISHED"}


class SavePose(HeadKeysOperator, bpy.types.Operator, ExportHelper):
    """Write the active head's 52 values into an expression file, which Load Expression File puts onto any head"""

    bl_idname = "likeness.save_pose"
    bl_label = "Save Expression File"
    bl_options = {"REGISTER"}
    filename_ext = ".json"

    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        weights = shown_weights(context)
        path = Path(bpy.path.abspath(self.filepath))
        try:
            path.write_text(pose_json(weights), "utf-8")
        except OSError as error:
            report_error(self, f"{path.name} could not be written ({error.strerror}). Choose another folder.")
            return {"CANCELLED"}
        self.report({"INFO"}, f"Wrote {path.name}.")
        return {"FINISHED"}


CLASSES = (ResetKeys, LockKeys, KeyframeKeys, SavePose)
