"""Preferences of the extension: which backend to use, its installation, and the service of another machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from .. import installer, redraw
from ..backend_process import folders
from ..backend_process.install import installed_bytes
from ..backend_process.server import LocalBackend
from ..client.conversation import ServerAddress, remote_address
from ..errors import AddonError
from ..identity import PACKAGE, version
from ..shared.keys import is_loopback
from ..text import draw_error, draw_wrapped, gigabytes

_existing_backends = folders.Looks(folders.problem_of)
BACKEND_LOCATIONS = (
    ("INSTALLED", "Installed", "A backend that this extension installs and looks after"),
    ("EXISTING", "Existing", "A backend that is on this computer already"),
    ("REMOTE", "Remote", "A backend that listens on another machine"),
)
DEVICES = (
    ("auto", "Automatic", "CUDA where there is a card, else the CPU"),
    ("cpu", "CPU", "The processor"),
    ("cuda", "CUDA", "An NVIDIA card"),
)


def _keep_whole(chosen: LikenessPreferences, context: bpy.types.Context) -> None:
    """Make a path absolute: the file browser may return one relative to the .blend file, which can change."""
    whole = bpy.path.abspath(chosen.backend_folder)
    if os.path.isabs(whole) and whole != chosen.backend_folder:
        chosen.backend_folder = os.path.normpath(whole)


class LikenessPreferences(bpy.types.AddonPreferences):
    """Preferences of the extension."""

    bl_idname = PACKAGE

    where: EnumProperty(name="Backend", items=BACKEND_LOCATIONS, default="INSTALLED")
    backend_folder: StringProperty(
        name="Backend Folder",
        description="Folder to install the backend in; empty: the extension's own. Remove a backend before you enter "
        "another folder, or it stays there unused",
        subtype="DIR_PATH",
        update=_keep_whole,
    )
    python: StringProperty(
        name="Python",
        description="Program of a Python 3.11 to 3.14 to make the environment with; empty: search for one",
        subtype="FILE_PATH",
    )
    existing_python: StringProperty(
        name="Python",
        description="Program of the environment that the backend is installed in",
        subtype="FILE_PATH",
        options={"TEXTEDIT_UPDATE"},
    )
    existing_source: StringProperty(
        name="Source",
        description="Folder that holds the package backend, where the environment does not know it",
        subtype="DIR_PATH",
        options={"TEXTEDIT_UPDATE"},
    )
    endpoint: StringProperty(name="Address", description="Like tcp://192.168.0.7:5555")
    public_key: StringProperty(name="Public Key", description="The service's public key, 40 characters")
    device: EnumProperty(name="Device", items=DEVICES, default="auto")
    start_early: BoolProperty(
        name="Start Backend When Photos Are Added",
        description="So that it is ready at the click; a backend that waits holds about 600 MB of memory",
        default=True,
    )
    frame_head: BoolProperty(
        name="Show the Head When It Arrives",
        description="Move the view to the new head and show its texture",
        default=True,
    )
    material_preview: BoolProperty(
        name="Material Preview",
        description="Switch views in Solid to Material Preview when they are moved to a new head; off: they show its "
        "texture in Solid, which draws faster without a graphics card",
        default=True,
    )
    pack_photos: BoolProperty(
        name="Keep Photos in the .blend File",
        description="So that the head can be solved again on any computer",
        default=True,
    )
    armature: BoolProperty(
        name="Heads With Armature",
        description="Give heads bones for neck, head, jaw, eyes and tongue; without, they have shape keys alone",
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.row().prop(self, "where", expand=True)
        box = layout.box()
        if self.where == "REMOTE":
            self._draw_remote(box)
        else:
            if self.where == "EXISTING":
                self._draw_existing(box)
            else:
                self._draw_own(box)
            layout.prop(self, "device")
            layout.prop(self, "start_early")
        layout.prop(self, "frame_head")
        row = layout.row()
        row.enabled = self.frame_head
        row.prop(self, "material_preview")
        layout.prop(self, "pack_photos")
        layout.prop(self, "armature")

    def _draw_own(self, layout: bpy.types.UILayout) -> None:
        """Draw the extension's own backend."""
        view = installer.view()
        if view is not None and not view.finished:
            layout.progress(factor=view.fraction, text=view.sentence)
            layout.operator("likeness.stop_installation", icon="X")
            self._draw_log(layout)
            return
        named = installer.named_folder(drawing=True)
        problem = named.problem
        if not named.answers:
            redraw.schedule()
        else:
            self._draw_installed(layout, named)
        if problem is not None:
            draw_error(layout, problem.sentence, problem.advice)
        elif view is not None and view.error is not None:
            draw_error(layout, view.error.sentence, view.error.advice)
            self._draw_log(layout)
        layout.prop(self, "backend_folder", placeholder=str(installer.own_folder().root))
        layout.prop(self, "python")
        row = layout.row()
        if problem is None and named.installed is not None:
            row.operator("likeness.install_backend", text="Repair", icon="FILE_REFRESH").fresh = True
        elif problem is None:
            row.operator("likeness.install_backend", text="Install Backend", icon="IMPORT").fresh = False
        if named.has_contents:
            row.operator("likeness.remove_backend", text="Remove", icon="TRASH")
        row = layout.row()
        row.operator("likeness.show_log", text="Installation Log", icon="TEXT").which = "INSTALL"
        row.operator("likeness.show_log", text="Backend Log", icon="TEXT").which = "SERVER"

    def _draw_installed(self, layout: bpy.types.UILayout, named: folders.FolderState) -> None:
        """Draw what is installed, or what would be."""
        installed = named.installed
        if installed is not None:
            kind = "CUDA" if installed.cuda else "CPU"
            said = f"Backend {installed.version} ({kind}, {installed.python}), {gigabytes(installed.size_bytes)}"
            layout.label(text=said, icon="CHECKMARK")
            on_old_windows = sys.platform == "win32" and installed.python.startswith("Python 3.11")  # no torch for CUDA
            if on_old_windows and not installed.cuda and installer.cuda_card():
                said = "It does not use your NVIDIA card: that needs Python 3.12 or later. Enter one below and Repair."
                draw_wrapped(layout, said, icon="INFO")
            if installed.version != version() and named.problem is None:
                said = f"The extension is version {version()}: choose Repair to update."
                draw_wrapped(layout, said, icon="INFO")
        else:
            cuda = installer.cuda_card()
            layout.label(text="The backend is not installed.", icon="INFO")
            what = "for your NVIDIA card" if cuda else "for the CPU"
            draw_wrapped(layout, f"It will be installed {what} and take about {gigabytes(installed_bytes(cuda))}.")

    def _draw_existing(self, layout: bpy.types.UILayout) -> None:
        layout.prop(self, "existing_python")
        layout.prop(self, "existing_source")
        _draw_usable(layout, self)
        layout.operator("likeness.show_log", text="Backend Log", icon="TEXT").which = "SERVER"

    def _draw_remote(self, layout: bpy.types.UILayout) -> None:
        layout.prop(self, "endpoint")
        layout.prop(self, "public_key")
        layout.operator("likeness.copy_own_key", icon="COPYDOWN")
        draw_wrapped(layout, "Start that machine's backend with this computer's key: serve --owner=KEY.")

    def _draw_log(self, layout: bpy.types.UILayout) -> None:
        column = layout.column(align=True)
        column.scale_y = 0.7
        for line in installer.last_lines(8):
            column.label(text=line[:160])


