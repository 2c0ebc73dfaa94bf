"""Operators to save the active head's expression as a pose asset and to apply one to the selected heads."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import FloatProperty, StringProperty

from ..errors import AddonError
from ..protocol.names import ARKIT_NAMES
from ..scene.expressions import set_expression
from ..scene.poses import new_pose, pose_of_file, pose_weights
from ..scene.which_mesh import expressive_meshes
from ..ui.text import report_error
from .face_keys import HeadKeysOperator, shown_weights
from .polls import clickable

_NO_FACE = "Select a head that Likeness made, or a mesh with all 52 keys"


class SavePoseAsset(HeadKeysOperator, bpy.types.Operator):
    """Keep the active head's 52 values in this file as a pose asset, which the Asset Browser shows"""

    bl_idname = "likeness.save_pose_asset"
    bl_label = "Save Pose Asset"
    bl_options = {"REGISTER", "UNDO"}

    name: StringProperty(name="Name", default="Pose", options={"SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        weights = shown_weights(context)
        action = new_pose(self.name.strip() or "Pose", weights)
        self.report({"INFO"}, f"The pose {action.name} is in this file. Save the file to keep it.")
        return {"FINISHED"}


class ApplyPoseAsset(bpy.types.Operator):
    """Give a pose asset's expression to the selected heads, or to the only one"""

    bl_idname = "likeness.apply_pose_asset"
    bl_label = "Apply Pose Asset"
    bl_options = {"REGISTER", "UNDO"}

    pose: StringProperty(
        name="Pose", description="Name of its action; empty: what is active in the Asset Browser", options={"SKIP_SAVE"}
    )
    factor: FloatProperty(
        name="Factor", description="How far towards it", default=1.0, min=0.0, max=1.0, options={"SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return clickable(cls, "" if expressive_meshes(context) else _NO_FACE)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            weights = self._weights(context)
        except AddonError as error:
            report_error(self, str(error))
            return {"CANCELLED"}
        for mesh in expressive_meshes(context):
            now = {block.name: block.value for block in mesh.data.shape_keys.key_blocks if block.name in ARKIT_NAMES}
            set_expression(mesh, {k: v + self.factor * (weights.get(k, 0.0) - v) for k, v in now.items()})
        return {"FINISHED"}

    def _weights(self, context: bpy.types.Context) -> dict[str, float]:
        action = bpy.data.actions.get(self.pose) if self.pose else None
        asset = None if self.pose else getattr(context, "asset", None)
        if asset is not None and asset.id_type == "ACTION":
            action = asset.local_id
            if action is None:
                return pose_of_file(Path(asset.full_library_path), asset.name)
        weights = {} if action is None else pose_weights(action)
        if not weights:
            raise AddonError(
                "That is no pose of a face.", "Choose an action that has values of ARKit's keys.", "no_pose"
            )
        return weights


CLASSES = (SavePoseAsset, ApplyPoseAsset)
