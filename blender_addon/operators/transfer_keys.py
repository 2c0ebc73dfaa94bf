"""Operator Make ARKit Keys on Selected, and operators for the points that an artist marks for it."""

from __future__ import annotations

import bpy
import numpy as np
from bpy.props import BoolProperty, StringProperty

from ..errors import AddonError
from ..transfer import meshes
from ..transfer.keys_for_mesh import transfer_keys
from ..transfer.sliced import SlicedOperator, Steps
from ..ui.text import report_error
from .polls import clickable
from .transfer_settings import NO_SOURCE, selected_meshes, source_of

POINT_NAMES = (
    "nose_tip", "chin", "eye_outer_left", "eye_inner_left", "eye_inner_right", "eye_outer_right", "mouth_left",
    "mouth_right", "lip_upper", "lip_lower", "nose_bridge", "nose_base",
)  # fmt: skip
MOST_VERTICES = 400_000


class MakeArkitKeys(SlicedOperator, bpy.types.Operator):
    """Give the selected meshes the source's ARKit shape keys, whatever their topology"""

    bl_idname = "likeness.make_arkit_keys"
    bl_label = "Make ARKit Keys on Selected"
    bl_options = {"REGISTER", "UNDO"}
    doing = "Making shape keys"

    replace: BoolProperty(name="Replace", description="Replace keys that the mesh already has", default=False)

    @classmethod
    def can_run(cls, context: bpy.types.Context) -> bool:
        if context.mode != "OBJECT":
            return clickable(cls, "Switch to Object Mode")
        return clickable(cls, "" if source_of(context) else NO_SOURCE)

    def steps(self, context: bpy.types.Context) -> Steps:
        source = source_of(context)
        targets = selected_meshes(context, source)
        names = meshes.keys_to_give(source)
        own = {part.name for part in source.children}
        targets = [target for target in targets if target.name not in own]
        if not targets:
            raise AddonError("Only parts of the source are selected.", "Select other meshes.", "no_target")
        made, problems = [], []
        for number, target in enumerate(targets):
            try:
                for done in (steps := _make(source, target, names, self.replace, made)):
                    yield (number + done) / len(targets)
            except AddonError as error:
                if len(targets) == 1:
                    raise
                problems.append(f"{target.name}: {error}")
            finally:
                steps.close()
        keys = "key" if sum(made) == 1 else "keys"
        done = f"Made {sum(made)} {keys} on {len(made)} mesh{'' if len(made) == 1 else 'es'}."
        return "\n".join([done, *problems])


def _make(source: bpy.types.Object, target: bpy.types.Object, names: tuple[str, ...], replace: bool, made: list[int]):
    """Create all keys of one target, or none if closed early; yields the fraction done."""
    if target.data.library is not None:
        raise AddonError(f"{target.name} is linked from another file.", "Make it local first.", "linked")
    if len(target.data.vertices) > MOST_VERTICES:
        raise AddonError(f"{target.name} has too many vertices.", "Select the head without subdivision.", "too_large")
    has = {block.name for block in target.data.shape_keys.key_blocks} if target.data.shape_keys else set()
    wanted = [name for name in names if replace or name not in has]
    if not wanted:
        raise AddonError(f"{target.name} has all these keys already.", "Choose Replace to make them anew.", "has_keys")
    parts = meshes.source_parts(source, wanted)
    rest, triangles = meshes.world_rest(target), meshes.triangles_of(target)
    marked = meshes.marked_points(source, target)
    yield 0.01
    blinks = [number for number, name in enumerate(wanted) if name.startswith("eyeBlink")]
    steps = transfer_keys(parts, rest, triangles, marked, blinks)
    while True:
        try:
            yield 0.01 + 0.9 * next(steps)
        except StopIteration as stop:
            motions = stop.value
            break
    own, mesh = target.name, target.data.name  # an undo meanwhile may have replaced the data
    new, finished = [name for name in wanted if name not in has], False
    before = {name: meshes.key_coordinates(target, name) for name in wanted if name in has}
    try:
        for number, name in enumerate(wanted):
            obj = bpy.data.objects.get(own)
            if obj is None or obj.data.name != mesh or len(obj.data.vertices) != motions.shape[1]:
                raise AddonError(f"{own} was changed meanwhile.", "Start again.", "changed")
            meshes.add_key(obj, name, meshes.into_object(obj, motions[number].astype(float)))
            yield 0.91 + 0.09 * number / len(wanted)
        finished = True
    finally:
        if not finished and (obj := bpy.data.objects.get(own)) is not None:
            meshes.remove_keys(obj, new, not has)
            meshes.restore_keys(obj, before)
    made.append(len(wanted))


class MarkPoint(bpy.types.Operator):
    """Mark a corresponding point on the active mesh: at its selected vertex in Edit Mode, else at the 3D cursor"""

    bl_idname = "likeness.mark_point"
    bl_label = "Mark Point"
    bl_options = {"REGISTER", "UNDO"}

    name: StringProperty(name="Point", description="Its name on both meshes; empty: the next standard name")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        obj = context.active_object
        return clickable(cls, "" if obj is not None and obj.type == "MESH" else "Select a mesh")

    def execute(self, context: bpy.types.Context) -> set[str]:
        obj = context.active_object
        present = meshes.points_on(obj)
        name = self.name or next((n for n in POINT_NAMES if n not in present), f"point_{len(present) + 1}")
        place = context.scene.cursor.location.copy()
        if obj.mode == "EDIT":
            obj.update_from_editmode()
            chosen = np.zeros(len(obj.data.vertices), bool)
            obj.data.vertices.foreach_get("select", chosen)
            if not chosen.any():
                report_error(self, "No vertex is selected.")
                return {"CANCELLED"}
            place = meshes.world_rest(obj)[chosen].mean(axis=0)
        marker = present.get(name)
        if marker is None:
            marker = bpy.data.objects.new(f"{obj.name} {name}", None)
            marker[meshes.POINT] = name
            marker.empty_display_type, marker.empty_display_size = "SPHERE", 0.02 * max(obj.dimensions)
            marker.show_name = True
            marker.parent = obj
            marker.matrix_parent_inverse = obj.matrix_world.inverted()
            (obj.users_collection or (context.scene.collection,))[0].objects.link(marker)
        marker.location = place
        self.report({"INFO"}, f"Marked {name} on {obj.name}.")
        return {"FINISHED"}


class ClearPoints(bpy.types.Operator):
    """Remove the marked points of the active mesh"""

    bl_idname = "likeness.clear_points"
    bl_label = "Clear Points"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        obj = context.active_object
        marked = obj is not None and len(meshes.points_on(obj)) > 0
        return clickable(cls, "" if marked else "The active object has no marked points")

    def execute(self, context: bpy.types.Context) -> set[str]:
        for marker in meshes.points_on(context.active_object).values():
            bpy.data.objects.remove(marker)
        return {"FINISHED"}


CLASSES = (MakeArkitKeys, MarkPoint, ClearPoints)
