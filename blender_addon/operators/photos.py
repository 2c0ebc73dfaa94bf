"""Operators for the photo list (add, drop, a mesh, remove, clear), and for a folder with one folder per person, made
one by one. Registered by class; a class's docstring is its tooltip, ``run`` what it does (``LikenessOperator``)."""

import contextlib
import os
from pathlib import Path

import bpy
from bpy.props import BoolProperty, CollectionProperty, IntProperty, StringProperty

from .. import redraw, timer
from ..client.submissions import PHOTO_GLOB, is_text, unique_labels
from ..errors import AddonError
from ..export.write import export_mesh
from ..many import run
from ..objects.tags import Place, head_mesh
from ..session import Job, session
from ..settings.preferences import chosen_backend, preferences
from ..settings.properties import options_of
from ..shared.photo_folder import PHOTO_SUFFIXES, is_mesh, is_own_picture
from ..text import LikenessOperator, clickable, needs, report_error


def add_files(scene: bpy.types.Scene, paths: list[str]) -> tuple[int, list[str]]:
    """Add photos to the scene's list; return how many, and one sentence per file that was left out."""
    settings = scene.likeness
    listed = {os.path.normcase(_absolute(photo.path)) for photo in settings.photos}
    added, refused = 0, []
    for path in map(_absolute, paths):
        name = os.path.basename(path)
        (label,) = unique_labels([name])
        if os.path.splitext(name)[1].lower() not in PHOTO_SUFFIXES and not is_mesh(name):
            refused.append(f"{label} is not a photo that the backend reads")
        elif not os.path.isfile(path):
            refused.append(f"{label} does not exist")
        elif not is_text(path):
            refused.append(f"{label} has letters in its path that are no UTF-8; rename it")
        elif is_own_picture(path):
            refused.append(f"{label} was made by Likeness and is no photo")
        elif os.path.normcase(path) in listed:
            refused.append(f"{label} is in the list already")
        else:
            photo = settings.photos.add()
            photo.name, photo.path = name, path
            listed.add(os.path.normcase(path))
            added += 1
    if added:
        settings.active_photo = len(settings.photos) - 1
    return added, refused


def _absolute(path: str) -> str:
    """An absolute path, independent of the .blend file and the working directory."""
    return os.path.abspath(bpy.path.abspath(path))


