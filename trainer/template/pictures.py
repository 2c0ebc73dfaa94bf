"""Pictures of the 52 keys and of the hairstyles on the mean head: ``python -m trainer.template.pictures`` draws them.

Contact sheets of the keys and of combinations for the docs, and the small pictures of the add-on's panel, which has
left and central keys only and mirrors the pictures of the left ones. Hairstyles are those of synthetic people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from backend.geometry.subdivision import Subdivision, subdivide
from backend.geometry.template import Template, load_template, triangles_from_quads
from backend.hair.draw import draw_hair
from backend.hair.fit_hair import HAIR_RADIUS
from backend.hair.hair_strands import HairStrands
from backend.hair.hull import head_hull, hull_surface
from backend.rendering.camera import Camera
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.rendering.render import STUDIO_LIGHT, Rendering, render_linear
from backend.rig.eye_surfaces import IRIS_RADIUS
from protocol.names import ARKIT_INDEX, ARKIT_NAMES
from protocol.options import HAIR_STYLES
from trainer.heads.raytrace import look_at
from trainer.people.dress.grow import STYLES, Flow, Locks, grow, lock_paths
from trainer.people.dress.hair import LOCKS, SEGMENTS
from trainer.people.dress.hair import draw_hair as draw_locks
from trainer.people.look import draw_look


def portrait_camera(target: np.ndarray, yaw: float, size: int, span: float = 0.34, distance: float = 1.2) -> Camera:
    """A camera that shows the head turned by ``yaw`` degrees to its left.

    target : (3,) metres, projected to the middle of the picture of ``size`` x ``size`` pixels. span : metres across the
    picture at the target. distance : metres from the target.
    """
    return look_at(yaw, 0.0, 0.0, distance, size * distance / span, (size, size), target)


FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"

COLORS = {
    "head": (0.50, 0.31, 0.23), "eye_left": (0.75, 0.75, 0.75), "eye_right": (0.75, 0.75, 0.75),
    "teeth_upper": (0.75, 0.70, 0.58), "teeth_lower": (0.75, 0.70, 0.58), "tongue": (0.45, 0.13, 0.14),
}  # fmt: skip
"""Linear albedo of the parts, without lashes, which are cards that need their texture."""
IRIS, PUPIL, LIP = (0.10, 0.16, 0.20), (0.01, 0.01, 0.01), (0.42, 0.17, 0.15)
PUPIL_RADIUS = 0.0021

COMBINATIONS: tuple[tuple[str, Mapping[str, float]], ...] = (
    ("smile", {"mouthSmile": 1.0, "cheekSquint": 0.6, "eyeSquint": 0.4}),
    ("laugh", {"mouthSmile": 1.0, "jawOpen": 0.4, "cheekSquint": 0.8, "eyeSquint": 0.6, "mouthUpperUp": 0.3}),
    ("smile, eyes shut", {"mouthSmile": 0.8, "eyeBlink": 1.0, "cheekSquint": 0.5}),
    ("surprise", {"jawOpen": 0.5, "eyeWide": 0.8, "browInnerUp": 0.8, "browOuterUp": 0.8}),
    ("anger", {"browDown": 1.0, "eyeSquint": 0.6, "noseSneer": 0.5, "mouthPress": 0.7, "mouthFrown": 0.3}),
    ("disgust", {"noseSneer": 0.9, "mouthUpperUp": 0.5, "browDown": 0.6, "eyeSquint": 0.5, "mouthFrown": 0.4}),
    ("sadness", {"browInnerUp": 0.9, "mouthFrown": 0.8, "mouthShrugLower": 0.5, "eyeLookDown": 0.5}),
    ("fear", {"browInnerUp": 0.9, "eyeWide": 0.9, "mouthStretch": 0.8, "jawOpen": 0.25}),
    ("ah", {"jawOpen": 0.6}),
    ("oh", {"jawOpen": 0.4, "mouthFunnel": 0.7}),
    ("oo", {"mouthPucker": 0.9, "jawOpen": 0.15}),
    ("mm, jaw open", {"jawOpen": 0.5, "mouthClose": 0.5, "mouthRollLower": 0.3, "mouthRollUpper": 0.3}),
)
"""Names without a side mean both sides."""


def combination_weights(combination: Mapping[str, float]) -> np.ndarray:
    """(52,) weights of a combination; a name without its side sets left and right."""
    weights = np.zeros(len(ARKIT_NAMES))
    for name, weight in combination.items():
        for full in (name, name + "Left", name + "Right"):
            if full in ARKIT_INDEX:
                weights[ARKIT_INDEX[full]] = weight
    return weights


@dataclass(frozen=True)
class PaintedHead:
    """The template's parts in plain colours, without lashes, for rendering in many poses.

    Attributes
    ----------
    fine : subdivision of all parts. faces : (F, 3) its triangles. colors : (V, 3) linear albedo of its vertices.
    """

    fine: Subdivision
    faces: np.ndarray
    colors: np.ndarray

    @classmethod
    def of(cls, template: Template) -> PaintedHead:
        fine = subdivide(template, 1)
        parts = [fine.parts[name] for name in COLORS]
        faces = np.concatenate([triangles_from_quads(fine.quads[part.face_start : part.face_stop]) for part in parts])
        return cls(fine, faces, _colors(template, fine))

    def render(self, cage: np.ndarray, camera: Camera) -> Rendering:
        """Render ``cage``, (V, 3) vertices of all parts in metres."""
        vertices = self.fine.positions(np.asarray(cage, dtype=np.float64))
        return render_linear(vertices, self.faces, camera, colors=self.colors, light=STUDIO_LIGHT)


def draw_sheet(
    template: Template, posed: Mapping[str, np.ndarray], size: int, columns: int, yaws: tuple[float, ...] = (0.0, 0.6)
) -> Image.Image:
    """Render a labelled sheet of heads.

    Parameters
    ----------
    posed : label -> (V, 3) cage vertices of all parts. size : side of one picture in pixels. columns : heads per row.
    yaws : camera angles of the views, radians to the person's left.
    """
    head = PaintedHead.of(template)
    rows = -(-len(posed) // columns)
    sheet = Image.new("RGB", (columns * size * len(yaws), rows * size), "white")
    draw = ImageDraw.Draw(sheet)
    cameras = [_camera(template, size, yaw) for yaw in yaws]
    for index, (label, cage) in enumerate(posed.items()):
        row, column = divmod(index, columns)
        for view, camera in enumerate(cameras):
            picture = head.render(cage, camera).over((236, 236, 236))
            sheet.paste(Image.fromarray(picture), ((column * len(yaws) + view) * size, row * size))
        draw.text((column * len(yaws) * size + 5, row * size + 4), label, fill=(40, 40, 40))
    return sheet


def draw_keys(template: Template, size: int = 150) -> Image.Image:
    """Sheet of all 52 keys at weight 1, front and three-quarter view."""
    posed = {name: template.vertices + template.expressions[index] for index, name in enumerate(ARKIT_NAMES)}
    return draw_sheet(template, posed, size, columns=6)


def draw_combinations(template: Template, size: int = 220) -> Image.Image:
    """Sheet of ``COMBINATIONS``, front and three-quarter view."""
    posed = {
        label: template.vertices + np.tensordot(combination_weights(combination), template.expressions, 1)
        for label, combination in COMBINATIONS
    }
    return draw_sheet(template, posed, size, columns=3)


def _colors(template: Template, fine: Subdivision) -> np.ndarray:
    neutral = template.vertices
    colors = np.zeros((len(neutral), 3))
    for name, color in COLORS.items():
        part = template.parts[name]
        colors[part.vertex_start : part.vertex_stop] = color
    lips = np.clip(template.regions["lips"], 0.0, 1.0)[:, None]
    colors = colors * (1.0 - lips) + lips * np.array(LIP)
    colors = fine.positions(colors)
    positions = fine.positions(neutral.astype(np.float64))
    for eye, name in enumerate(("eye_left", "eye_right")):
        rows = slice(fine.parts[name].vertex_start, fine.parts[name].vertex_stop)
        arm = positions[rows] - template.eye_pivots[eye]
        across = np.where(arm[:, 2] > 0, np.hypot(arm[:, 0], arm[:, 1]), np.inf)
        colors[rows][across < IRIS_RADIUS] = IRIS
        colors[rows][across < PUPIL_RADIUS] = PUPIL
    return colors.astype(np.float32)


def _camera(template: Template, size: int, yaw: float) -> Camera:
    head = template.vertices[: template.head.vertex_stop]
    middle = np.array([0.0, template.eye_pivots[:, 1].mean() - 0.030, head[:, 2].mean()])
    return portrait_camera(middle, -np.degrees(yaw), size, 0.20)  # the camera goes to the person's left


SHEET = Path(__file__).resolve().parents[2] / "blender_addon" / "ui" / "key_pictures.png"
SIDE, COLUMNS = 64, 8
"""Side of a picture in pixels, which Blender shows at three times an icon's size; and pictures per row."""
BACKGROUND = (61, 61, 61)
"""sRGB of panels in Blender's default theme."""
_LEAST_SPAN, _ROOM = 0.07, 1.25
"""Smallest width of a picture in metres, so that the part of the face is recognisable; and width over that of the
moving part."""
_MOVES = 0.5
"""Vertices count as moving if they move by more than this share of the largest motion."""
_WITH = {"mouthClose": "jawOpen"}
"""Keys that are shown together with another one: `mouthClose` shuts the lips of an open jaw."""
_TURNED = {"jawForward": 70.0, "tongueOut": 35.0, "cheekPuff": 35.0, "mouthPucker": 35.0, "mouthFunnel": 35.0}
"""Degrees to the person's left of the camera for keys that move towards the front."""


