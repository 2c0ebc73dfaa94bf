"""Operators to correct a photo's landmarks and to choose what a photo is used for."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, StringProperty

from ..scene import corrections, tags
from ..scene.which_mesh import active_mesh, cameras_by_photo
from ..ui.properties import USES
from ..ui.view_frame import fill_with_camera
from .polls import NO_HEAD, clickable

NO_LANDMARKS = "The head was made before landmarks were kept. Solve it again first"
NO_POINTS = "Select landmarks of a photo. Edit Landmarks puts them out"


class HeadPhotoOperator:
    """Mix-in: an operator on one photo of the active head."""

    photo: StringProperty(name="Photo", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return clickable(cls, "" if tags.active_head(context) else NO_HEAD)


class EditLandmarks(HeadPhotoOperator, bpy.types.Operator):
    """Look through this photo and drag its landmarks to where they are; once more to have done with it"""

    bl_idname = "likeness.edit_landmarks"
    bl_label = "Edit Landmarks"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        collection = tags.active_head(context)
        was_edited = corrections.edited_photos(collection)
        for photo in was_edited:
            corrections.put_away(collection, photo)
        show_head(context, collection, True)
        if self.photo in was_edited:
            return {"FINISHED"}
        camera = cameras_by_photo(collection, active_mesh(context, collection)).get(self.photo)
        if camera is None:
            self.report({"WARNING"}, f"The camera of {self.photo} is not in the file any more.")
            return {"CANCELLED"}
        if tags.LANDMARKS not in camera:
            self.report({"WARNING"}, f"{NO_LANDMARKS}.")
            return {"CANCELLED"}
        bpy.ops.likeness.look_through(photo=self.photo)
        fill_with_camera(context)
        points = corrections.put_points(collection, camera)
        show_head(context, collection, False)
        for obj in list(context.selected_objects):
            obj.select_set(False)
        context.view_layer.objects.active = points[0]
        return {"FINISHED"}


class ShowHead(bpy.types.Operator):
    """Show or hide the head, to see the photo below the landmarks"""

    bl_idname = "likeness.show_head"
    bl_label = "Show Head"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return clickable(cls, "" if tags.active_head(context) else NO_HEAD)

    def execute(self, context: bpy.types.Context) -> set[str]:
        collection = tags.active_head(context)
        head = tags.part_object(collection, "head")
        show_head(context, collection, head is not None and head.hide_get())
        return {"FINISHED"}


class ResetPoints(HeadPhotoOperator, bpy.types.Operator):
    """Forget where you have put this photo's landmarks"""

    bl_idname = "likeness.reset_points"
    bl_label = "Reset Points"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        corrections.reset_points(tags.active_head(context), self.photo)
        return {"FINISHED"}


class SnapToFit(bpy.types.Operator):
    """Put the selected landmarks back to where the fit has them; they are not sent as corrections any more"""

    bl_idname = "likeness.snap_to_fit"
    bl_label = "Snap to Fit"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        collection = tags.active_head(context)
        if collection is None:
            return clickable(cls, NO_HEAD)
        return clickable(cls, "" if corrections.selected_points(context, collection) else NO_POINTS)

    def execute(self, context: bpy.types.Context) -> set[str]:
        points = corrections.selected_points(context, tags.active_head(context))
        moved = corrections.snap_to_fit(points)
        if moved < len(points):
            self.report({"WARNING"}, f"{len(points) - moved} of these landmarks have no position in the fit.")
        return {"FINISHED"} if moved else {"CANCELLED"}


class UsePhotoFor(HeadPhotoOperator, bpy.types.Operator):
    """What this photo is used for when the head is solved again"""

    bl_idname = "likeness.use_photo_for"
    bl_label = "Use Photo For"
    bl_options = {"REGISTER", "UNDO"}

    use: EnumProperty(name="Use For", items=USES, options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        corrections.set_use(tags.active_head(context), self.photo, self.use)
        return {"FINISHED"}


def show_head(context: bpy.types.Context, collection: bpy.types.Collection, shown: bool) -> None:
    """Show or hide a head's meshes and hair in the view layer."""
    for obj in tags.objects_of(collection):
        if (tags.PART in obj or tags.HAIR in obj) and context.view_layer.objects.get(obj.name) == obj:
            obj.hide_set(not shown)


def close_all(context: bpy.types.Context) -> None:
    """Store and remove the draggable points of all heads of the scene."""
    for collection in tags.heads_in(context.scene):
        if photos := corrections.edited_photos(collection):
            for photo in photos:
                corrections.put_away(collection, photo)
            show_head(context, collection, True)


CLASSES = (EditLandmarks, ShowHead, ResetPoints, SnapToFit, UsePhotoFor)
