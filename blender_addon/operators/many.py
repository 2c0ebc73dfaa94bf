"""Operators for Reconstruct Many: a folder with one photo folder per person, processed one by one."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import StringProperty

from .. import timer
from ..many import run
from ..many.settings import list_people
from ..objects.tags import Place
from ..session import session
from ..settings.preferences import chosen_backend, preferences
from ..settings.properties import options_of
from ..text import LikenessOperator, clickable, report_error

_GOES_ON = "The people in the table are being made. Stop that first"


class ChoosePeople(LikenessOperator):
    """Choose a folder that has a folder of photos for each person; its people make the table"""

    bl_idname = "likeness.choose_people"
    bl_label = "Choose Folder"
    bl_options = {"REGISTER"}

    directory: StringProperty(name="Folder", subtype="DIR_PATH", options={"SKIP_SAVE"})
    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return clickable(cls, _GOES_ON if run.current() else "")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def run(self, context: bpy.types.Context) -> None:
        count = list_people(context.scene, Path(bpy.path.abspath(self.directory)))
        self.report({"INFO"}, f"{count} {'person' if count == 1 else 'people'} in the table.")


class ReconstructMany(LikenessOperator):
    """Make the heads of all people in the table that have none yet, one after the other"""

    bl_idname = "likeness.reconstruct_many"
    bl_label = "Reconstruct Many"
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
        settings = context.scene.likeness
        options = run.RunOptions(
            options_of(settings),
            preferences(context).pack_photos,
            preferences(context).armature,
            context.scene.likeness_many.apart,
            context.scene.likeness_many.library,
        )
        run.begin(run.ManyRun(Place.shown(context, selects=False), chosen_backend(context), options))
        if not bpy.app.background:
            timer.start()
            return {"FINISHED"}
        run.run_to_end()
        if run.last_words():
            report_error(self, run.last_words())


class StopMany(LikenessOperator):
    """Stop after cancelling the person at work; who has no head yet goes on waiting"""

    bl_idname = "likeness.stop_many"
    bl_label = "Stop"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return clickable(cls, "" if run.current() else "No heads of the table are being made")

    def run(self, context: bpy.types.Context) -> None:
        run.current().stop()


class TryAgain(LikenessOperator):
    """Let those who failed wait again"""

    bl_idname = "likeness.try_again"
    bl_label = "Try Again"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        failed = any(person.state == "FAILED" for person in context.scene.likeness_many.people)
        return clickable(
            cls, (_GOES_ON if run.current() else "") or ("" if failed else "No person in the table has failed")
        )

    def run(self, context: bpy.types.Context) -> None:
        for person in context.scene.likeness_many.people:
            if person.state == "FAILED":
                person.state, person.sentence = "WAITING", ""
