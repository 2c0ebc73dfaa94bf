"""Draw the pictures of the extension's *Face Keys* and *Hairstyle*: ``python tools/pictures.py keys hair``; needs bpy.

The person of ``assets/demo``, imported as in the extension and drawn by Cycles in even light, makes each key alone,
seen where it moves, and wears each style as its groom describes it, which photos only lengthen, tied hair from behind.
Some 8 processor seconds for a key's picture, 30 for a style's.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import bpy
import numpy as np
from mathutils import Euler, Vector
from PIL import Image

from backend.exchange.face_asset import FaceAsset
from backend.exchange.wire import encode_face
from backend.hair.fit_hair import grooms_of
from backend.hair.groom.description import load_grooms
from backend.hair.groom.dress import groom_strands
from backend.photos.collection import PhotoSource
from backend.pipeline import Reconstruction, ReconstructOptions, reconstruct
from blender_addon.objects.tags import Place, hair_object, head_collections, part_object
from blender_addon.protocol.result import decode_result
from blender_addon.scene.expressions import set_expression
from blender_addon.scene.importing import import_steps
from blender_addon.ui.pictures import SIDE
from protocol.names import ARKIT_NAMES
from protocol.options import HAIR_STYLES

ROOT = Path(__file__).resolve().parents[1]
FINER, SAMPLES = 4, 6
"""Pixels drawn for one of a picture, along a side, and samples of each."""


@dataclass(frozen=True)
class View:
    """What a picture shows: a part and metres from its middle to the picture's, Blender's axes; metres across; degrees
    of the camera from ahead."""

    part: str = "head"
    place: tuple[float, float, float] = (0.0, 0.02, 0.0)
    width: float = 0.4
    turn: float = 40.0


BROW, BROWS = View("eye_left", (0.0, 0.0, 0.015), 0.085, 0.0), View("eye_left", (-0.032, 0.0, 0.015), 0.12, 0.0)
EYE, CHEEK = View("eye_left", (0.0, 0.0, 0.0), 0.06, 0.0), View("eye_left", (0.005, 0.0, -0.015), 0.09, 20.0)
MOUTH, LIPS = View("teeth_upper", (0.0, 0.0, -0.003), 0.1, 0.0), View("teeth_upper", (0.0, 0.0, -0.003), 0.1, 45.0)
JAW, NOSE = View("teeth_upper", (0.0, 0.0, -0.015), 0.16, 0.0), View("teeth_upper", (0.0, 0.0, 0.02), 0.11, 15.0)
CLOSED, CHEEKS = replace(JAW, width=0.13), replace(JAW, turn=30.0, width=0.13)
KEY_VIEWS = {
    "browInner": BROWS, "brow": BROW, "cheekPuff": CHEEKS, "cheek": CHEEK, "eyeSquint": CHEEK, "eye": EYE,
    "jawForward": replace(JAW, turn=75.0), "jaw": JAW, "mouthClose": CLOSED, "mouthFunnel": LIPS, "mouthPucker": LIPS,
    "mouthShrugUpper": LIPS, "mouth": MOUTH, "nose": NOSE, "tongue": LIPS,
}  # fmt: skip
"""How a key's name begins -> where it is seen; the first one counts."""
TILT, DISTANCE = 85.0, 1.5
"""Degrees of the camera from upright; its distance in metres."""
COLOUR = (0.09, 0.05, 0.028)
"""Linear albedo of the hair: brown, lighter than a groom's, which is black in so small a picture."""
SKY, SUN = 0.25, 3.0
"""Light from all sides; watts per square metre of a wide sun above the camera."""


def keys_drawn() -> Iterator[tuple[str, np.ndarray]]:
    """Each key that mirrors no other one, and its picture. *mouthClose* has a lowered jaw, whose lips it closes."""
    put_in_scene(replace(demo_head().asset, hair_strands=None))
    head = part_object(head_collections()[0], "head")
    for key in (name for name in ARKIT_NAMES if not name.endswith("Right")):
        set_expression(head, {key: 1.0} | ({"jawOpen": 1.0} if key == "mouthClose" else {}))
        yield key, drawn(next(view for begin, view in KEY_VIEWS.items() if key.startswith(begin)))


