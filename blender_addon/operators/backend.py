"""Operators to install, repair and remove the backend, show its logs, and copy this computer's key."""

import time

import bpy
from bpy.props import BoolProperty, EnumProperty

from .. import installer, redraw
from ..backend_process.install import InstallPlan
from ..client.conversation import client_keys
from ..errors import AddonError
from ..identity import backend_archive
from ..session import session
from ..settings.preferences import preferences, require_online
from ..shared.keys import config_folder
from ..text import LikenessOperator, poll_of


def _watch() -> float | None:
    """Timer: redraw while an installation runs."""
    redraw.everything()
    return 0.25 if installer.running() else None


class _Installing(LikenessOperator):
    bl_options = {"INTERNAL"}

    def _begin(self, plan: InstallPlan | None) -> set[str] | None:
        if session().busy:
            raise AddonError("The backend is at work.", "Wait for it, or cancel it first.", "busy")
        installation = installer.start(plan, session().runner)
        if bpy.app.background:
            installation.join()
            view = installation.view
            self.report({"ERROR"} if view.error else {"INFO"}, str(view.error or view.sentence))
            return {"CANCELLED"} if view.error else {"FINISHED"}
        if not bpy.app.timers.is_registered(_watch):
            bpy.app.timers.register(_watch, first_interval=0.1, persistent=True)


class InstallBackend(_Installing):
    """Make an environment for the backend and download its packages into it"""

    fresh: BoolProperty(name="From Scratch", description="Throw away the environment that is there")

    def run(self, context: bpy.types.Context) -> set[str] | None:
        require_online("download the backend's packages")
        told = preferences(context).python
        plan = InstallPlan(backend_archive(), bpy.path.abspath(told) if told else "", fresh=self.fresh)
        return self._begin(plan)


class RemoveBackend(_Installing):
    """Delete the backend that this extension installed, with its packages"""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def run(self, context: bpy.types.Context) -> set[str] | None:
        return self._begin(None)


class StopInstallation(LikenessOperator):
    """Stop the installation that is running"""

    bl_label = "Stop"
    bl_options = {"INTERNAL"}

    poll = poll_of(lambda context: "" if installer.running() else "Nothing is being installed")

    def run(self, context: bpy.types.Context) -> None:
        installer.stop()


class ShowLog(LikenessOperator):
    """Open the log in a text editor of its own window"""

    bl_options = {"INTERNAL"}

    which: EnumProperty(items=(("INSTALL", "Installation", ""), ("SERVER", "Backend", "")), default="INSTALL")

    def run(self, context: bpy.types.Context) -> set[str] | None:
        path = installer.backend_folder().install_log if self.which == "INSTALL" else installer.server_log()
        try:
            said = path.read_text("utf-8", "replace")
        except OSError:
            return self.refuse(f"There is no log yet ({path}).")
        name = f"Likeness {path.name}"
        text = bpy.data.texts.get(name) or bpy.data.texts.new(name)
        text.from_string(f"{path}, {time.strftime('%H:%M:%S')}\n\n{said}")
        if not bpy.app.background:
            bpy.ops.wm.window_new()
            area = context.window_manager.windows[-1].screen.areas[0]
            area.type = "TEXT_EDITOR"
            area.spaces.active.text = text


class CopyOwnKey(LikenessOperator):
    """Copy this computer's public key, for serve --owner=KEY on another machine"""

    bl_label = "Copy This Computer's Key"
    bl_options = {"INTERNAL"}

    def run(self, context: bpy.types.Context) -> None:
        context.window_manager.clipboard = client_keys(config_folder()).public
        self.report({"INFO"}, "The key is in the clipboard.")
