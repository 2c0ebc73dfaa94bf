"""The source's motions on the target, along a dense correspondence.

Every target vertex takes the motion of its point on the source, turned and scaled as the source's surroundings were
when they were bent onto the target: expression cloning (Noh and Neumann 2001) with local deformation gradients.
Vertices without a sure partner follow their neighbours. Only numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .alignment import local_frames
from .registration import Correspondence
from .surface import EdgeOperator, Surface, solve

FILL = 0.2
"""How strongly neighbours hold on to each other, against a sure partner."""
FRAME_ROUNDS = 20
"""How often the local deformation gradients are averaged with their neighbours': folds inside the lips upset them."""
TEAR = 0.5
"""Neighbours whose partners move apart by this gradient in all keys are half as sure: one is on the wrong lip."""
KEYS_PER_SLICE = 4
ROUNDS_PER_SLICE = 5


@dataclass(frozen=True)
class Carrier:
    """What carries the motions of a source to a target.

    source : the source at rest. frames : (S, 3, 3) how its surroundings were bent. partner : of the target's vertices.
    """

    source: Surface
    target: Surface
    frames: np.ndarray
    partner: Correspondence


def make_carrier(
    source: Surface, bent: np.ndarray, target: Surface, partner: Correspondence, motions: np.ndarray, scale: float
):
    """Yields between slices, returns a ``Carrier``.

    bent : (S, 3) the source's vertices on the target. scale : the target's size over the source's.
    motions : (K, S, 3) of the source, which tell where partners of neighbours do not belong together.
    """
    frames = local_frames(source, bent).reshape(-1, 9)
    mean = EdgeOperator(source.edges, np.ones(len(source.edges)), len(source.vertices))
    for number in range(FRAME_ROUNDS):
        if number % ROUNDS_PER_SLICE == 0:
            yield
        frames = 0.5 * frames + 0.5 * mean.neighbours(frames) / np.maximum(mean.diagonal, 1.0)
    yield
    sure = partner.sure * _agreement(source, target, partner, motions, scale)
    return Carrier(source, target, frames.reshape(-1, 3, 3), replace(partner, sure=sure))


def _agreement(
    source: Surface, target: Surface, partner: Correspondence, motions: np.ndarray, scale: float
) -> np.ndarray:
    """(V,) 0-1 how alike a target vertex's partner moves to those of its neighbours."""
    each = motions.transpose(1, 0, 2).reshape(len(source.vertices), -1)
    short = each @ np.random.default_rng(0).normal(size=(each.shape[1], 16)) / 4.0  # keeps distances to a quarter or so
    moves = np.einsum("vk,vkd->vd", partner.bary, short[source.triangles[partner.triangle]])
    i, j = np.concatenate([target.edges, target.edges[:, ::-1]]).T
    length = np.linalg.norm(target.vertices[i] - target.vertices[j], axis=1) / scale
    smallest = 2e-3 * np.linalg.norm(np.ptp(source.vertices, axis=0))
    gradient = np.linalg.norm(moves[i] - moves[j], axis=1) / (length + smallest) * partner.sure[j]
    count = len(target.vertices)
    gradient = np.bincount(i, gradient, count) / np.maximum(np.bincount(i, partner.sure[j], count), 1e-9)
    return 1.0 / (1.0 + (gradient / (TEAR * np.sqrt(len(motions) / 52.0))) ** 2)


def carry(carrier: Carrier, motions: np.ndarray):
    """Motions (K, S, 3) of the source as motions (K, V, 3) float32 of the target; yields the fraction done."""
    count, target = len(carrier.target.vertices), carrier.target
    length = np.linalg.norm(target.vertices[target.edges[:, 0]] - target.vertices[target.edges[:, 1]], axis=1)
    mean = max(float(length.mean()), 1e-12)
    hold = EdgeOperator(target.edges, np.clip(mean / np.maximum(length, 1e-12), 0.1, 10.0).astype(np.float32), count)
    sure = carrier.partner.sure.astype(np.float32)[:, None]
    corners = carrier.source.triangles[carrier.partner.triangle]
    bary = carrier.partner.bary.astype(np.float32)
    out = np.zeros((len(motions), count, 3), np.float32)
    for first in range(0, len(motions), KEYS_PER_SLICE):
        part = motions[first : first + KEYS_PER_SLICE]
        turned = np.einsum("vab,kvb->vka", carrier.frames, part).reshape(len(part[0]), -1).astype(np.float32)
        cloned = sum(bary[:, k, None] * turned[corners[:, k]] for k in range(3))
        yield first / len(motions)

        def system(x: np.ndarray) -> np.ndarray:
            return (sure + 1e-4) * x + FILL * hold(x)

        steps = solve(
            system, sure + 1e-4 + FILL * hold.diagonal, sure * cloned, sure * cloned, steps=40, tolerance=1e-2
        )
        filled = yield from _report(steps, first / len(motions))
        out[first : first + KEYS_PER_SLICE] = filled.reshape(count, -1, 3).transpose(1, 0, 2)
    return out


def _report(steps, fraction: float):
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
        yield fraction
