"""Where the extension keeps files of its own."""

from __future__ import annotations

from pathlib import Path

import bpy

from .identity import PACKAGE


def user_folder(name: str) -> Path:
    """The extension's folder ``name`` in the user's Blender folder; it survives updates, and need not be there yet."""
    try:
        return Path(bpy.utils.extension_path_user(PACKAGE, path=name))
    except ValueError:  # not installed as an extension but imported from a checkout
        return Path(bpy.utils.user_resource("DATAFILES", path=f"likeness/{name}"))
