"""Draw the pictures of the extension's *Face Keys* and *Hairstyle*: ``python tools/pictures.py keys hair``; needs bpy.
``python tools/pictures.py pages`` draws the keys, faces of several keys and the learned basis' modes for the pages.

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
import torch
from mathutils import Euler, Vector
from PIL import Image

from backend.exchange.asset_mesh import asset_mesh, neutral_lamps, neutral_light
from backend.exchange.face_asset import FaceAsset
from backend.exchange.preview import BACKDROP
from backend.exchange.wire import encode_face
from backend.geometry.template import load_template
from backend.hair.fit_hair import grooms_of
from backend.hair.groom.description import load_grooms
from backend.hair.groom.dress import groom_strands
from backend.models.learned_basis.apply import BasisModel
from backend.models.learned_basis.network import FaceBases
from backend.photos.collection import PhotoSource
from backend.pipeline import Reconstruction, ReconstructOptions, reconstruct
from backend.rendering.camera import Camera, look_at
from backend.rendering.render import render_linear
from blender_addon.objects.tags import Place, hair_object, head_collections, part_object
from blender_addon.protocol.result import decode_result
from blender_addon.scene.expressions import set_expression
from blender_addon.scene.importing import import_steps
from blender_addon.ui.pictures import SIDE
from protocol.names import ARKIT_NAMES
from protocol.options import HAIR_STYLES
from trainer.engine.sheets import TILE, in_rows, sheet, write_sheet
from trainer.heads.dressed import face_middle

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

COMBINATIONS: dict[str, dict[str, float]] = {
    "smile": {"mouthSmile": 0.9, "cheekSquint": 0.6, "eyeSquint": 0.4},
    "laugh": {"mouthSmile": 0.9, "cheekSquint": 0.8, "eyeSquint": 0.7, "jawOpen": 0.5, "mouthUpperUp": 0.3},
    "anger": {"browDown": 1.0, "noseSneer": 0.6, "eyeSquint": 0.5, "mouthPress": 0.8},
    "surprise": {"browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 0.9, "jawOpen": 0.6},
    "sadness": {"browInnerUp": 1.0, "mouthFrown": 0.9, "mouthShrugLower": 0.4, "eyeSquint": 0.2},
    "lips closed by mouthClose": {"jawOpen": 1.0, "mouthClose": 1.0},
    "mouthClose alone": {"mouthClose": 1.0},
    "blink, looking down": {"eyeBlink": 1.0, "eyeLookDown": 1.0},
}
"""Name -> keys, without a side on both; the last two are what a face cannot do."""
MODES, DEVIATIONS = 6, (-2.0, 0.0, 2.0)
"""Of each part of the learned basis: columns and rows of its sheet."""


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


def camera_of_face(cage: np.ndarray, side: int) -> Camera:
    """A view from a little aside of a face whose cage's vertices (C, 3) are the template's."""
    middle = face_middle(load_template().landmarks478.positions(cage.astype(np.float64)))
    middle += np.array([0.0, 0.02, -0.05])  # the whole face
    return look_at(20.0, 0.0, 0.0, DISTANCE, side * DISTANCE / 0.25, (side, side), middle)


def write_pages() -> None:
    """Write the sheets in ``docs/images``."""
    images, mesh = ROOT / "docs" / "images", asset_mesh(demo_head().asset)

    def face(weights: dict[str, float], side: int) -> np.ndarray:
        """(side, side, 3) uint8 of the head with weights of keys, without a side on both."""
        values = [
            weights.get(key, weights.get(key.removesuffix("Left").removesuffix("Right"), 0)) for key in ARKIT_NAMES
        ]
        light, lamp = neutral_light(), neutral_lamps()[0]
        return mesh.render(camera_of_face(mesh.cage, side), light, BACKDROP, np.array(values), lamp=lamp)

    keys = [sheet([[face({key: 1.0}, TILE) for key in row]], row) for row in in_rows(ARKIT_NAMES, 13)]
    write_sheet(images / "arkit_keys.jpg", [[row] for row in keys])
    names = in_rows([*COMBINATIONS], 4)
    faces = [sheet([[face(COMBINATIONS[name], 2 * TILE) for name in row]], row) for row in names]
    write_sheet(images / "arkit_combinations.jpg", [[row] for row in faces])
    bases = BasisModel.load().network.bases
    still = {kind: torch.zeros(1, getattr(bases.config, kind)) for kind in ("identity", "expression", "reflectance")}
    for kind, zeros in still.items():
        rows = []
        for value in DEVIATIONS:
            codes = [still | {kind: zeros.index_fill(1, torch.tensor([mode]), value)} for mode in range(MODES)]
            rows.append([_modelled(bases, code, clay=kind != "reflectance") for code in codes])
        write_sheet(images / f"basis_modes_{kind}.jpg", rows, [f"mode {mode + 1}" for mode in range(MODES)])


@torch.inference_mode()
def _modelled(bases: FaceBases, code: dict[str, torch.Tensor], clay: bool) -> np.ndarray:
    """(S, S, 3) uint8 of the learned basis' face of codes (1, M) by kind."""
    vertices = bases.vertices(*bases.node_offsets(code["identity"], code["expression"]))[0].numpy()
    colours = None if clay else bases.reflectance_of(code["reflectance"])[0].numpy()
    camera = camera_of_face(load_template().vertices, TILE + TILE // 4)
    light = None if clay else neutral_light()
    return render_linear(vertices, bases.faces.numpy(), camera, colors=colours, light=light).over(BACKDROP)


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
    if "pages" in sys.argv[1:]:
        write_pages()
    for wanted in set(sys.argv[1:]) - {"pages"}:
        name, pictures = {"keys": ("key", keys_drawn), "hair": ("hair", styles_drawn)}[wanted]
        write(name, dict(pictures()))
