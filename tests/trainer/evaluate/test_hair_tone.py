"""Hair drawn beside a photo that is itself a drawing: as bright, twice as bright, and without contrast."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plain_photo import plain_photo

sys.path.append(str(Path(__file__).parents[2] / "backend" / "hair"))
from made_hair import camera
from made_strands import made_strands

from backend.fitting.stages import FittedPhoto
from backend.geometry.template import load_template
from backend.hair.draw import DRAWN, draw_hair, finished_hairs
from backend.hair.hair_views import closed_head
from backend.photos.collection import FaceClass
from backend.rendering.color import srgb_bytes
from backend.rendering.spherical_harmonics import light_from_directions
from trainer.evaluate.hair_figures import hair_tone

LIGHT = light_from_directions(np.array([[0.3, 0.5, 0.8]]), np.full((1, 3), 0.5), 0.6)


def test_hair_is_compared_with_the_photo_in_brightness_contrast_and_colour() -> None:
    template, strands = load_template(), made_strands(900)
    grey = np.where(strands.points[:, 0, :1] > 0, 0.05, 0.2).repeat(3, 1).astype(np.float32)  # one side is darker
    strands = replace(strands, root_colour=grey, tip_colour=grey)
    view = camera(20.0).scaled(2.0)
    photo = FittedPhoto("a.jpg", view, np.zeros(52), template.vertices, LIGHT, 1.0, 0.1)
    drawn = draw_hair(finished_hairs(strands, DRAWN), view, *closed_head(template.vertices, template), LIGHT)
    labels = np.where(drawn.alpha > 0.5, FaceClass.HAIR, FaceClass.BACKGROUND).astype(np.uint8)
    face = plain_photo(labels.shape[::-1], name="a.jpg", pixels=srgb_bytes(drawn.color), labels=labels)
    same = hair_tone(strands, photo, face, template)
    assert abs(same["brightness"]) < 0.05 and 0.9 < same["contrast"] < 1.1
    brighter = hair_tone(strands.recoloured(np.full(3, 2.0)), photo, face, template)
    assert 0.55 < brighter["brightness"] < 0.85
    assert abs(same["redder"]) < 0.05 and abs(same["bluer"]) < 0.05
    red = hair_tone(strands.recoloured(np.array([1.5, 1.0, 0.5])), photo, face, template)
    assert red["redder"] == pytest.approx(np.log(1.5), abs=0.12) and red["bluer"] < -0.4
    even = np.full_like(grey, 0.1)
    flat = hair_tone(replace(strands, root_colour=even, tip_colour=even), photo, face, template)
    assert flat["contrast"] < 0.8 * same["contrast"]
    nothing = replace(face, labels=np.full_like(labels, FaceClass.SKIN))
    assert not hair_tone(strands, photo, nothing, template)
