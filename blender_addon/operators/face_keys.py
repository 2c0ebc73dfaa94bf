"""Operators for shape keys and poses: reset, lock, keyframe, save to a file, pose assets."""

from pathlib import Path

import bpy
from bpy.props import EnumProperty, FloatProperty, StringProperty
from bpy_extras.io_utils import ExportHelper

from ..errors import AddonError
from ..objects import tags
from ..protocol.clips import pose_json
from ..rig.lead import keyframe, led_keys
from ..scene.expressions import STARTER_POSES, new_pose, pose_of_file, pose_weights, set_expression
from ..scene.key_shapes import KEY_REGIONS, SCULPTED, begin_sculpting, end_sculpting, mirror_key, reset_key
from ..shared.names import ARKIT_NAMES
from ..text import NO_FACE, NO_HEAD, LikenessOperator, poll_of


class HeadKeysOperator:
    """Mix-in: an operator on the active head's keys."""

    poll = poll_of(lambda context: "" if tags.head_keys(context) is not None else NO_HEAD)


def shown_weights(context: bpy.types.Context) -> dict[str, float]:
    """Value of each of the active head's ARKit keys."""
    return {block.name: block.value for block in tags.head_keys(context) if block.name in ARKIT_NAMES}


class ResetKeys(HeadKeysOperator, LikenessOperator):
    """Set these keys of the active head to 0"""

    group: StringProperty(name="Group", description="One of the panel's groups; empty: all keys", options={"SKIP_SAVE"})

    def run(self, context: bpy.types.Context) -> set[str] | None:
        if self.group and self.group not in KEY_REGIONS:
            return self.refuse(f"There is no group {self.group}; there are {', '.join(KEY_REGIONS)}.")
        beginnings = KEY_REGIONS[self.group] if self.group else ("",)
        others = {b.name: b.value for b in tags.head_keys(context) if not b.name.startswith(beginnings)}
        set_expression(tags.active_face(context), others)


class LockKeys(LikenessOperator):
    """Keep the key's shape when the head is solved again, and its value when a pose, a photo or Neutral is put on; or \
have done with that"""

    names: StringProperty(name="Names", description="Of keys, with spaces between them", options={"SKIP_SAVE"})

    def run(self, context: bpy.types.Context) -> None:
        chosen = [block for block in tags.head_keys(context) or () if block.name in self.names.split()]
        locked = any(block.lock_shape for block in chosen)
        for block in chosen:
            block.lock_shape = not locked


class _OneKeyOperator(HeadKeysOperator):
    """Mix-in: an operator on the shape of one key of a head, outside Sculpt Mode."""

    key: StringProperty(name="Key", description="Its name; empty: the active one", options={"SKIP_SAVE"})

    def run(self, context: bpy.types.Context) -> None:
        head = tags.own_face(context)
        chosen = self.key or getattr(head and head.active_shape_key, "name", "")
        if chosen not in ARKIT_NAMES or chosen not in head.data.shape_keys.key_blocks:
            raise AddonError("Choose one of the head's 52 keys.", "Make it the active one.", "no_key")
        mode = head.mode
        bpy.ops.object.mode_set(mode="OBJECT")
        try:
            self.change(head, chosen)
        finally:
            bpy.ops.object.mode_set(mode=mode)


class MirrorKey(_OneKeyOperator, LikenessOperator):
    """Give the other side's key the mirror image of the active one; in a key of both sides, give the half that was \
sculpted less the other one's mirror image"""

    bl_label = "Mirror This Key"

    def change(self, head: bpy.types.Object, key: str) -> None:
        self.report({"INFO"}, f"{mirror_key(head.data, key)} is the mirror image now.")


class ResetKey(_OneKeyOperator, LikenessOperator):
    """Give the active key the shape that it had when the head was solved"""

    bl_label = "Reset This Key"

    def change(self, head: bpy.types.Object, key: str) -> None:
        reset_key(head.data, key)


