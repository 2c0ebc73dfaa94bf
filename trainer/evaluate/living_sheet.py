"""Sheet of living people: their expressions, and the effects of weight and age."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from backend.geometry.template import load_template
from backend.rig.arkit import ARKIT_INDEX
from trainer.data.living import LivingFaces, draw_living_person
from trainer.data.people.surface import PeopleSurface
from trainer.evaluate.graph_sheet import clay, in_columns, seen_from

_SMILE = {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5}
_DONE = (_SMILE, {"jawOpen": 0.12}, {"jawOpen": 0.6})
_BUILDS = ((18.0, 28.0), (36.0, 28.0), (25.0, 20.0), (25.0, 82.0), (36.0, 82.0))
"""kg/m2 and years."""
_YAW = math.radians(25)
_SCALE = 3.8
"""Tiles per metre, chosen so that chins and double chins are in the picture."""


@torch.no_grad()
def living_sheet(people: int, seed: int) -> np.ndarray:
    """(H, W, 3) uint8 sRGB, a row per person: neutral, smiling, the jaw slightly and far open; then on the same bones
    thin and heavy at 28 years, young and old at one weight, heavy and old."""
    template = load_template()
    faces = LivingFaces(PeopleSurface(template, torch.device("cpu")))
    modes = len(template.identity_modes)
    drawn = [draw_living_person(np.random.Generator(np.random.Philox(key=[seed, n])), modes) for n in range(people)]
    neutral, idiosyncrasies = faces.neutral(drawn), faces.idiosyncrasies(drawn)
    columns = [neutral]
    for keys in _DONE:
        weights = torch.zeros(people, len(ARKIT_INDEX))
        for name, value in keys.items():
            weights[:, ARKIT_INDEX[name]] = value
        columns.append(faces.posed(neutral, weights, idiosyncrasies))
    columns += [faces.neutral([replace(one, bmi=bmi, age=age) for one in drawn]) for bmi, age in _BUILDS]
    count = template.head.vertex_stop
    return in_columns([clay(column[:, :count], seen_from(people, _YAW, _SCALE)) for column in columns])
