"""How people and their expressions move the landmarks of LAP's canonical face."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from backend.geometry.template import load_template
from backend.models.lap_landmarks import EXPRESSIONS, LandmarkShapes
from trainer.data.lap.truth import TruthMaker
from trainer.data.people.expression import draw_expression
from trainer.data.people.identity import IdentityShapes, draw_identity
from trainer.data.people.surface import PeopleSurface

PEOPLE = 3000
"""Faces and expressions from which mean and directions are taken; drawing them needs no pictures."""
_SEED = 31
"""Other people than those in photo sets."""


@torch.no_grad()
def landmark_shapes(size: int, components: int, device: torch.device) -> LandmarkShapes:
    """Mean, principal directions of people's neutral faces and of expressions, of pictures of ``size`` pixels."""
    template, generator = load_template(), np.random.default_rng(_SEED)
    shapes = IdentityShapes(PeopleSurface(template, torch.device("cpu")))
    neutral = shapes.neutral([draw_identity(generator, len(template.identity_modes)) for _ in range(PEOPLE)])
    frames = TruthMaker(torch.device("cpu")).frames(neutral, size)
    marks = torch.from_numpy(template.landmarks478.positions(neutral.double().numpy())).float()
    people = frames.apply(marks)  # (P, L, 3)
    weights = np.stack([draw_expression(generator).weights for _ in range(PEOPLE)])
    keys = template.landmarks478.positions(template.vertices + template.expressions)
    keys = keys - template.landmarks478.positions(template.vertices)  # (52, L, 3)
    moved = torch.from_numpy(np.tensordot(weights, keys, 1)).float()
    mean = people.mean(0)
    directions = _directions(people - mean, components)
    expressions = frames.apply(marks + moved) - people  # their mean is no rest: it is a direction like the others
    return LandmarkShapes(mean.to(device), directions.to(device), _directions(expressions, EXPRESSIONS).to(device))


def _directions(offsets: Tensor, count: int) -> Tensor:
    """(count, L, 3) principal directions of offsets (P, L, 3) from nothing, one root mean square each."""
    _, lengths, rows = torch.linalg.svd(offsets.flatten(1), full_matrices=False)
    return (lengths[:count, None] / len(offsets) ** 0.5 * rows[:count]).view(count, *offsets.shape[1:])