def pictured() -> tuple[str, ...]:
    """Names of the sheet's pictures, row by row: all keys except right ones with a left partner."""
    return tuple(sorted(n for n in ARKIT_NAMES if not (n.endswith("Right") and n[:-5] + "Left" in ARKIT_NAMES)))


def draw_key(head: PaintedHead, template: Template, name: str, weight: float = 1.0) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8 sRGB picture of a key at ``weight``, framed on the part that moves."""
    picture = head.render(template.vertices + weight * _offsets(template, name), _key_camera(template, name))
    return picture.over(BACKGROUND)


def _sheet(pictures: Sequence[np.ndarray]) -> Image.Image:
    """Pictures (SIDE, SIDE, 3) uint8 in ``COLUMNS`` columns, with a palette: its PNG has no filters, so that the add-on
    needs no library."""
    sheet = np.zeros((-(-len(pictures) // COLUMNS) * SIDE, COLUMNS * SIDE, 3), np.uint8)
    for index, picture in enumerate(pictures):
        row, column = (SIDE * cell for cell in divmod(index, COLUMNS))
        sheet[row : row + SIDE, column : column + SIDE] = picture
    return Image.fromarray(sheet).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def draw_pictures(template: Template) -> Image.Image:
    """Draw the sheet of ``pictured``."""
    head = PaintedHead.of(template)
    return _sheet([draw_key(head, template, name) for name in pictured()])


HAIR_SHEET = SHEET.with_name("hair_pictures.png")
_LARGE = 4
"""Hair is drawn at so many times the pictures' size."""
_HAIR = (0.055, 0.027, 0.014)
"""Linear albedo of brown hair."""
_SEEDS = 10_000
"""Draws of hair among which each hairstyle comes up."""


