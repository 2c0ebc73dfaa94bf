"""Everything that Blender has to know of while the extension is enabled, in order; in reverse when it is disabled."""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent

from . import installer, session, timer
from .many import run as many_run
from .many import settings as many_settings
from .operators import (
    backend,
    export,
    head,
    many,
    photos,
    reconstruct,
    transfer,
    transfer_keys,
    transfer_mapping,
    transfer_pictures,
    transfer_settings,
)
from .ui import corner_preview, many_panel, panel, preferences, properties, thumbnails, transfer_panel

OPERATOR_MODULES = (
    photos,
    reconstruct,
    backend,
    head,
    export,
    many,
    transfer,
    transfer_keys,
    transfer_mapping,
    transfer_pictures,
)
PARTS = (
    properties,
    many_settings,
    transfer_settings,
    preferences,
    thumbnails,
    panel,
    transfer_panel,
    many_panel,
    corner_preview,
)


@persistent
def _file_opened(*_: object) -> None:
    """Another file is open (one that cannot be opened changes nothing)."""
    many_run.forget()
    session.session().file_opened()
    timer.look_for_heads()


def register() -> None:
    """Register classes, properties and handlers."""
    for module in OPERATOR_MODULES:
        for cls in module.CLASSES:
            bpy.utils.register_class(cls)
    for part in PARTS:
        part.register()
    bpy.app.handlers.load_post.append(_file_opened)
    timer.look_for_heads()


def unregister() -> None:
    """Stop what runs, then unregister everything."""
    timer.stop()
    many_run.forget()
    session.shut_down()
    installer.forget()
    bpy.app.handlers.load_post.remove(_file_opened)
    for part in reversed(PARTS):
        part.unregister()
    for module in reversed(OPERATOR_MODULES):
        for cls in reversed(module.CLASSES):
            bpy.utils.unregister_class(cls)
