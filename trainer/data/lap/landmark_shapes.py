"""Landmark motion on LAP's canonical face, due to identity and expression."""

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
"""Number of faces and expressions for the mean and the directions; they need no pictures."""
_SEED = 31
"""Seed of other people than those in photo sets."""


_DEPTHS_AT_ONCE = 64


@dataclass(frozen=True)
class DepthShapes:
    """Variation of people's depth and the landmark motion that goes with it.

    mean : (1, S, S) and basis : (K, 1, S, S) of depth maps, one standard deviation each, in ``LinearDecoder``'s form.
    landmarks : motion of the points in the same directions, with expressions and the residual variation of people's
    points as nuisances.
    """

    mean: Tensor
    basis: Tensor
    landmarks: LandmarkShapes


@dataclass(frozen=True)
class _Drawn:
    """Faces without pictures. neutral : (P, V, 3) cages. marks : (P, L, 3) canonical points. moods : (P, L, 3) their
    motion due to an expression."""

    neutral: Tensor
    marks: Tensor
    moods: Tensor


@torch.no_grad()
def landmark_shapes(size: int, components: int, device: torch.device) -> LandmarkShapes:
    """Compute the mean and the principal directions of neutral faces and of expressions, for pictures of ``size``
    pixels."""
    drawn = _drawn(size, TruthMaker(torch.device("cpu")))
    mean = drawn.marks.mean(0)
    directions = _directions(drawn.marks - mean, components)
    moods = _directions(drawn.moods, EXPRESSIONS)  # not centred: their mean is not the rest position
    return LandmarkShapes(mean.to(device), directions.to(device), moods.to(device))


@torch.no_grad()
def depth_shapes(
    size: int, components: int, beside: int, raw: Callable[[Tensor], Tensor], device: torch.device
) -> DepthShapes:
    """Compute the first ``components`` directions of canonical depth, converted by ``raw`` to the decoder's summands,
    with their landmark motion, and ``beside`` directions of the landmarks' residual."""
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
    """(count, L, 3) principal directions of offsets (P, L, 3) about zero, with one root mean square each."""
    _, lengths, rows = torch.linalg.svd(offsets.flatten(1), full_matrices=False)
    return (lengths[:count, None] / len(offsets) ** 0.5 * rows[:count]).view(count, *offsets.shape[1:])
