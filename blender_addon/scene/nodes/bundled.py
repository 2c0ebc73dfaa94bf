"""The hair node groups that come with Blender, taken from its library of assets."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...errors import AddonError

LIBRARY = "procedural_hair_node_assets.blend"
FOLDERS = ("assets/nodes", "assets/geometry_nodes")
"""Where the library lies below Blender's data files: from 5.0 on, and before."""
BUNDLED = "likeness_bundled"
"""On a node group: its name in the library."""


def bundled_group(name: str) -> bpy.types.NodeTree:
    """The .blend file's copy of a group of Blender's library, appended if missing. Raises ``AddonError`` where this
    Blender lacks the library or the group."""
    for group in bpy.data.node_groups:
        if group.get(BUNDLED) == name and group.library is None:
            return group
    with bpy.data.libraries.load(str(_library())) as (there, wanted):
        if name not in there.node_groups:
            raise AddonError(f"This Blender's hair assets lack “{name}”.", "Use Blender 4.2 or later.", "hair_nodes")
        wanted.node_groups = [name]
    group = wanted.node_groups[0]
    group[BUNDLED] = name
    if group.asset_data is not None:
        group.asset_clear()
    return group


def _library() -> Path:
    data = bpy.utils.system_resource("DATAFILES")
    found = [Path(data) / folder / LIBRARY for folder in FOLDERS if data]
    for path in found:
        if path.is_file():
            return path
    raise AddonError("This Blender came without its hair assets.", "Install the one from blender.org.", "hair_nodes")
