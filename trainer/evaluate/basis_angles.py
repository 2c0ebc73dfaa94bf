"""How far training moved the learned bases from their start: cosines and angles between their directions."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.models.learned_basis.network import FaceBases
from trainer.evaluate.basis_identities import COMPONENTS, LEARNED, Identities
from trainer.stages.learned_basis_start import surface_metric

SAME_DIRECTION_COSINE = 0.99
_RIDGE = 1e-12


@torch.no_grad()
def angle_figures(bases: FaceBases, identities: Identities) -> dict[str, float]:
    """Compare the identity basis with the principal components of synthetic people (``angles.identity.*``), and the
    expression basis with the directions of the template's own expressions (``angles.expression.*``).

    ``least_cosine``, ``mean_cosine`` : of directions with the same index. ``alike`` : number of directions with a
    cosine above 0.99 to any start direction. ``inside`` : number with such a cosine to the span of all of them.
    ``of`` : number of directions. ``span`` : share of the squared length that lies in that span. ``between`` : mean
    principal angle between the two spans, degrees. The metric is the motion of the face's surface.
    ``basis.NAME.between`` and ``basis.NAME.span`` : the same two figures for every identity basis compared.
    """
    metric = torch.from_numpy(surface_metric(bases.config.nodes)).double()
    components = identities.named[COMPONENTS]
    to_components = {name: compared(own, components, metric) for name, own in identities.named.items()}
    expression = compared(bases.expression, identities.begun.expression, metric)
    figures = {
        f"angles.{name}.{figure}": value
        for name, found in (("identity", to_components[LEARNED]), ("expression", expression))
        for figure, value in found.items()
    }
    for name, found in to_components.items():
        figures |= {f"basis.{name}.{figure}": found[figure] for figure in ("between", "span")}
    return figures


def compared(learned: Tensor, start: Tensor, metric: Tensor) -> dict[str, float]:
    """Figures of directions (K, G, 3) against (M, G, 3) in a metric (3 G, 3 G); zero directions are left out."""
    own, other = (_whole(directions) for directions in (learned, start))
    cosines = _unit(own, metric) @ metric @ _unit(other, metric).T  # (K, M)
    same = cosines.diagonal().abs()
    factor = torch.linalg.cholesky(other @ metric @ other.T)
    inside = torch.linalg.solve_triangular(factor, other @ metric @ own.T, upper=False).pow(2).sum(0)
    lengths = ((own @ metric) * own).sum(1)
    return {
        "least_cosine": same.min().item(),
        "mean_cosine": same.mean().item(),
        "alike": float((cosines.abs().amax(1) > SAME_DIRECTION_COSINE).sum()),
        "of": float(len(own)),
        "inside": float(((inside / lengths).sqrt() > SAME_DIRECTION_COSINE).sum()),
        "span": (inside.sum() / lengths.sum()).item(),
        "between": _principal_angles(own, other, metric).mean().item(),
    }


def _principal_angles(first: Tensor, second: Tensor, metric: Tensor) -> Tensor:
    """(min(K, M),) principal angles in degrees between the spans of directions (K, 3 G) and (M, 3 G)."""
    root = torch.linalg.cholesky(metric + _RIDGE * metric.diagonal().mean() * torch.eye(len(metric)).double())
    frames = [torch.linalg.qr((directions @ root).T)[0] for directions in (first, second)]
    return torch.rad2deg(torch.linalg.svdvals(frames[0].T @ frames[1]).clamp(max=1).acos())


def _whole(directions: Tensor) -> Tensor:
    flat = directions.double().flatten(1).cpu()
    return flat[flat.norm(dim=1) > 0]


def _unit(directions: Tensor, metric: Tensor) -> Tensor:
    return directions / ((directions @ metric) * directions).sum(1, keepdim=True).sqrt()