def preferences(context: bpy.types.Context) -> LikenessPreferences:
    """The extension's preferences. Raises ``AddonError`` if it was not enabled as an add-on."""
    entry = context.preferences.addons.get(PACKAGE)
    if entry is None or entry.preferences is None:
        raise AddonError("The extension Likeness is not enabled.", "Enable it in the preferences.", "not_enabled")
    return entry.preferences


def chosen_backend(context: bpy.types.Context, drawing: bool = False) -> LocalBackend | ServerAddress:
    """The backend chosen in the preferences; with ``drawing`` without waiting for slow drives.

    Raises ``AddonError`` with what to do: nothing installed, program missing, or no network permission.
    """
    chosen = preferences(context)
    if chosen.where == "REMOTE":
        address = remote_address(chosen.endpoint, chosen.public_key)
        if not is_loopback(address.endpoint):
            require_online("reach another machine")
        return address
    if chosen.where == "EXISTING":
        problem = _problem_of_existing(chosen, drawing)
        if problem:
            raise AddonError(
                problem, "Enter the program of its environment in the extension's preferences.", "no_backend"
            )
        return _existing(chosen)
    if installer.running():
        raise AddonError("The backend is being installed or removed.", "Wait for that.", "no_backend")
    named = installer.named_folder(drawing)
    if drawing and not named.answers:
        redraw.schedule()
    if named.installed is None:
        raise named.problem or AddonError(
            "The backend is not installed yet.", "Choose Install Backend in the extension's preferences.", "no_backend"
        )
    if named.installed.version != version():
        raise named.problem or AddonError(
            f"The backend has version {named.installed.version}, the extension {version()}.",
            "Choose Repair in the extension's preferences.",
            "version",
        )
    folder, log = named.folder, installer.server_log()
    return LocalBackend(folder.python, folder.source, chosen.device, log, folder.root)


def _existing(chosen: LikenessPreferences) -> LocalBackend:
    """The backend that the user entered, whether it exists or not."""
    python = Path(os.path.expanduser(bpy.path.abspath(chosen.existing_python)))
    source = Path(bpy.path.abspath(chosen.existing_source)) if chosen.existing_source else None
    return LocalBackend(python, source, chosen.device, installer.server_log())


def _problem_of_existing(chosen: LikenessPreferences, drawing: bool) -> str:
    """Why the entered backend is not usable, "" if it looks usable."""
    if not chosen.existing_python:
        return folders.NOTHING_ENTERED
    entered = _existing(chosen)
    problem = _existing_backends.at((str(entered.python), str(entered.source or "")), drawing)
    if problem is None:
        redraw.schedule()
        return "The drive that the existing backend lies on does not answer."
    return problem


def _draw_usable(layout: bpy.types.UILayout, chosen: LikenessPreferences) -> None:
    """Draw below the fields whether their content is usable, unabridged."""
    problem = _problem_of_existing(chosen, drawing=True)
    icon = "INFO" if not chosen.existing_python else "ERROR" if problem else "CHECKMARK"
    draw_wrapped(layout, problem or folders.USABLE, icon=icon)


def require_online(why: str) -> None:
    """Raise ``AddonError`` if Blender's preferences forbid network access."""
    if not bpy.app.online_access:
        raise AddonError(
            f"Blender may not use the network, which is needed to {why}.",
            "Turn on Preferences > System > Allow Online Access.",
            "offline",
        )
