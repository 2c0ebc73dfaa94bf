"""The extension's names and version.

Folder for the extension's own files.
"""

import tomllib
from functools import cache
from pathlib import Path

import bpy

PACKAGE = __package__ or "blender_addon"
"""Module name in Blender: ``bl_ext.<repository>.likeness`` if installed as an extension."""
HERE = Path(__file__).resolve().parent


@cache
def version() -> str:
    """The extension's version, from its manifest."""
    return str(tomllib.loads((HERE / "blender_manifest.toml").read_text("utf-8"))["version"])


def backend_archive() -> Path:
    """Source of the backend: the zip beside this file, or the checkout that contains this file."""
    packed = HERE / "backend.zip"
    return packed if packed.exists() or not (HERE.parent / "backend").is_dir() else HERE.parent


def user_folder(name: str) -> Path:
    """The extension's folder ``name`` in the user's Blender folder; it survives updates, and may not exist yet."""
    try:
        return Path(bpy.utils.extension_path_user(PACKAGE, path=name))
    except ValueError:  # imported from a checkout instead of installed as an extension
        return Path(bpy.utils.user_resource("DATAFILES", path=f"likeness/{name}"))
