"""What this extension is called, by itself and by Blender."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

PACKAGE = __package__ or "blender_addon"
"""The module's name in Blender: ``bl_ext.<repository>.likeness`` when it was installed."""
HERE = Path(__file__).resolve().parent


@cache
def version() -> str:
    """The extension's version, from its manifest."""
    return str(tomllib.loads((HERE / "blender_manifest.toml").read_text("utf-8"))["version"])


def client_name() -> str:
    """How the extension introduces itself to the backend."""
    return f"likeness-blender {version()}"


def backend_archive() -> Path:
    """Where the backend's source comes from: the zip beside this file, or the checkout that this file lies in."""
    packed = HERE / "backend.zip"
    return packed if packed.exists() or not (HERE.parent / "backend").is_dir() else HERE.parent