class AddPhotos(LikenessOperator):
    """Add photos of one person, several at once"""

    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE", "HIDDEN"})
    directory: StringProperty(subtype="DIR_PATH", options={"SKIP_SAVE", "HIDDEN"})
    files: CollectionProperty(type=bpy.types.OperatorFileListElement, options={"SKIP_SAVE", "HIDDEN"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})
    filter_glob: StringProperty(default=PHOTO_GLOB, options={"HIDDEN"})
    display_type: StringProperty(default="THUMBNAIL", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.directory and self.files:  # files were dropped
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def run(self, context: bpy.types.Context) -> set[str] | None:
        names = [file.name for file in self.files if file.name]
        paths = [os.path.join(self.directory, name) for name in names] or ([self.filepath] if self.filepath else [])
        added, refused = add_files(context.scene, paths)
        for sentence in refused:
            self.report({"WARNING"}, f"{sentence}.")
        if not added:
            return {"CANCELLED"} if refused else self.refuse("No photo was chosen.")
        redraw.everything()
        _start_backend(context)


class AddMesh(LikenessOperator):
    """Take the shape of the head from the active mesh, a scan or sculpt, as it is shown and with its picture; photos \
beside it give skin and hair"""

    bl_label = "From Mesh"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        mesh = context.active_object
        usable = mesh is not None and mesh.type == "MESH" and mesh.mode == "OBJECT" and head_mesh(mesh) is None
        return clickable(cls, "" if usable else "No mesh is active. Select a scan or sculpt of a head, in Object Mode")

    def run(self, context: bpy.types.Context) -> set[str] | None:
        path = Path(bpy.app.tempdir, f"{bpy.path.clean_name(context.active_object.name)}.glb")
        export_mesh(context, context.active_object, path)
        add_files(context.scene, [str(path)])
        redraw.everything()
        _start_backend(context)


def in_background() -> bool:
    """Whether Blender has no window, so that nobody clicks."""
    return bpy.app.background


def _start_backend(context: bpy.types.Context) -> None:
    """Start the backend, so that it is ready at the click. If that fails, the click reports why."""
    if in_background() or not preferences(context).start_early:
        return
    with contextlib.suppress(AddonError):
        session().prepare(chosen_backend(context))
        timer.start()


_WITH_PHOTOS = needs((lambda context: context.scene.likeness.photos, "There are no photos in the list"))


class RemovePhoto(LikenessOperator):
    """Take the photo out of the list; the file stays"""

    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    index: IntProperty(name="Index", description="-1: the active photo", default=-1, options={"SKIP_SAVE"})

    poll = _WITH_PHOTOS

    def run(self, context: bpy.types.Context) -> set[str] | None:
        settings = context.scene.likeness
        index = settings.active_photo if self.index < 0 else self.index
        if not 0 <= index < len(settings.photos):
            return self.refuse("There is no such photo in the list.")
        settings.photos.remove(index)
        settings.active_photo = max(min(settings.active_photo, len(settings.photos) - 1), 0)


class ClearPhotos(LikenessOperator):
    """Take all photos out of the list; the files stay"""

    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    poll = _WITH_PHOTOS

    def run(self, context: bpy.types.Context) -> None:
        context.scene.likeness.photos.clear()
        context.scene.likeness.active_photo = 0


class PhotoDrop(bpy.types.FileHandler):
    """Handler for photos dropped onto the 3D View."""

    bl_idname = "LIKENESS_FH_photos"
    bl_label = "Add to Likeness Photos"
    bl_import_operator = AddPhotos.bl_idname
    bl_file_extensions = ";".join(PHOTO_SUFFIXES)

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D"


_GOES_ON = "The people in the table are being made. Stop that first"


class ChoosePeople(LikenessOperator):
    """Choose a folder that has a folder of photos for each person; its people make the table"""

    bl_label = "Choose Folder"
    bl_options = {"REGISTER"}

    directory: StringProperty(name="Folder", subtype="DIR_PATH", options={"SKIP_SAVE"})
    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN"})

    poll = needs((lambda _: run.current() is None, _GOES_ON))

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def run(self, context: bpy.types.Context) -> None:
        count = run.list_people(context.scene, Path(bpy.path.abspath(self.directory)))
        self.report({"INFO"}, f"{count} {'person' if count == 1 else 'people'} in the table.")


class ReconstructMany(LikenessOperator):
    """Make the heads of all people in the table that have none yet, one after the other"""

    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        many = context.scene.likeness_many
        states = ("WAITING", "RUNNING", "DONE") if many.library else ("WAITING", "RUNNING")  # collects finished ones
        waiting = any(person.state in states for person in many.people)
        nobody = "No person in the table is waiting. Choose a folder, or Try Again"
        return clickable(
            cls, session().busy_reason or (_GOES_ON if run.current() else "") or ("" if waiting else nobody)
        )

    def run(self, context: bpy.types.Context) -> set[str] | None:
        chosen, many, place = preferences(context), context.scene.likeness_many, Place.shown(context, selects=False)
        kept = {"pack_photos": chosen.pack_photos, "armature": chosen.armature}
        job = Job(place, photos=(), given=(), options=options_of(context.scene.likeness), frame=False, **kept)
        run.begin(run.ManyRun(job, chosen_backend(context), many.apart, many.library))
        if not bpy.app.background:
            timer.start()
            return {"FINISHED"}
        run.run_to_end()
        if run.last_words():
            report_error(self, run.last_words())


class StopMany(LikenessOperator):
    """Stop after cancelling the person at work; who has no head yet goes on waiting"""

    bl_label = "Stop"
    bl_options = {"INTERNAL"}

    poll = needs((lambda _: run.current(), "No heads of the table are being made"))

    def run(self, context: bpy.types.Context) -> None:
        run.current().stop()


def _failed(context: bpy.types.Context) -> list[bpy.types.PropertyGroup]:
    """The people in the table whose heads could not be made."""
    return [person for person in context.scene.likeness_many.people if person.state == "FAILED"]


class TryAgain(LikenessOperator):
    """Let those who failed wait again"""

    poll = needs((lambda _: run.current() is None, _GOES_ON), (_failed, "No person in the table has failed"))

    def run(self, context: bpy.types.Context) -> None:
        for person in _failed(context):
            person.state, person.sentence = "WAITING", ""
