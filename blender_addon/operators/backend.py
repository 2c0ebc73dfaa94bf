"""Operators to install, repair and remove the backend, show its logs, and copy this computer's key."""

from __future__ import annotations

import time

import bpy
from bpy.props import BoolProperty, EnumProperty

from .. import installer, redraw
from ..backend_process.install import InstallPlan
from ..client.keys import client_keys, config_folder
from ..errors import AddonError
from ..identity import backend_archive
from ..session import session
from ..settings.preferences import preferences, require_online
from ..text import clickable, report_error


def _watch() -> float | None:
    """Timer: redraw while an installation runs."""
    redraw.everything()
    return 0.25 if installer.running() else None


class _Installing(bpy.types.Operator):
    def _begin(self, plan: InstallPlan | None) -> set[str]:
        try:
            if session().busy:
                raise AddonError("The backend is at work.", "Wait for it, or cancel it first.", "busy")
            installation = installer.start(plan, session().runner)
        except AddonError as error:
            report_error(self, str(error))
            return {"CANCELLED"}
        if bpy.app.background:
            installation.join()
            view = installation.view
            self.report({"ERROR"} if view.error else {"INFO"}, str(view.error or view.sentence))
            return {"CANCELLED"} if view.error else {"FINISHED"}
        if not bpy.app.timers.is_registered(_watch):
            bpy.app.timers.register(_watch, first_interval=0.1, persistent=True)
        return {"FINISHED"}


class InstallBackend(_Installing):
    """Make an environment for the backend and download its packages into it"""

    bl_idname = "likeness.install_backend"
    bl_label = "Install Backend"
    bl_options = {"INTERNAL"}

    fresh: BoolProperty(name="From Scratch", description="Throw away the environment that is there", default=False)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            require_online("download the backend's packages")
            told = preferences(context).python
        except AddonError as error:
            report_error(self, str(error))
            return {"CANCELLED"}
        plan = InstallPlan(backend_archive(), bpy.path.abspath(told) if told else "", fresh=self.fresh)
        return self._begin(plan)


class RemoveBackend(_Installing):
    """Delete the backend that this extension installed, with its packages"""

    bl_idname = "likeness.remove_backend"
    bl_label = "Remove Backend"
    bl_options = {"INTERNAL"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self._begin(None)


class StopInstallation(bpy.types.Operator):
    """Stop the installation that is running"""

    bl_idname = "likeness.stop_installation"
    bl_label = "Stop"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return clickable(cls, "" if installer.running() else "Nothing is being installed")

    def execute(self, context: bpy.types.Context) -> set[str]:
        installer.stop()
        return {"FINISHED"}


class ShowLog(bpy.types.Operator):
    """Open the log in a text editor of its own window"""

    bl_idname = "likeness.show_log"
    bl_label = "Show Log"
    bl_options = {"INTERNAL"}

    which: EnumProperty(items=(("INSTALL", "Installation", ""), ("SERVER", "Backend", "")), default="INSTALL")

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = installer.backend_folder().install_log if self.which == "INSTALL" else installer.server_log()
        try:
            said = path.read_text("utf-8", "replace")
        except OSError:
            self.report({"WARNING"}, f"There is no log yet ({path}).")
            return {"CANCELLED"}
        name = f"Likeness {path.name}"
        text = bpy.data.texts.get(name) or bpy.data.texts.new(name)
        text.from_string(f"{path}, {time.strftime('%H:%M:%S')}\n\n{said}")
        if not bpy.app.background:
            bpy.ops.wm.window_new()
            area = context.window_manager.windows[-1].screen.areas[0]
            area.type = "TEXT_EDITOR"
            area.spaces.active.text = text
        return {"FINISHED"}


class CopyOwnKey(bpy.types.Operator):
    """Copy this computer's public key, for serve --owner=KEY on another machine"""

    bl_idname = "likeness.copy_own_key"
    bl_label = "Copy This Computer's Key"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            context.window_manager.clipboard = client_keys(config_folder()).public
        except AddonError as error:
            report_error(self, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, "The key is in the clipboard.")
        return {"FINISHED"}


CLASSES = (InstallBackend, RemoveBackend, StopInstallation, ShowLog, CopyOwnKey)
