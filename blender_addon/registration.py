"""Register everything with Blender when the extension is enabled; unregister in reverse order when it is disabled."""

from types import ModuleType

import bpy
from bpy.app.handlers import persistent

from . import installer, redraw, session, timer
from .many import run as many_run
from .operators import backend, corrections, face_keys, head, photos, reconstruct, transfer, transfer_keys
from .scene.hair import show_hairs
from .settings import preferences, properties
from .ui import keys_panel, many_panel, panel, pictures, transfer_panel

_WITH_CLASSES = (
    photos,
    reconstruct,
    backend,
    head,
    corrections,
    face_keys,
    transfer,
    transfer_keys,
    properties,
    many_run,
    preferences,
    panel,
    many_panel,
    keys_panel,
    transfer_panel,
)
"""Modules with classes that Blender is to know."""

_SCENE_SETTINGS = {
    "likeness": properties.LikenessSettings,
    "likeness_keys": keys_panel.LikenessKeys,
    "likeness_many": many_run.LikenessMany,
    "likeness_transfer": transfer_keys.LikenessTransfer,
}
"""Settings of each scene, by property name."""

_HEAD_SETTINGS = "likeness"
"""Collection property with the settings that a head is solved with, and the window manager's with its sliders."""

_WITH_HANDLERS = (pictures, panel, keys_panel)
"""Modules with their own ``register`` and ``unregister``, for menus or preview icons."""


def classes_of(module: ModuleType) -> list[type]:
    """The module's classes for Blender, in the order in which they are written; ``_Name`` is the base of others."""
    own = (one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__)
    return [one for one in own if issubclass(one, bpy.types.bpy_struct) and not one.__name__.startswith("_")]


@persistent
def _file_opened(*_: object) -> None:
    """Called after another file has been opened (not if opening fails)."""
    many_run.file_opened()
    session.session().file_opened()
    redraw.open_tab()


_AFTER_DRAGS = [getattr(bpy.app.handlers, name) for name in ("undo_post", "redo_post", "save_pre", "load_post")]
"""Where a step of undo or a file may be of the middle of a slider's drag."""


def register() -> None:
    """Register classes, properties and handlers."""
    for module in _WITH_CLASSES:
        for cls in classes_of(module):
            bpy.utils.register_class(cls)
    for name, settings in _SCENE_SETTINGS.items():
        setattr(bpy.types.Scene, name, bpy.props.PointerProperty(type=settings))
    setattr(bpy.types.Collection, _HEAD_SETTINGS, bpy.props.PointerProperty(type=properties.LikenessHead))
    setattr(bpy.types.WindowManager, _HEAD_SETTINGS, bpy.props.PointerProperty(type=properties.LikenessSliders))
    for module in _WITH_HANDLERS:
        module.register()
    bpy.app.handlers.load_post.append(_file_opened)
    for handlers in _AFTER_DRAGS:
        handlers.append(show_hairs)


def unregister() -> None:
    """Stop what runs, then unregister everything."""
    timer.stop()
    many_run.forget()
    session.shut_down()
    installer.forget()
    for handlers in _AFTER_DRAGS:
        handlers.remove(show_hairs)
    bpy.app.handlers.load_post.remove(_file_opened)
    for module in reversed(_WITH_HANDLERS):
        module.unregister()
    delattr(bpy.types.WindowManager, _HEAD_SETTINGS)
    delattr(bpy.types.Collection, _HEAD_SETTINGS)
    for name in reversed(_SCENE_SETTINGS):
        delattr(bpy.types.Scene, name)
    for module in reversed(_WITH_CLASSES):
        for cls in reversed(classes_of(module)):
            bpy.utils.unregister_class(cls)
