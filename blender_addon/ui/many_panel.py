"""The tab's panel *Many People*: the list of people, what is made of them, and its buttons."""

import bpy

from ..many import run
from ..text import draw_wrapped
from .panel import ClosedPanel
from .pictures import photo_icon

STATE_ICONS = {"WAITING": "TIME", "RUNNING": "PLAY", "DONE": "CHECKMARK", "FAILED": "ERROR"}
LIBRARY_WORDS = (
    "Add the chosen folder under Preferences > File Paths > Asset Libraries, then drag heads out of the Asset Browser."
)


class PeopleList(bpy.types.UIList):
    """One row per person: thumbnail, name, number of photos, state."""

    bl_idname = "LIKENESS_UL_people"

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flt_flag=0):
        thumbnail = photo_icon(item.first)
        row = layout.row(align=True)
        shown = {"icon_value": thumbnail} if thumbnail else {"icon": "USER"}
        row.label(text=f"{item.name} ({item.photos})", **shown)
        row.label(text="", icon=STATE_ICONS[item.state])


class ManyPanel(ClosedPanel, bpy.types.Panel):
    """Many people, one after the other."""

    bl_label = "Many People"
    bl_order = 10

    def draw(self, context: bpy.types.Context) -> None:
        layout, many = self.layout, context.scene.likeness_many
        layout.operator("likeness.choose_people", icon="FILE_FOLDER")
        if not len(many.people):
            draw_wrapped(layout, "A folder that has a folder of photos for each person.", icon="INFO")
            return
        layout.template_list(PeopleList.bl_idname, "", many, "people", many, "active", rows=5, maxrows=5)
        states = [person.state for person in many.people]
        counted = [f"{states.count(state)} {state.lower()}" for state in STATE_ICONS if state in states]
        layout.label(text=", ".join(counted))
        if 0 <= many.active < len(many.people) and many.people[many.active].sentence:
            draw_wrapped(layout, many.people[many.active].sentence)
        column = layout.column(align=True)
        column.prop(many, "apart")
        column.prop(many, "library")
        if many.apart or many.library:
            draw_wrapped(layout, LIBRARY_WORDS, icon="ASSET_MANAGER")
        row = layout.row(align=True)
        if run.current() is None:
            row.operator("likeness.reconstruct_many", icon="USER")
            row.operator("likeness.try_again", icon="FILE_REFRESH", text="")
        else:
            row.operator("likeness.stop_many", icon="CANCEL")
            if run.is_writing():
                layout.label(text="Writing the assets", icon="FILE_TICK")
        if run.last_words():
            draw_wrapped(layout, run.last_words(), icon="ERROR")
