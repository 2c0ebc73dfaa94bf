"""Shapes of single keys of a head: sculpted in place, mirrored, and as they were made."""

import zlib
from functools import cache
from pathlib import Path

import bpy
import numpy as np

from ..errors import AddonError
from ..objects.meshes import coordinates, hm08_vertices, key_scales, neutral_coordinates, to_blender
from ..protocol.result import ResultPart
from ..shared.names import ARKIT_NAMES
from .expressions import set_expression

MADE, STEP = "likeness_keys_made", 2e-6
"""Property of a head's mesh: what each key moves as it was made, compressed; metres of a step, of which 16 bits reach
65 mm."""
SCULPTED = "likeness_sculpted_key"
"""Property of a head while one of its keys is sculpted: the key, and the values of all keys before."""
SIDES = (("Left", "Right"), ("Right", "Left"))

KEY_REGIONS: dict[str, tuple[str, ...]] = {
    "Brows": ("brow",),
    "Eyes": ("eye",),
    "Cheeks and Nose": ("cheek", "nose"),
    "Mouth": ("mouth",),
    "Jaw and Tongue": ("jaw", "tongue"),
}
"""Groups of sliders -> how the names of their keys begin."""


def keep_made_keys(mesh: bpy.types.Mesh, part: ResultPart) -> None:
    """Remember what each key of a head's ``part`` moves."""
    steps = np.rint(to_blender(part.keys) / STEP).astype("<i2")
    mesh[MADE] = {name: zlib.compress(key.tobytes(), 1) for name, key in zip(part.key_names, steps, strict=True)}


def made_offsets(mesh: bpy.types.Mesh, key: str) -> np.ndarray:
    """(V, 3) what a key moves as it was made, in the size that sliders gave it. Raises ``AddonError`` ``not_known``."""
    held = mesh.get(MADE, {}).get(key)
    moved = np.frombuffer(zlib.decompress(held) if held else b"", "<i2").reshape(-1, 3)
    if len(moved) != len(mesh.vertices):
        raise AddonError(f"This file does not know how {key} was made.", "Solve the head again.", "not_known")
    return STEP * moved.astype(np.float32) * key_scales(mesh)


def offsets(mesh: bpy.types.Mesh, key: str) -> np.ndarray:
    """(V, 3) what a key moves now."""
    return coordinates(mesh.shape_keys.key_blocks[key].points) - neutral_coordinates(mesh)


def is_changed(mesh: bpy.types.Mesh, key: str) -> bool:
    """Whether a key was sculpted since it was made."""
    return bool(np.abs(offsets(mesh, key) - made_offsets(mesh, key)).max() > 2 * STEP)


def _put(mesh: bpy.types.Mesh, key: str, moved: np.ndarray) -> None:
    block = mesh.shape_keys.key_blocks[key]
    block.points.foreach_set("co", (neutral_coordinates(mesh) + moved).astype(np.float32).ravel())
    block.lock_shape = is_changed(mesh, key)
    mesh.update()


def reset_key(mesh: bpy.types.Mesh, key: str) -> None:
    """Give a key the shape that it was made with; it is locked no more. Raises ``AddonError`` ``not_known``."""
    _put(mesh, key, made_offsets(mesh, key))


def mirror_key(mesh: bpy.types.Mesh, key: str) -> str:
    """Give the other side's key the mirror image of a key of one side; in a key of both sides, give the half that was
    sculpted less the other one's mirror image. Returns the name of the key that changed, which is locked like any
    sculpted one. Raises ``AddonError`` where the mesh's faces were edited."""
    number = hm08_vertices(mesh)
    across, on_left = _sides()
    if number.min() < 0 or number.max() >= len(across):
        raise AddonError("The faces of this mesh were edited.", "Only a head's own mesh can be mirrored.", "edited")
    place = np.full(len(across), -1)
    place[number] = np.arange(len(number))
    other, now = place[across[number]], offsets(mesh, key)
    mirrored = now[other] * np.array([-1, 1, 1], np.float32)
    onto = next((key.removesuffix(a) + b for a, b in SIDES if key.endswith(a)), key)
    if onto == key:
        left, middle = on_left[number], across[number] == number
        carved = np.linalg.norm(now - made_offsets(mesh, key), axis=1)
        more = carved[left & ~middle].sum() >= carved[~left & ~middle].sum()
        mirrored = np.where((left == more)[:, None], now, mirrored)
        mirrored[middle] = 0.5 * (now + now[other] * [-1, 1, 1])[middle]
    _put(mesh, onto, mirrored)
    return onto


@cache
def _sides() -> tuple[np.ndarray, np.ndarray]:
    """(H,) vertex of MakeHuman's base mesh across the median plane, itself there and for vertices of no head; (H,)
    whether a vertex is on the person's left."""
    with np.load(Path(__file__).with_name("shape_sliders.npz"), allow_pickle=False) as file:
        across = file["across"].astype(np.int64)
        return across, np.unpackbits(file["left"])[: len(across)].astype(bool)


def begin_sculpting(head: bpy.types.Object, key: str) -> None:
    """Show one key of a head alone at full strength, the parts too, in Sculpt Mode. Strokes change it alone: the rest
    shape stays. The head is the active object."""
    keys = head.data.shape_keys
    head[SCULPTED] = {
        "key": key,
        "weights": {one.name: one.value for one in keys.key_blocks if one.name in ARKIT_NAMES},
    }
    block = keys.key_blocks[key]
    block.lock_shape = False
    set_expression(head, {key: 1.0})
    head.active_shape_key_index, head.show_only_shape_key = keys.key_blocks.find(key), True
    bpy.ops.object.mode_set(mode="SCULPT")


def end_sculpting(head: bpy.types.Object) -> None:
    """Leave ``begin_sculpting``: the face as it was before, and the key locked if it was changed."""
    bpy.ops.object.mode_set(mode="OBJECT")
    before, head.show_only_shape_key = head[SCULPTED].to_dict(), False
    del head[SCULPTED]
    key = before["key"]
    if key in head.data.shape_keys.key_blocks:
        set_expression(head, before["weights"])
        head.data.shape_keys.key_blocks[key].lock_shape = is_changed(head.data, key)
