"""Draw the pictures of the extension's *Hairstyle* menu: ``python tools/hair_pictures.py``; needs bpy.

The person of ``assets/demo`` wears each style as its groom describes it, which photos only lengthen: imported as in the
extension, and drawn by Cycles in even light, tied hair from behind. Some 30 processor seconds a picture.
"""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
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
from backend.pipeline import ReconstructOptions, reconstruct
from blender_addon.objects.tags import Place, head_collections, part_object
from blender_addon.protocol.result import decode_result
from blender_addon.scene.importing import import_steps
from blender_addon.ui.pictures import SIDE
from protocol.options import HAIR_STYLES

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "blender_addon" / "ui" / "hair_pictures.npz"
FINER, SAMPLES = 4, 6
"""Pixels drawn for one of a picture, along a side, and samples of each."""
TURN, TILT, DISTANCE = 40.0, 85.0, 1.5
"""Degrees of the camera from ahead, or from behind, and from upright; its distance in metres."""
WIDTH, MIDDLE = 0.4, (0.0, 0.02, 0.0)
"""Metres that a picture shows across, and from the middle of the head's mesh to its own, Blender's axes."""
COLOUR = (0.09, 0.05, 0.028)
"""Linear albedo of the hair: brown."""
SKY, SUN = 0.25, 3.0
"""Light from all sides; watts per square metre of a wide sun above the camera."""


def dressed_heads() -> Iterator[tuple[str, bool, FaceAsset]]:
    """Each style, whether its hair is tied, and the head that wears it."""
    photos = [PhotoSource.from_path(path) for path in sorted((ROOT / "assets" / "demo").glob("*.jpg"))]
    made = reconstruct(photos, ReconstructOptions(hair_style="shaved"))
    for style in (one.name for one in HAIR_STYLES):
        groom, strands = load_grooms().get(*grooms_of(style)), None
        if groom is not None:
            strands = groom_strands(groom, made.fitted.neutral)
            colour = np.tile(np.float32(COLOUR), (len(strands.points), 1))
            strands = replace(strands, root_colour=colour, tip_colour=colour)
        yield style, groom is not None and groom.kind["tied"] != "no", replace(made.asset, hair_strands=strands)


def drawn(asset: FaceAsset, behind: bool, path: Path) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8 sRGB."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    message, scene = encode_face(asset), bpy.context.scene
    result = decode_result(json.loads(json.dumps(message.header)), message.buffers)
    for _ in import_steps(result, Place.shown(bpy.context)):
        pass
    bpy.context.view_layer.update()
    head = part_object(head_collections()[0], "head")
    corners = np.array([head.matrix_world @ Vector(corner) for corner in head.bound_box])
    turned = Euler(np.radians([TILT, 0.0, 180.0 - TURN if behind else TURN]))
    camera, sun = bpy.data.cameras.new("camera"), bpy.data.lights.new("sun", "SUN")
    camera.type, camera.ortho_scale = "ORTHO", WIDTH
    sun.energy, sun.angle = SUN, 1.0
    middle = Vector(corners.min(0) + corners.max(0)) / 2 + Vector(MIDDLE)
    scene.camera = bpy.data.objects.new("camera", camera)
    for obj, tilt in ((scene.camera, 0.0), (bpy.data.objects.new("sun", sun), 0.6)):
        scene.collection.objects.link(obj)
        obj.rotation_euler = (turned.x - tilt, 0.0, turned.z)
    scene.camera.location = middle + turned.to_matrix() @ Vector((0.0, 0.0, DISTANCE))
    scene.world = bpy.data.worlds.new("sky")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (SKY, SKY, SKY, 1.0)
    scene.render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", SAMPLES
    scene.cycles.use_denoising = False
    scene.render.resolution_x = scene.render.resolution_y = FINER * SIDE
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB").reduce(FINER))


def main() -> None:
    """Write ``FILE``: pictures of the colours of one palette."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = {style: drawn(asset, behind, Path(folder, "drawn.png")) for style, behind, asset in dressed_heads()}
    sheet = Image.fromarray(np.concatenate(list(pictures.values()))).quantize(256, dither=Image.Dither.NONE)
    palette = np.array(sheet.getpalette(), np.uint8).reshape(-1, 3)
    np.savez_compressed(
        FILE, palette=palette, **dict(zip(pictures, np.split(np.array(sheet), len(pictures)), strict=True))
    )


if __name__ == "__main__":
    main()
