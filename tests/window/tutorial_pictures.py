"""The tutorial's pictures out of a story that was told: ``python tests/window/tutorial_pictures.py OUT``.

OUT is the folder of ``drive.py --story head`` with the demo person, in a window of 1100 x 700 pixels.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
WINDOW = (0, 0, 1100, 700)
PANEL = (618, 84, 874, 540)
"""Left, top, right and bottom of the tab in the window, pixels."""


@dataclass(frozen=True)
class Picture:
    """A screenshot ``shot``, what of it is shown, and how wide it becomes in pixels."""

    shot: str
    crop: tuple[int, int, int, int] = WINDOW
    width: int = 900


PICTURES = {
    "tutorial_installed": Picture("1_installed"),
    "tutorial_photos": Picture("2_photos", PANEL, 256),
    "tutorial_running": Picture("4_running"),
    "tutorial_head": Picture("5_head"),
    "tutorial_through_photo": Picture("8_through_photo"),
    "tutorial_expression": Picture("9_expression"),
}


def main() -> None:
    """Write the pictures of the first minute into ``docs/images``."""
    for name, picture in PICTURES.items():
        shown = Image.open(Path(sys.argv[1]) / f"{picture.shot}.png").convert("RGB").crop(picture.crop)
        height = round(shown.height * picture.width / shown.width)
        shown.resize((picture.width, height), Image.Resampling.LANCZOS).save(IMAGES / f"{name}.jpg", quality=85)


if __name__ == "__main__":
    main()
