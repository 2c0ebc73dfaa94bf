"""Folder for the extension's own files."""

from __future__ import annotations

from pathlib import Path

import bpy

from .identity import PACKAGE


def user_folder(name: str) -> Path:
    """The extension's folder ``name`` in the user's Blender folder; it survives updates, and may not exist yet."""
    try:
        return Path(bpy.utils.extension_path_user(PACKAGE, path=name))
    except ValueError:  # imported from a checkout instead of installed as an extension
        return Path(bpy.utils.user_resource("DATAFILES", path=f"likeness/{name}"))
