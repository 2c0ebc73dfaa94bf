"""How people and their expressions move the landmarks of LAP's canonical face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.geometry.template import load_template
from backend.models.lap.landmark_face import EXPRESSIONS, LandmarkShapes
from trainer.data.lap.truth import TruthMaker
from trainer.data.people.expression import draw_expression
from trainer.data.people.identity import IdentityShapes, draw_identity
from trainer.data.people.surface import PeopleSurface
from trainer.stages.lap_sets import filled_depth, principal_maps

PEOPLE = 3000
"""Faces and expressions from which mean and directions are taken; drawing them needs no pictures."""
_SEED = 31
"""Other people than those in photo sets."""


_DEPTHS_AT_ONCE = 64


@dataclass(frozen=True)
class DepthShapes:
    """How people differ in depth, and how landmarks move with that.

    mean : (1, S, S) and basis : (K, 1, S, S) of depth maps, one standard deviation each, as ``LinearDecoder`` wants
    them. landmarks : how the same directions move the points; as nuisances expressions, and where people's points
    differ beside that.
    """

    mean: Tensor
    basis: Tensor
    landmarks: LandmarkShapes


@dataclass(frozen=True)
class _Drawn:
    """Faces without pictures. neutral : (P, V, 3) cages. marks, moods : (P, L, 3) canonical points, and how an
    expression moves them."""

    neutral: Tensor
    marks: Tensor
    moods: Tensor


@torch.no_grad()
def landmark_shapes(size: int, components: int, device: torch.device) -> LandmarkShapes:
    """Mean, principal directions of people's neutral faces and of expressions, of pictures of ``size`` pixels."""
    drawn = _drawn(size, TruthMaker(torch.device("cpu")))
    mean = drawn.marks.mean(0)
    directions = _directions(drawn.marks - mean, components)
    moods = _directions(drawn.moods, EXPRESSIONS)  # their mean is no rest: it is a direction like the others
    return LandmarkShapes(mean.to(device), directions.to(device), moods.to(device))


@torch.no_grad()
def depth_shapes(
    size: int, components: int, beside: int, raw: Callable[[Tensor], Tensor], device: torch.device
) -> DepthShapes:
    """The first ``components`` directions of canonical depth, turned into what the decoder adds up by ``raw``, with the
    landmarks that go with them, and ``beside`` directions of what landmarks show beside that."""
    maker = TruthMaker(torch.device("cpu"))
    drawn = _drawn(size, maker)
    maps = torch.cat([maker.neutral_depth(part, size) for part in drawn.neutral.split(_DEPTHS_AT_ONCE)])
    mean, basis = principal_maps(raw(filled_depth(maps))[:, None], components)
    offsets = torch.cat([raw(filled_depth(part)) for part in maps.split(_DEPTHS_AT_ONCE)]) - mean
    flat = basis.flatten(1)
    coefficients = offsets.flatten(1) @ flat.t() / flat.pow(2).sum(1)  # (P, K), directions are orthogonal
    centre = drawn.marks.mean(0)
    marks = (drawn.marks - centre).flatten(1)
    moved = torch.linalg.lstsq(coefficients, marks).solution  # (K, 3 L)
    left = (marks - coefficients @ moved).view_as(drawn.marks)
    nuisances = torch.cat([_directions(drawn.moods, EXPRESSIONS), _directions(left, beside)])
    shapes = LandmarkShapes(centre.to(device), moved.view(-1, *centre.shape).to(device), nuisances.to(device))
    return DepthShapes(mean.to(device), basis.to(device), shapes)


def _drawn(size: int, maker: TruthMaker) -> _Drawn:
    template, generator = load_template(), np.random.default_rng(_SEED)
    shapes = IdentityShapes(PeopleSurface(template, torch.device("cpu")))
    neutral = shapes.neutral([draw_identity(generator, len(template.identity_modes)) for _ in range(PEOPLE)])
    frames = maker.frames(neutral, size)
    marks = torch.from_numpy(template.landmarks478.positions(neutral.double().numpy())).float()
    people = frames.apply(marks)  # (P, L, 3)
    weights = np.stack([draw_expression(generator).weights for _ in range(PEOPLE)])
    keys = template.landmarks478.positions(template.vertices + template.expressions)
    keys = keys - template.landmarks478.positions(template.vertices)  # (52, L, 3)
    moved = torch.from_numpy(np.tensordot(weights, keys, 1)).float()
    return _Drawn(neutral, people, frames.apply(marks + moved) - people)


def _directions(offsets: Tensor, count: int) -> Tensor:
    """(count, L, 3) principal directions of offsets (P, L, 3) from nothing, one root mean square each."""
    _, lengths, rows = torch.linalg.svd(offsets.flatten(1), full_matrices=False)
    return (lengths[:count, None] / len(offsets) ** 0.5 * rows[:count]).view(count, *offsets.shape[1:])
