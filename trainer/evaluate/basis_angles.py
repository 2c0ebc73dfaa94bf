"""What the learned bases have beyond what they began as: cosines of their directions."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from backend.models.learned_basis.network import FaceBases
from trainer.stages.learned_basis_start import begin_from_people, surface_metric

PEOPLE = 1000
"""Synthetic people whose principal components identity is compared with: those of ``start = "people"``."""
ALIKE = 0.99


@torch.no_grad()
def angle_figures(bases: FaceBases, people: int = PEOPLE) -> dict[str, float]:
    """``angles.identity.*`` to the principal components of synthetic people, ``angles.expression.*`` to those of the
    template's own expressions: ``least_cosine`` and ``mean_cosine`` of directions with those of the same number,
    ``alike``, how many of them have a cosine above 0.99 with any, ``inside``, how many with the span of all, ``of`` how
    many, and ``span``, the share of their squared length in it. Lengths are those of how far the face's surface moves.
    """
    start = copy.deepcopy(bases)
    begin_from_people(start, people)
    metric = torch.from_numpy(surface_metric(bases.config.nodes)).double()
    identity = compared(bases.identity_raw, start.identity_raw, metric)
    expression = compared(bases.expression, start.expression, metric)
    both = (("identity", identity), ("expression", expression))
    return {f"angles.{name}.{figure}": value for name, found in both for figure, value in found.items()}


def compared(learned: Tensor, start: Tensor, metric: Tensor) -> dict[str, float]:
    """The figures of directions (K, G, 3) and (M, G, 3), those of length zero left out, in a metric (3 G, 3 G)."""
    own, other = (_whole(directions) for directions in (learned, start))
    cosines = _unit(own, metric) @ metric @ _unit(other, metric).T  # (K, M)
    same = cosines.diagonal().abs()
    factor = torch.linalg.cholesky(other @ metric @ other.T)
    inside = torch.linalg.solve_triangular(factor, other @ metric @ own.T, upper=False).pow(2).sum(0)
    lengths = ((own @ metric) * own).sum(1)
    return {
        "least_cosine": same.min().item(),
        "mean_cosine": same.mean().item(),
        "alike": float((cosines.abs().amax(1) > ALIKE).sum()),
        "of": float(len(own)),
        "inside": float(((inside / lengths).sqrt() > ALIKE).sum()),
        "span": (inside.sum() / lengths.sum()).item(),
    }


def _whole(directions: Tensor) -> Tensor:
    flat = directions.double().flatten(1).cpu()
    return flat[flat.norm(dim=1) > 0]


def _unit(directions: Tensor, metric: Tensor) -> Tensor:
    return directions / ((directions @ metric) * directions).sum(1, keepdim=True).sqrt()
