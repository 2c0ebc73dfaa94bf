"""Operators for the mapping list: suggest, add, remove, save, load."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..errors import AddonError
from ..transfer.apply import key_names
from ..transfer.mapping import KeyLink, from_json, suggest, to_json
from ..ui.text import report_error
from .polls import clickable
from .transfer_settings import NO_SOURCE, fill_list, listed_links, selected_meshes, settings_of, source_of


class SuggestMapping(bpy.types.Operator):
    """Fill the list with what the names of the source's and the selected mesh's shape keys say"""

    bl_idname = "likeness.suggest_mapping"
    bl_label = "Suggest Mapping"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return clickable(cls, "" if source_of(context) else NO_SOURCE)

    def execute(self, context: bpy.types.Context) -> set[str]:
        source = source_of(context)
        try:
            targets = selected_meshes(context, source)
        except AddonError as error:
            report_error(self, str(error))
            return {"CANCELLED"}
        links: dict[KeyLink, None] = {}
        for target in targets:
            links |= dict.fromkeys(suggest(key_names(source), key_names(target)))
        settings = settings_of(context)
        fill_list(settings, list(links))
        settings.use_links = True
        open_keys = len(key_names(source)) - len({link.source for link in links})
        self.report({"INFO"}, f"{len(links)} links; {open_keys} keys of the source are not linked.")
        return {"FINISHED"}


class AddLink(bpy.types.Operator):
    """Add a row to the mapping"""

    bl_idname = "likeness.add_link"
    bl_label = "Add Link"
    bl_options = {"INTERNAL", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = settings_of(context)
        settings.links.add()
        settings.active_link = len(settings.links) - 1
        settings.use_links = True
        return {"FINISHED"}


class RemoveLink(bpy.types.Operator):
    """Remove the active row of the mapping"""

    bl_idname = "likeness.remove_link"
    bl_label = "Remove Link"
    bl_options = {"INTERNAL", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        settings = settings_of(context)
        chosen = 0 <= settings.active_link < len(settings.links)
        return clickable(cls, "" if chosen else "No row of the mapping is chosen")

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = settings_of(context)
        settings.links.remove(settings.active_link)
        settings.active_link = max(min(settings.active_link, len(settings.links) - 1), 0)
        return {"FINISHED"}


class SaveMapping(bpy.types.Operator, ExportHelper):
    """Write the mapping into a JSON file"""

    bl_idname = "likeness.save_mapping"
    bl_label = "Save Mapping"
    filename_ext = ".json"

    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return clickable(cls, "" if settings_of(context).links else "The mapping has no rows")

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = Path(bpy.path.abspath(self.filepath))
        try:
            path.write_text(to_json(listed_links(settings_of(context))) + "\n", "utf-8")
        except OSError as error:
            report_error(self, f"{path.name} could not be written: {error.strerror or error}.")
            return {"CANCELLED"}
        return {"FINISHED"}


class LoadMapping(bpy.types.Operator, ImportHelper):
    """Read a mapping that Save Mapping wrote"""

    bl_idname = "likeness.load_mapping"
    bl_label = "Load Mapping"
    bl_options = {"REGISTER", "UNDO"}
    filename_ext = ".json"

    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = Path(bpy.path.abspath(self.filepath))
        try:
            links = from_json(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError):
            report_error(self, f"{path.name} could not be read. Check the file.")
            return {"CANCELLED"}
        except AddonError as error:
            report_error(self, str(error))
            return {"CANCELLED"}
        settings = settings_of(context)
        fill_list(settings, links)
        settings.use_links = True
        return {"FINISHED"}


CLASSES = (SuggestMapping, AddLink, RemoveLink, SaveMapping, LoadMapping)
