"""The linear face model of the same people: the graph face model's baseline and optional initialisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from backend.geometry.template import load_template
from trainer.contracts import SourceConfig
from trainer.data.graph.source import GraphShapesConfig

SEED = 71
"""Seed of the people that it is computed from, as in the recipes."""
PEOPLE = 2000
_AT_ONCE = 50


@dataclass(frozen=True)
class LinearFaces:
    """Principal components of neutral faces and of expressions, with as many codes as the graph model.

    Attributes
    ----------
    mean : (C, 3) metres. identity : (D, C, 3), expression : (E, C, 3), one standard deviation each.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray

    def nearest(self, target: np.ndarray, weight: np.ndarray, prior: float, neutral: bool) -> np.ndarray:
        """(C, 3) the model's shape nearest to a target (C, 3), with the same cost as ``codes_of_shape``."""
        modes = self.identity if neutral else np.concatenate([self.identity, self.expression])
        scale = np.sqrt(weight / weight.sum())[:, None]
        design = (scale * modes).reshape(len(modes), -1)
        right = design @ (scale * (target - self.mean)).ravel()
        codes = np.linalg.solve(design @ design.T + prior * np.eye(len(modes)), right)
        return self.mean + np.tensordot(codes, modes, 1)


def linear_faces(
    identity: int, expression: int, people: int = PEOPLE, shapes: SourceConfig | None = None
) -> LinearFaces:
    """Compute components from the first people of a source of shapes, two expressions each. The default source is the
    graph model's training data (``GraphShapesConfig``, seed ``SEED``)."""
    source = (shapes or GraphShapesConfig(seed=SEED)).build()
    count = load_template().head.vertex_stop
    neutral, moved = [], []
    for start in range(0, people, _AT_ONCE):
        batch = source.batch(range(start, min(start + _AT_ONCE, people)), torch.device("cpu"))
        first = torch.ones(len(batch.person), dtype=torch.bool)
        first[1:] = batch.person[1:] != batch.person[:-1]
        neutral.append(batch.neutral[first, :count].numpy())
        moved.append((batch.vertices - batch.neutral[:, :count]).numpy())
    faces, motions = np.concatenate(neutral), np.concatenate(moved)
    mean = load_template().vertices[:count]
    return LinearFaces(mean, components(faces - mean, identity), components(motions, expression))


def components(rows: np.ndarray, count: int) -> np.ndarray:
    """(count, C, 3) the strongest components of rows (N, C, 3), one standard deviation each."""
    flat = torch.from_numpy(rows.reshape(len(rows), -1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, strength, directions = torch.svd_lowrank(flat, count + 8, niter=3)
    modes = directions[:, :count] * (strength[:count] / len(flat) ** 0.5)
    return modes.T.reshape(count, *rows.shape[1:]).numpy()
