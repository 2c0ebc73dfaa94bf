"""Small pictures of the 52 keys for the add-on's panel: ``python -m trainer.template.key_pictures``.

The sheet has a picture of every key that is not the mirror image of another; the add-on mirrors the others.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from backend.geometry.template import Template, load_template
from backend.rendering.camera import Camera
from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES
from trainer.template.key_sheet import PaintedHead
from trainer.template.portrait_camera import portrait_camera

SHEET = Path(__file__).resolve().parents[2] / "blender_addon" / "ui" / "key_pictures.png"
SIDE, COLUMNS = 64, 8
"""Pixels of a picture's sides, what Blender draws at three times an icon's size; and pictures in a row."""
BACKGROUND = (61, 61, 61)
"""sRGB of Blender's panels in its own theme."""
_LEAST_SPAN, _ROOM = 0.07, 1.25
"""Metres across a picture at least, so that one sees which part it is; and in parts of what moves."""
_MOVES = 0.5
"""A vertex moves that goes by more than this part of the way of the one that goes farthest."""
_WITH = {"mouthClose": "jawOpen"}
"""Keys that are made for another one: `mouthClose` shuts the lips of an open jaw."""
_TURNED = {"jawForward": 70.0, "tongueOut": 35.0, "cheekPuff": 35.0, "mouthPucker": 35.0, "mouthFunnel": 35.0}
"""Degrees to the person's left from which a key is seen that comes towards somebody in front."""


def pictured() -> tuple[str, ...]:
    """Names of the sheet's pictures, row by row: all keys but those whose other side is there."""
    return tuple(sorted(n for n in ARKIT_NAMES if not (n.endswith("Right") and n[:-5] + "Left" in ARKIT_NAMES)))


def draw_key(head: PaintedHead, template: Template, name: str, weight: float = 1.0) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8 sRGB: a key at ``weight``, framed on what it moves."""
    picture = head.seen(template.vertices + weight * _offsets(template, name), _camera(template, name))
    return picture.over(BACKGROUND)


def draw_pictures(template: Template) -> Image.Image:
    """The sheet of ``pictured``, with a palette, whose PNG has no filters: the add-on reads it without a library."""
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
    if name.startswith("mouth"):  # both of its corners are seen, so that one sees which of them moves
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
