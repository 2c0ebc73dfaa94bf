"""The tutorial's pictures out of two stories, in which the synthetic demo person is seen and nobody else.

1. ``drive.py --story head --out OUT``, in a window of 1100 x 700 pixels.
2. ``tutorial_pictures.py inputs OUT EXTRA`` makes what the second story needs: head, photo, film, and another mesh.
3. ``drive.py --story expressions --extra EXTRA --out OUT2 --size 1200x800``.
4. ``tutorial_pictures.py OUT OUT2`` writes ``docs/images``; only the first seven without OUT2.

``tutorial_pictures.py results PHOTOS FACE CURLS AFRO BALDING`` writes ``demo_head`` and ``hairstyles``: of the folder
``assets/demo`` and of the results of ``backend reconstruct``, without and with ``--hair-style``.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from backend.exchange.preview import PORTRAIT_SIZE
from backend.geometry.template import load_template

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
WINDOW = (0, 0, 1100, 700)
PANEL = (618, 84, 874, 440)
"""Left, top, right and bottom of the tab in the window, pixels."""
PREFERENCES = (180, 284, 890, 606)
LARGER = (0, 0, 1200, 800)
DEMO = IMAGES.parents[1] / "assets" / "demo"
FRAMES, RATE = 16, 8
"""Of the film, and how many a second."""
FILM_SIZE = (384, 448)
STRANGER_SEED = 11
SHEET = 1000
"""Width in pixels of sheets of results."""
FACE = (0.21, 0.06, 0.79, 0.74)
"""Left, top, right and lower end of the face with its hair in a result's view from the front, in parts of its width."""


@dataclass(frozen=True)
class Picture:
    """A screenshot ``shot``, what of it is shown, and how wide it becomes in pixels."""

    shot: str
    crop: tuple[int, int, int, int] = WINDOW
    width: int = 900


FIRST_MINUTE = {
    "tutorial_installed": Picture("1_installed"),
    "tutorial_photos": Picture("2_photos", PANEL, 256),
    "tutorial_running": Picture("4_running"),
    "tutorial_head": Picture("5_head"),
    "tutorial_through_photo": Picture("8_through_photo"),
    "tutorial_expression": Picture("9_expression"),
    "tutorial_preferences": Picture("11_preferences_installed", PREFERENCES, 740),
}
EXPRESSIONS = {
    "tutorial_from_photo": Picture("2_photo", LARGER, 1000),
    "tutorial_from_video": Picture("4_video", LARGER, 1000),
    "tutorial_stranger": Picture("5_stranger", LARGER, 1000),
    "tutorial_mapping": Picture("6_mapping", LARGER, 1000),
}


def write(pictures: dict[str, Picture], story: Path) -> None:
    """Write pictures of a story into ``docs/images``."""
    for name, picture in pictures.items():
        shown = Image.open(story / f"{picture.shot}.png").convert("RGB").crop(picture.crop)
        height = round(shown.height * picture.width / shown.width)
        shown.resize((picture.width, height), Image.Resampling.LANCZOS).save(IMAGES / f"{name}.jpg", quality=85)


def write_results(photos: Path, faces: Sequence[Path]) -> None:
    """Write the photos above the first result's views, and the results' faces from the front beside each other."""
    wide, high = PORTRAIT_SIZE
    sides = [Image.open(face / "preview.png").convert("RGB").crop((0, 0, 3 * wide, high)) for face in faces]
    views = sides[0].resize((SHEET, round(SHEET * high / (3 * wide))), Image.Resampling.LANCZOS)
    shown = [Image.open(path).convert("RGB") for path in sorted(photos.glob("*.jpg"))]
    size = SHEET // len(shown), round(SHEET / len(shown) * shown[0].height / shown[0].width)
    demo = Image.new("RGB", (SHEET, size[1] + views.height))
    for number, photo in enumerate(shown):
        demo.paste(photo.resize(size, Image.Resampling.LANCZOS), (number * size[0], 0))
    demo.paste(views, (0, size[1]))
    demo.save(IMAGES / "demo_head.jpg", quality=85)
    left, top, right, low = (round(share * wide) for share in FACE)
    size = SHEET // len(faces), round(SHEET / len(faces) * (low - top) / (right - left))
    beside = Image.new("RGB", (SHEET, size[1]))
    for number, side in enumerate(sides):
        face = side.crop((wide + left, top, wide + right, low)).resize(size, Image.Resampling.LANCZOS)
        beside.paste(face, (number * size[0], 0))
    beside.save(IMAGES / "hairstyles.jpg", quality=85)


def inputs(story: Path, extra: Path) -> None:
    """What the story ``expressions`` needs, into the folder ``extra``; the head is that of ``story``."""
    extra.mkdir(parents=True, exist_ok=True)
    shutil.copy2(story / "saved.blend", extra / "head.blend")
    smile = sorted(DEMO.glob("*.jpg"))[-1]
    shutil.copy2(smile, extra / "expression.jpg")
    film = cv2.VideoWriter(str(extra / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), RATE, FILM_SIZE)
    picture = cv2.resize(cv2.imread(str(smile)), FILM_SIZE, interpolation=cv2.INTER_AREA)
    for number in range(FRAMES):
        film.write(np.roll(picture, number, axis=1))
    film.release()
    template = load_template()
    modes = template.identity_modes
    weights = np.random.default_rng(STRANGER_SEED).normal(size=len(modes))
    stranger = template.vertices + np.tensordot(weights, modes, 1)
    vertices = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in stranger]
    faces = ["f " + " ".join(str(int(corner) + 1) for corner in dict.fromkeys(quad)) for quad in template.quads]
    (extra / "stranger.obj").write_text("\n".join([*vertices, *faces, ""]))


def main(given: Sequence[str]) -> None:
    """Make the inputs of the second story, or write the pictures of the stories that are there."""
    if given[0] == "inputs":
        inputs(Path(given[1]), Path(given[2]))
        return
    if given[0] == "results":
        write_results(Path(given[1]), [Path(face) for face in given[2:]])
        return
    for pictures, story in zip((FIRST_MINUTE, EXPRESSIONS), given, strict=False):
        write(pictures, Path(story))


if __name__ == "__main__":
    main(sys.argv[1:])
