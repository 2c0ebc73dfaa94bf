"""A Blender of its own, in which a head waits or is put into a scene: ``python blender_that_ends.py STEP FOLDER``.

``waits``: a head waits; it says so when its file is there, and stays until it is killed. ``quits``: it ends as soon as
a head waits, as when Blender is quit. ``takes``: what others left behind goes into the scene; ``makes``: a head goes
straight there. Both print what is in the scene then, as one line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

import bpy
import pytest

sys.path[:0] = [str(Path(__file__).parent / "scene")]
from head_message import load_or_make  # noqa: E402
from instant_backend import enabled_backend  # noqa: E402
from other_file_steps import a_head_waits, begin, tick_while_busy  # noqa: E402

from blender_addon.objects import tags  # noqa: E402
from blender_addon.protocol.result import decode_result  # noqa: E402
from blender_addon.scene.materials import file_bytes  # noqa: E402
from blender_addon.session import session  # noqa: E402


def facts() -> dict:
    """All of the scene's only head, in a form that another process can compare."""
    (collection,) = tags.head_collections()
    found: dict = {"report": collection[tags.REPORT], "albedo": _digest(file_bytes(collection[tags.ALBEDO]))}
    for obj in tags.objects_of(collection):
        found[obj.name] = [list(map(list, obj.matrix_world)), obj.parent and obj.parent.name]
        if obj.type == "MESH":
            keys = obj.data.shape_keys.key_blocks if obj.data.shape_keys else ()
            found[obj.name] += [_digest(_coordinates(data)) for data in (obj.data.vertices, *(k.data for k in keys))]
            found[obj.name] += [layer.name for layer in obj.data.uv_layers]
    for group in collection[tags.PHOTOS]:
        image = group.get("image")
        told = [value for key, value in group.items() if key != "image"]
        found[f"photo {group['name']}"] = [*told, image and _digest(file_bytes(image))]
    return found


def _coordinates(data: bpy.types.bpy_prop_collection) -> bytes:
    return json.dumps([round(x, 7) for point in data for x in point.co]).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main(step: str, folder: Path) -> None:
    message = load_or_make()
    with pytest.MonkeyPatch.context() as patch:
        blender = enabled_backend(message, decode_result(message.header, message.buffers), folder, patch)
        next(blender)
        bpy.ops.likeness.clear_photos()
        if step == "takes":
            session().waiting.look()
            bpy.ops.likeness.take_head()
        else:
            for name, data in message.photos.items():
                (folder / name).write_bytes(data)
            bpy.ops.likeness.add_photos(directory=str(folder), files=[{"name": name} for name in message.photos])
        if step in ("waits", "quits"):
            a_head_waits()
        if step == "quits":
            next(blender, None)
        elif step == "waits":
            while not list((folder / "datafiles").rglob("*.head")):
                time.sleep(0.01)
            print("waits", flush=True)
            time.sleep(600)
        else:
            if step == "makes":
                begin()
            tick_while_busy()
            print(json.dumps([facts(), session().view.sentence.partition(", in ")[0]]))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
