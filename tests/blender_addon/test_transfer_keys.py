"""Make ARKit Keys: a Likeness head's 52 keys on meshes of other topologies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
import addon_utils  # noqa: E402

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "scene")]
from head_message import load_or_make  # noqa: E402
from scene_helpers import coordinates  # noqa: E402
from transfer_rigs import rig, select  # noqa: E402

from blender_addon.protocol.names import ARKIT_NAMES  # noqa: E402
from blender_addon.protocol.result import decode_result  # noqa: E402
from blender_addon.scene import tags  # noqa: E402
from blender_addon.scene.frames import to_blender  # noqa: E402
from blender_addon.scene.importing import import_head  # noqa: E402

pytestmark = pytest.mark.blender
ROOT = HERE.parents[1]
SHARED = Path(os.environ.get("LIKENESS_SHARED", ROOT.parent / "shared"))
ICT = SHARED / "faces3d" / "ict_facekit.npz"
ICT_SKIN = 14_062
"""Its first vertices: face, head, neck, mouth and eye sockets; then teeth, eyeballs, lashes."""


@pytest.fixture(scope="module")
def result():
    message = load_or_make()
    return decode_result(message.header, message.buffers)


@pytest.fixture
def head(result) -> Iterator:
    """A Likeness head in an empty file, the extension enabled."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert addon_utils.enable("blender_addon", default_set=True) is not None
    yield tags.part_object(import_head(result, bpy.context), "head")
    addon_utils.disable("blender_addon", default_set=True)


def mesh_object(name: str, vertices: np.ndarray, faces: np.ndarray):
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(vertices.tolist(), [], [tuple(dict.fromkeys(face)) for face in faces.tolist()])
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def motions(obj, name: str) -> np.ndarray:
    blocks = obj.data.shape_keys.key_blocks
    return coordinates(blocks[name].points).astype(float) - coordinates(blocks[0].points)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30))


def own_keys(data) -> dict[str, np.ndarray]:
    """ICT-FaceKit's expressions under ARKit's names, (V, 3) in Blender's axes; halves are added up."""
    found: dict[str, np.ndarray] = {}
    for name, offsets in zip(data["expression_names"], data["expression"], strict=True):
        base, _, side = str(name).partition("_")
        arkit = base + {"L": "Left", "R": "Right", "": ""}[side]
        arkit = arkit if arkit in ARKIT_NAMES else base
        found[arkit] = found.get(arkit, 0.0) + to_blender(offsets.astype(np.float32)).astype(float)
    return found


@pytest.mark.skipif(not ICT.is_file(), reason="needs ict_facekit.npz in the folder shared beside the repository")
def test_an_ict_head_gets_keys_like_its_own(head) -> None:
    with np.load(ICT) as data:
        obj = mesh_object("ict", to_blender(data["neutral"]), data["faces"])
        truth = own_keys(data)
    obj.scale = (0.012, 0.012, 0.012)
    obj.location, obj.rotation_euler = (0.7, 0.2, 1.1), (0.0, 0.0, np.pi / 2 + 0.1)
    bpy.context.view_layer.update()
    select(bpy, head, obj)
    begun = time.process_time()
    assert bpy.ops.likeness.make_arkit_keys() == {"FINISHED"}
    seconds = time.process_time() - begun
    made = {block.name for block in obj.data.shape_keys.key_blocks[1:]}
    assert made == ARKIT_NAMES and all(block.value == 0.0 for block in obj.data.shape_keys.key_blocks[1:])
    np.testing.assert_array_equal(coordinates(obj.data.shape_keys.key_blocks[0].points), coordinates(obj.data.vertices))
    skin, whole = {}, {}
    for name in sorted(truth):
        moved = motions(obj, name)
        skin[name] = cosine(moved[:ICT_SKIN], truth[name][:ICT_SKIN])
        whole[name] = cosine(moved, truth[name])
    print({name: round(c, 2) for name, c in skin.items()})
    print(
        f"{len(skin)} keys, skin {np.mean(list(skin.values())):.3f}, whole {np.mean(list(whole.values())):.3f}, {seconds:.1f} s"
    )
    assert len(skin) == 51
    assert np.mean(list(skin.values())) > 0.85 and min(skin.values()) > 0.5
    for side, name in ((1, "mouthSmileLeft"), (-1, "mouthSmileRight")):
        weight = np.linalg.norm(motions(obj, name), axis=1)
        assert side * (weight * coordinates(obj.data.vertices)[:, 0]).sum() > 0