def styles_drawn() -> Iterator[tuple[str, np.ndarray]]:
    """Each hairstyle and its picture."""
    made = demo_head()
    for style in (one.name for one in HAIR_STYLES):
        groom, strands = load_grooms().get(*grooms_of(style)), None
        if groom is not None:
            strands = groom_strands(groom, made.fitted.neutral)
            colour = np.tile(np.float32(COLOUR), (len(strands.points), 1))
            strands = replace(strands, root_colour=colour, tip_colour=colour)
        put_in_scene(replace(made.asset, hair_strands=strands))
        tied = groom is not None and groom.kind["tied"] != "no"
        yield style, drawn(View(turn=180.0 - View.turn) if tied else View())


def demo_head() -> Reconstruction:
    """The person of ``assets/demo``, without hair, as ``reconstruct`` returns it."""
    photos = [PhotoSource.from_path(path) for path in sorted((ROOT / "assets" / "demo").glob("*.jpg"))]
    return reconstruct(photos, ReconstructOptions(hair_style="shaved"))


def put_in_scene(asset: FaceAsset) -> None:
    """Import a head into an empty scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    message = encode_face(asset)
    result = decode_result(json.loads(json.dumps(message.header)), message.buffers)
    for _ in import_steps(result, Place.shown(bpy.context)):
        pass
    bpy.context.view_layer.update()


def drawn(view: View) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8 sRGB of the scene's head."""
    scene, part = bpy.context.scene, part_object(head_collections()[0], view.part)
    corners = np.array([part.matrix_world @ Vector(corner) for corner in part.bound_box])
    turned = Euler(np.radians([TILT, 0.0, view.turn]))
    camera, sun = bpy.data.cameras.new("camera"), bpy.data.lights.new("sun", "SUN")
    camera.type, camera.ortho_scale = "ORTHO", view.width
    sun.energy, sun.angle = SUN, 1.0
    middle = Vector(corners.min(0) + corners.max(0)) / 2 + Vector(view.place)
    scene.camera, lamp = bpy.data.objects.new("camera", camera), bpy.data.objects.new("sun", sun)
    for obj, tilt in ((scene.camera, 0.0), (lamp, 0.6)):
        scene.collection.objects.link(obj)
        obj.rotation_euler = (turned.x - tilt, 0.0, turned.z)
    scene.camera.location = middle + turned.to_matrix() @ Vector((0.0, 0.0, DISTANCE))
    scene.world = bpy.data.worlds.new("sky")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (SKY, SKY, SKY, 1.0)
    scene.render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", SAMPLES
    scene.cycles.use_denoising = hair_object(head_collections()[0]) is None  # it smears hairs
    scene.render.resolution_x = scene.render.resolution_y = FINER * SIDE
    with tempfile.TemporaryDirectory() as folder:
        scene.render.filepath = str(Path(folder, "drawn.png"))
        bpy.ops.render.render(write_still=True)
        with Image.open(scene.render.filepath) as picture:
            small = np.array(picture.convert("RGB").reduce(FINER))
    for obj in (scene.camera, lamp):
        bpy.data.objects.remove(obj)
    return small


def write(name: str, pictures: dict[str, np.ndarray]) -> None:
    """Write pictures of the colours of one palette beside the extension's program."""
    sheet = Image.fromarray(np.concatenate(list(pictures.values()))).quantize(256, dither=Image.Dither.NONE)
    palette = np.array(sheet.getpalette(), np.uint8).reshape(-1, 3)
    numbers = dict(zip(pictures, np.split(np.array(sheet), len(pictures)), strict=True))
    np.savez_compressed(ROOT / "blender_addon" / "ui" / f"{name}_pictures.npz", palette=palette, **numbers)


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        name, pictures = {"keys": ("key", keys_drawn), "hair": ("hair", styles_drawn)}[wanted]
        write(name, dict(pictures()))