def pictured_styles() -> tuple[str, ...]:
    """Names of the sheet's hairstyles, row by row."""
    return tuple(str(style.name) for style in HAIR_STYLES)


def draw_hairstyle(head: PaintedHead, template: Template, name: str) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8 sRGB picture of a hairstyle on the mean head, from its right."""
    vertices = template.vertices[: template.head.vertex_stop].astype(np.float64)
    middle = 0.5 * (vertices.min(0) + vertices.max(0))
    camera = portrait_camera(middle, 35.0, _LARGE * SIDE)
    strands = None if name == "shaved" else _strands_of(template, name)
    if strands is not None and name != "balding":
        scalp = head.fine.positions(np.repeat(template.regions["scalp"][:, None], 3, 1).astype(np.float64))
        head = replace(head, colors=(head.colors * (1 - scalp) + scalp * np.array(_HAIR)).astype(np.float32))
    picture = linear_from_srgb(head.render(template.vertices, camera).over(BACKGROUND)).astype(np.float32)
    if strands is not None:
        faces = triangles_from_quads(template.quads[: template.head.face_stop])
        hair = draw_hair(strands, camera, vertices, faces, STUDIO_LIGHT)
        picture = picture * (1 - hair.alpha[..., None]) + hair.color
    return srgb_bytes(picture.reshape(SIDE, _LARGE, SIDE, _LARGE, 3).mean((1, 3)))


def _strands_of(template: Template, name: str) -> HairStrands:
    """The locks of the first drawn head of hair of a style; ``balding`` is messy hair of a bald man. Locks on a
    closed body of hair begin at the scalp."""
    hull, bald = head_hull(template), name == "balding"
    style_name, female = ("messy", 0.0) if bald else (name, float(name in ("bob", "pixie", "tied back")))
    number = next(index for index, style in enumerate(STYLES) if style.name == style_name)
    for seed in range(_SEEDS):
        generator = np.random.default_rng(seed)
        look = replace(draw_look(generator), baldness=0.8 * bald, femininity=female, hair=np.array(_HAIR))
        hair = draw_locks(generator, look, hull, LOCKS)
        if int(hair.style) == number:
            break
    length, base = hair.locks.length, hair.locks.base
    rooted = replace(hair.locks, length=(length + 0.5 * base) * (length > 0), base=0.0 * base)
    locks, flow = _batched(rooted), _batched(hair.flow)
    lines = (torch.from_numpy(line).float() for line in (hull.hairline, hull.brow_line))
    head = torch.from_numpy(template.vertices[None, : template.head.vertex_stop]).float()
    surface = hull_surface(hull, head, torch.tensor([float(hair.ear_room)]))
    points = lock_paths(surface, locks, *grow(locks, flow, *lines, SEGMENTS))[0][0].numpy()
    shown = np.asarray(length) > 1e-3
    tone = np.asarray(hair.locks.tone, np.float32)[shown, None]
    colour = np.array([_HAIR], np.float32) * tone
    width = np.asarray(hair.locks.width, np.float32)[shown]
    roots = np.zeros((len(width), 2), np.float32)
    return HairStrands(points[shown].astype(np.float32), roots, width, colour, colour, HAIR_RADIUS, name, {})


def _batched(numbers: Flow | Locks) -> Flow | Locks:
    """The same as tensors of a batch of one."""
    return type(numbers)(
        **{key: torch.from_numpy(np.asarray(value)).float()[None] for key, value in vars(numbers).items()}
    )


def draw_hair_pictures(template: Template) -> Image.Image:
    """Draw the sheet of ``pictured_styles``."""
    head = PaintedHead.of(template)
    return _sheet([draw_hairstyle(head, template, name) for name in pictured_styles()])


def _offsets(template: Template, name: str) -> np.ndarray:
    return sum(template.expressions[ARKIT_INDEX[key]] for key in (name, _WITH.get(name)) if key)


def _key_camera(template: Template, name: str) -> Camera:
    rest, offsets = template.vertices, _offsets(template, name)
    way = np.linalg.norm(offsets, axis=1)
    moved = way > _MOVES * way.max()
    if name.startswith("mouth"):  # show the whole mouth, so that the moving corner is recognisable
        moved |= template.regions["lips"] > _MOVES
    there = np.concatenate([rest[moved], (rest + offsets)[moved]])
    low, high = there.min(0), there.max(0)
    span = max(_LEAST_SPAN, _ROOM * float((high - low)[:2].max()))
    return portrait_camera((low + high) / 2, -_TURNED.get(name, 0.0), SIDE, span)


def main() -> None:
    """Write ``arkit_keys.jpg`` and ``arkit_combinations.jpg`` for the docs, and the add-on's sheets."""
    template = load_template()
    for name, sheet in (("arkit_keys", draw_keys(template)), ("arkit_combinations", draw_combinations(template))):
        sheet.save(FOLDER / f"{name}.jpg", quality=82, optimize=True)
    draw_pictures(template).save(SHEET, optimize=True)
    draw_hair_pictures(template).save(HAIR_SHEET, optimize=True)


if __name__ == "__main__":
    main()