class SculptKey(HeadKeysOperator, LikenessOperator):
    """Sculpt a key in place, seen at full strength; the rest shape and the other keys stay. Once more ends it, and \
locks the key if it was changed"""

    key: EnumProperty(name="Key", items=[(name, name, "") for name in sorted(ARKIT_NAMES)], options={"SKIP_SAVE"})

    def run(self, context: bpy.types.Context) -> None:
        head = tags.own_face(context)
        if head is None or self.key not in head.data.shape_keys.key_blocks:
            raise AddonError(f"The head has no key {self.key}.", "Solve it again.", "no_key")
        if SCULPTED in head:
            end_sculpting(head)
        else:
            tags.select_alone(head, context.view_layer)
            begin_sculpting(head, self.key)


class KeyframeKeys(HeadKeysOperator, LikenessOperator):
    """Insert a keyframe of the active head's keys, or of the bones that lead them, at the current frame"""

    bl_label = "Keyframe Face"

    names: StringProperty(
        name="Names", description="Of keys, with spaces between them; empty: all 52", options={"SKIP_SAVE"}
    )

    def run(self, context: bpy.types.Context) -> None:
        wanted = set(self.names.split()) or set(ARKIT_NAMES)
        driven, led = 0, led_keys(tags.active_face(context)) & wanted
        for block in tags.head_keys(context):
            if block.name not in wanted or block.name in led:
                continue
            try:
                driven += not block.keyframe_insert("value")
            except (RuntimeError, TypeError):  # a linked action, or a key with a foreign driver
                driven += 1
        if led:
            try:
                keyframe(tags.active_face(context))
            except (RuntimeError, TypeError):
                driven += len(led)
        if driven:
            self.report({"WARNING"}, f"{driven} of the keys cannot have keyframes here: they are linked or driven.")


class SavePose(HeadKeysOperator, LikenessOperator, ExportHelper):
    """Write the active head's 52 values into an expression file, which Load Expression File puts onto any head"""

    bl_label = "Save Expression File"
    bl_options = {"REGISTER"}
    filename_ext = ".json"

    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def run(self, context: bpy.types.Context) -> set[str] | None:
        path = Path(bpy.path.abspath(self.filepath))
        try:
            path.write_text(pose_json(shown_weights(context)), "utf-8")
        except OSError as error:
            raise AddonError(f"{path.name} could not be written ({error.strerror}). Choose another folder.") from error
        self.report({"INFO"}, f"Wrote {path.name}.")


class SavePoseAsset(HeadKeysOperator, LikenessOperator):
    """Keep the active head's 52 values in this file as a pose asset, which the Asset Browser shows"""

    name: StringProperty(name="Name", default="Pose", options={"SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def run(self, context: bpy.types.Context) -> None:
        action = new_pose(self.name.strip() or "Pose", shown_weights(context))
        self.report({"INFO"}, f"The pose {action.name} is in this file. Save the file to keep it.")


class ApplyPoseAsset(LikenessOperator):
    """Give a pose asset's expression to the selected heads, or to the only one"""

    pose: StringProperty(
        name="Pose", description="Name of its action; empty: what is active in the Asset Browser", options={"SKIP_SAVE"}
    )
    factor: FloatProperty(
        name="Factor", description="How far towards it", default=1.0, min=0.0, max=1.0, options={"SKIP_SAVE"}
    )

    poll = poll_of(lambda context: "" if tags.expressive_meshes(context) else NO_FACE)

    def run(self, context: bpy.types.Context) -> None:
        weights = self._weights(context)
        for mesh in tags.expressive_meshes(context):
            now = {block.name: block.value for block in mesh.data.shape_keys.key_blocks if block.name in ARKIT_NAMES}
            set_expression(mesh, {k: v + self.factor * (weights.get(k, 0.0) - v) for k, v in now.items()})

    def _weights(self, context: bpy.types.Context) -> dict[str, float]:
        action = bpy.data.actions.get(self.pose) if self.pose else None
        if action is None and self.pose in STARTER_POSES:
            return dict(STARTER_POSES[self.pose])
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


class KeepStarterPoses(LikenessOperator):
    """Keep the emotions and visemes in this file as pose assets, to be changed or dragged out of the Asset Browser"""

    bl_label = "Keep as Assets"

    def run(self, context: bpy.types.Context) -> None:
        for name in sorted(STARTER_POSES.keys() - set(bpy.data.actions.keys())):
            new_pose(name, dict.fromkeys(sorted(ARKIT_NAMES), 0.0) | dict(STARTER_POSES[name]))
        self.report({"INFO"}, "Emotions and visemes are in this file. Save the file to keep them.")
