"""Photo sets of random size, and the first basis of the linear decoders."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from backend.models.lap import LapNet
from trainer.data.lap.batch import CanonicalTruth
from trainer.losses.canonical import push_pull

FARTHEST_KNOWN = 1.095
"""Canonical depth from here on is where truth was cut off at the range's end."""


@dataclass(frozen=True)
class Subsets:
    """Sets cut into smaller ones. set_of : (N,) the subset of each photo. owner : (G,) the set that a subset is of."""

    set_of: Tensor
    owner: Tensor


def random_subsets(set_of: Tensor, smallest: int, largest: int) -> Subsets:
    """Cut every set into random subsets of a random size in [smallest, largest] each; the last may be smaller.

    So all photos are used, and a set of any size comes up; draws from torch's global CPU generator.
    """
    sizes = torch.bincount(set_of).tolist()
    new, owner, next_set, start = torch.empty(len(set_of), dtype=torch.int64), [], 0, 0
    for number, count in enumerate(sizes):
        wanted = int(torch.randint(smallest, largest + 1, ()).item())
        order = torch.randperm(count) + start
        for part in order.split(wanted):
            new[part] = next_set
            owner.append(number)
            next_set += 1
        start += count
    device = set_of.device
    return Subsets(new.to(device), torch.tensor(owner, device=device))


def single_photos(set_of: Tensor) -> Subsets:
    """Every photo a set of its own: no consistency between photos, as in Unsup3D."""
    return Subsets(torch.arange(len(set_of), device=set_of.device), set_of)


def filled_depth(truth: Tensor) -> Tensor:
    """Canonical depth (N, S, S) with the surface continued smoothly where there is no head."""
    return push_pull(truth[:, None], (truth > 0)[:, None])[:, 0]


def filled_albedo(albedo: Tensor, seen: Tensor) -> Tensor:
    """Albedo (N, 3, S, S), mirrored where only the other side was seen, else continued smoothly."""
    mirrored = seen.flip(-1) & ~seen
    albedo = torch.where(mirrored[:, None], albedo.flip(-1), albedo)
    return push_pull(albedo, (seen | mirrored)[:, None])


@torch.no_grad()
def principal_maps(maps: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Mean (C, S, S) of maps (P, C, S, S) and their mirror images, and components (M, C, S, S), one deviation each."""
    both = torch.cat([maps, maps.flip(-1)]).flatten(1).double()
    mean = both.mean(0)
    centred = both - mean
    values, vectors = torch.linalg.eigh(centred @ centred.t() / len(both))  # ascending
    count = min(components, len(both) - 1)
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    directions = vectors.t() @ centred  # (M, D), length sqrt(P value)
    basis = directions / (len(both) ** 0.5)
    shape = maps.shape[1:]
    return mean.view(shape).float(), basis.view(-1, *shape).float()


def give_bases(network: LapNet, truths: list[CanonicalTruth]) -> None:
    """PCA of what synthetic people look like, as the linear decoders' first mean and basis."""
    depth = torch.cat([network.raw_depth(filled_depth(truth.depth)) for truth in truths])[:, None]
    albedo = torch.cat([filled_albedo(truth.albedo, truth.albedo_seen) for truth in truths])
    raw_albedo = torch.atanh((albedo * 2 - 1).clamp(-0.97, 0.97))
    config = network.config
    network.depth_decoder.set_basis(*principal_maps(depth, config.depth_components))
    network.albedo_decoder.set_basis(*principal_maps(raw_albedo, config.albedo_components))
