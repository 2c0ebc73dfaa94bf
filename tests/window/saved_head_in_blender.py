"""How stories of a saved head begin: Blender's default scene, the extension, and the head beside the cube.

They need ``message.npz`` in their folder: a head as ``tests/blender_addon/scene/head_message.py`` saves it.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import bpy
import numpy as np


def begun(tools: Any, sidebar: bool = True) -> Generator[float, None, bpy.types.Collection]:
    """The extension installed and the head in the default scene, with our tab beside it: the head's collection."""
    yield from tools.installed()
    assert "Cube" in bpy.data.objects, "the default scene"
    collection = put_head(tools)
    if sidebar:
        yield from tools.show_sidebar()
    return collection


def put_head(tools: Any) -> bpy.types.Collection:
    """The head of the message in the scene as it is, framed and drawn as one that arrives."""
    with np.load(tools.HERE / "message.npz") as arrays:
        header = json.loads(arrays["text"].tobytes())["header"]
        buffers = [arrays[name].tobytes() for name in sorted(arrays.files) if name.startswith("buffer")]
    result = tools.addon("protocol.result").decode_result(header, buffers)
    tags = tools.addon("objects.tags")
    list(tools.addon("scene.importing").import_steps(result, tags.Place.shown(bpy.context)))
    (collection,) = tags.head_collections()
    tools.addon("scene.cameras").frame_head(collection.name, bpy.context.scene)
    return collection


def head() -> bpy.types.Object:
    return next(obj for obj in bpy.data.objects if obj.get("likeness_part") == "head")
