"""Everything that Blender has to know of while the extension is enabled, in order; in reverse when it is disabled."""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent

from . import installer, session, timer
from .many import run as many_run
from .many import settings as many_settings
from .operators import (
    armature,
    backend,
    corrections,
    export,
    face_keys,
    head,
    many,
    photo_mask,
    photos,
    poses,
    reconstruct,
    transfer,
    transfer_keys,
    transfer_mapping,
    transfer_pictures,
    transfer_settings,
)
from .ui import (
    armature_panel,
    corner_preview,
    key_pictures,
    keys_panel,
    many_panel,
    panel,
    preferences,
    properties,
    thumbnails,
    transfer_panel,
)

_WITH_CLASSES = (
    photos,
    reconstruct,
    backend,
    head,
    corrections,
    photo_mask,
    face_keys,
    poses,
    armature,
    export,
    many,
    transfer,
    transfer_keys,
    transfer_mapping,
    transfer_pictures,
    properties,
    many_settings,
    transfer_settings,
    preferences,
    panel,
    keys_panel,
    armature_panel,
    transfer_panel,
    many_panel,
)
"""Modules whose ``CLASSES`` Blender knows."""

_SCENE_SETTINGS = {
    "likeness": properties.LikenessSettings,
    "likeness_keys": keys_panel.LikenessKeys,
    "likeness_many": many_settings.LikenessMany,
    "likeness_transfer": transfer_settings.LikenessTransfer,
}
"""What each scene keeps, by the name of its property."""

_HEAD_SETTINGS = "likeness"
"""Name of the property of a collection that keeps what a head is solved with."""

_WITH_HANDLERS = (thumbnails, key_pictures, panel, keys_panel, corner_preview)
"""Modules that draw or keep pictures: each has ``register`` and ``unregister`` for that."""


@persistent
def _file_opened(*_: object) -> None:
    """Another file is open (one that cannot be opened changes nothing)."""
    many_run.file_opened()
    session.session().file_opened()
    timer.look_for_heads()


def register() -> None:
    """Register classes, properties and handlers."""
    for module in _WITH_CLASSES:
        for cls in module.CLASSES:
            bpy.utils.register_class(cls)
    for name, settings in _SCENE_SETTINGS.items():
        setattr(bpy.types.Scene, name, bpy.props.PointerProperty(type=settings))
    setattr(bpy.types.Collection, _HEAD_SETTINGS, bpy.props.PointerProperty(type=properties.LikenessHead))
    for module in _WITH_HANDLERS:
        module.register()
    bpy.app.handlers.load_post.append(_file_opened)
    timer.look_for_heads()


def unregister() -> None:
    """Stop what runs, then unregister everything."""
    timer.stop()
    many_run.forget()
    session.shut_down()
    installer.forget()
    bpy.app.handlers.load_post.remove(_file_opened)
    for module in reversed(_WITH_HANDLERS):
        module.unregister()
    delattr(bpy.types.Collection, _HEAD_SETTINGS)
    for name in reversed(_SCENE_SETTINGS):
        delattr(bpy.types.Scene, name)
    for module in reversed(_WITH_CLASSES):
        for cls in reversed(module.CLASSES):
            bpy.utils.unregister_class(cls)
