"""Draw the small pictures of the 52 keys for the add-on's panel: ``python -m trainer.template.pictures.key_pictures``.

The sheet has left and central keys only; the add-on mirrors the pictures of the left ones for the right ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from backend.geometry.template import Template, load_template
from backend.rendering.camera import Camera
from backend.rig.arkit import ARKIT_INDEX
from protocol.names import ARKIT_NAMES
from trainer.template.pictures.key_sheet import PaintedHead, portrait_camera

SHEET = Path(__file__).resolve().parents[3] / "blender_addon" / "ui" / "key_pictures.png"
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
    picture = head.seen(template.vertices + weight * _offsets(template, name), _camera(template, name))
    return picture.over(BACKGROUND)


def draw_pictures(template: Template) -> Image.Image:
    """Draw the sheet of ``pictured`` with a palette: its PNG has no filters, so that the add-on needs no library."""
    head, names = PaintedHead.of(template), pictured()
    sheet = np.zeros((-(-len(names) // COLUMNS) * SIDE, COLUMNS * SIDE, 3), np.uint8)
    for index, name in enumerate(names):
        row, column = (SIDE * place for place in divmod(index, COLUMNS))
        sheet[row : row + SIDE, column : column + SIDE] = draw_key(head, template, name)
    return Image.fromarray(sheet).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def _offsets(template: Template, name: str) -> np.ndarray:
    return sum(template.expressions[ARKIT_INDEX[key]] for key in (name, _WITH.get(name)) if key)


def _camera(template: Template, name: str) -> Camera:
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
    """Write the sheet into the add-on."""
    draw_pictures(load_template()).save(SHEET, optimize=True)


if __name__ == "__main__":
    main()
