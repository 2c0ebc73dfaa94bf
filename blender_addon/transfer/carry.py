"""Transfer the source's motions to the target along a dense correspondence.

Every target vertex takes the motion of its corresponding source point, rotated and scaled by the local deformation of
    the source when it was registered to the target: expression cloning (Noh and Neumann 2001) with local deformation
    gradients. Vertices without a confident correspondence follow their neighbours. Only numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .alignment import local_frames
from .registration import Correspondence
from .surface import EdgeOperator, Surface, solve

FILL = 0.2
"""Weight of smoothness between neighbours, relative to a confident correspondence."""
FRAME_ROUNDS = 20
"""Smoothing rounds for the deformation gradients, which are noisy at folds inside the lips."""
TEAR = 0.5
"""The confidence is halved if motions of neighbours' partners differ by this gradient over all keys: one is on the
wrong lip."""
KEYS_PER_SLICE = 4
ROUNDS_PER_SLICE = 5


@dataclass(frozen=True)
class Carrier:
    """Precomputed data to transfer motions from a source to a target.

    source : the source at rest.
    frames : (S, 3, 3) its local deformation gradients.
    partner : correspondence of the target's vertices.
    """

    source: Surface
    target: Surface
    frames: np.ndarray
    partner: Correspondence


def make_carrier(
    source: Surface, bent: np.ndarray, target: Surface, partner: Correspondence, motions: np.ndarray, scale: float
):
    """Build a ``Carrier``; yields between slices.

    bent : (S, 3) the source's vertices registered to the target.
    scale : the target's size over the source's.
    motions : (K, S, 3) of the source, used to detect neighbours whose partners do not belong together.
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
    """(V,) 0-1 similarity of the motions of a target vertex's partner and its neighbours' partners."""
    each = motions.transpose(1, 0, 2).reshape(len(source.vertices), -1)
    short = each @ np.random.default_rng(0).normal(size=(each.shape[1], 16)) / 4.0  # distances hold within 25 %
    moves = np.einsum("vk,vkd->vd", partner.bary, short[source.triangles[partner.triangle]])
    i, j = np.concatenate([target.edges, target.edges[:, ::-1]]).T
    length = np.linalg.norm(target.vertices[i] - target.vertices[j], axis=1) / scale
    smallest = 2e-3 * np.linalg.norm(np.ptp(source.vertices, axis=0))
    gradient = np.linalg.norm(moves[i] - moves[j], axis=1) / (length + smallest) * partner.sure[j]
    count = len(target.vertices)
    gradient = np.bincount(i, gradient, count) / np.maximum(np.bincount(i, partner.sure[j], count), 1e-9)
    return 1.0 / (1.0 + (gradient / (TEAR * np.sqrt(len(motions) / 52.0))) ** 2)


def carry(carrier: Carrier, motions: np.ndarray):
    """Transfer motions (K, S, 3) of the source to (K, V, 3) float32 of the target; yields the fraction done."""
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
