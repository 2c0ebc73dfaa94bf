"""The pictures of the keys that the add-on shows: made by the command, each showing what its key does."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from backend.geometry.template import Template, load_template
from protocol.names import ARKIT_NAMES
from trainer.template.pictures import (
    HAIR_SHEET,
    SHEET,
    SIDE,
    PaintedHead,
    draw_hairstyle,
    draw_key,
    draw_pictures,
    pictured,
    pictured_styles,
)

LEAST_CHANGE = 1.0
"""Mean change of a picture by its key, in steps of 8 bits; the quietest, a squint, changes it by 1.4."""


@pytest.fixture(scope="module")
def template() -> Template:
    return load_template()


def test_the_shipped_sheet_is_what_the_command_draws(template: Template) -> None:
    drawn, shipped = draw_pictures(template), Image.open(SHEET)
    assert shipped.mode == drawn.mode == "P" and shipped.size == drawn.size == (8 * SIDE, 4 * SIDE)
    off = np.abs(np.asarray(shipped.convert("RGB")).astype(int) - np.asarray(drawn.convert("RGB")))
    assert off.mean() < 0.5  # rounding of another processor
    assert SHEET.stat().st_size < 250_000


def test_every_key_is_drawn_or_the_mirror_image_of_one_that_is() -> None:
    names = set(pictured())
    assert len(names) == 32
    assert names | {name.removesuffix("Left") + "Right" for name in names if name.endswith("Left")} == set(ARKIT_NAMES)


def test_every_picture_differs_from_the_face_at_rest(template: Template) -> None:
    head, shipped = PaintedHead.of(template), np.asarray(Image.open(SHEET).convert("RGB")).astype(int)
    for index, name in enumerate(pictured()):
        row, column = (SIDE * place for place in divmod(index, shipped.shape[1] // SIDE))
        picture = shipped[row : row + SIDE, column : column + SIDE]
        rest, moved = draw_key(head, template, name, 0.0), draw_key(head, template, name)
        assert np.abs(picture - rest).mean() > LEAST_CHANGE, name
        assert np.abs(picture - moved).mean() < 0.5 * np.abs(picture - rest).mean() + 1.5, name  # of a palette of 256


def test_a_mirrored_key_is_the_mirror_image(template: Template) -> None:
    """But for the light, which falls from one side."""
    head = PaintedHead.of(template)
    for name in ("mouthSmile", "eyeLookIn", "jaw"):
        left = draw_key(head, template, name + "Left").astype(int)
        right = draw_key(head, template, name + "Right")[:, ::-1]
        rest = draw_key(head, template, name + "Right", 0.0)[:, ::-1]
        of_right, of_rest = (np.corrcoef(left.ravel(), other.ravel())[0, 1] for other in (right, rest))
        assert of_right > of_rest + 0.02, name


@pytest.mark.parametrize("name", ["shaved", "bob"])
def test_the_shipped_hairstyles_are_what_the_command_draws(template: Template, name: str) -> None:
    index = pictured_styles().index(name)
    shipped = np.asarray(Image.open(HAIR_SHEET).convert("RGB")).astype(int)
    row, column = (SIDE * place for place in divmod(index, shipped.shape[1] // SIDE))
    drawn = draw_hairstyle(PaintedHead.of(template), template, name)
    assert np.abs(shipped[row : row + SIDE, column : column + SIDE] - drawn).mean() < 4.0  # its palette
