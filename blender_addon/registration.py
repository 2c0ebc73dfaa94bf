"""Everything that Blender has to know of while the extension is enabled, in order; in reverse when it is disabled."""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent

from . import installer, session, timer
from .operators import (
    backend,
    head,
    photos,
    reconstruct,
    transfer,
    transfer_keys,
    transfer_mapping,
    transfer_pictures,
    transfer_settings,
)
from .ui import corner_preview, panel, preferences, properties, thumbnails, transfer_panel

OPERATOR_MODULES = (photos, reconstruct, backend, head, transfer, transfer_keys, transfer_mapping, transfer_pictures)
PARTS = (properties, transfer_settings, preferences, thumbnails, panel, transfer_panel, corner_preview)


@persistent
def _before_load(*_: object) -> None:
    """Another file is opened: its scene shall not get a head that was asked for in this one."""
    if session.session().busy:
        session.session().cancel()


def register() -> None:
    """Register classes, properties and handlers."""
    for module in OPERATOR_MODULES:
        for cls in module.CLASSES:
            bpy.utils.register_class(cls)
    for part in PARTS:
        part.register()
    bpy.app.handlers.load_pre.append(_before_load)


def unregister() -> None:
    """Stop what runs, then unregister everything."""
    timer.stop()
    session.shut_down()
    installer.forget()
    bpy.app.handlers.load_pre.remove(_before_load)
    for part in reversed(PARTS):
        part.unregister()
    for module in reversed(OPERATOR_MODULES):
        for cls in reversed(module.CLASSES):
            bpy.utils.unregister_class(cls)
