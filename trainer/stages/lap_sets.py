"""Photo sets of random size, and initialisation of the linear decoders' bases by PCA."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from backend.models.lap.network import LapNet
from trainer.contracts import Source
from trainer.data.lap.batch import CanonicalTruth, LapBatch
from trainer.losses.canonical import push_pull

FARTHEST_KNOWN = 1.095
"""Largest canonical depth with usable truth; beyond it the truth was clipped at the end of the range."""

_BESIDE = 0.06
"""Standard deviation of raw depth around the linear basis: a residual of about two millimetres, doubled because the
residuals of neighbouring pixels are correlated."""
_PEOPLE = 32
"""People per batch of the source."""
_MOST_EXACT = 2000
"""Largest number of maps for an exact PCA; above it, a randomised SVD finds only the wanted directions."""
_MORE_DIRECTIONS = 24
"""Oversampling of the randomised SVD: extra directions that make the wanted ones accurate."""


@dataclass(frozen=True)
class Subsets:
    """Sets split into subsets. set_of : (N,) subset of each photo. owner : (G,) original set of each subset."""

    set_of: Tensor
    owner: Tensor


def random_subsets(set_of: Tensor, smallest: int, largest: int) -> Subsets:
    """Split every set into random subsets of a size drawn from [smallest, largest]; the last subset may be smaller.

    All photos are used, and all sizes occur. Draws from torch's global CPU generator.
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
    """Make every photo a set of its own: no consistency between photos, as in Unsup3D."""
    return Subsets(torch.arange(len(set_of), device=set_of.device), set_of)


@dataclass(frozen=True)
class Groups:
    """Overlapping sets of photos. rows : (M,) photos. set_of : (M,) set of each, ascending from 0. owner : (G,) person
    of each set. whole : (P,) the set with all photos of each person."""

    rows: Tensor
    set_of: Tensor
    owner: Tensor
    whole: Tensor


def nested_groups(set_of: Tensor) -> Groups:
    """Four sets of every person's shuffled photos: the first alone, the last alone, the first two, and all."""
    counts = torch.bincount(set_of)
    starts = (torch.cumsum(counts, 0) - counts).tolist()
    rows, sets, owner, whole = [], [], [], []
    for person, (start, count) in enumerate(zip(starts, counts.tolist(), strict=True)):
        order = torch.randperm(count) + start
        for part in (order[:1], order[-1:], order[:2], order):
            sets += [len(owner)] * len(part)
            rows.append(part)
            owner.append(person)
        whole.append(len(owner) - 1)
    numbers = (torch.tensor(values, device=set_of.device) for values in (sets, owner, whole))
    return Groups(torch.cat(rows).to(set_of.device), *numbers)


def true_coefficients(raw: Tensor, known: Tensor, mean: Tensor, basis: Tensor) -> Tensor:
    """(G, K) maximum a posteriori coefficients of raw depth maps (G, S, S) where ``known`` (G, S, S), with a linear
    decoder's mean (1, B, B) and basis (K, 1, B, B). The unit prior keeps them near zero where little is known."""
    step = max(1, raw.shape[-1] // 32)
    size = raw.shape[-1], raw.shape[-1]
    both = torch.cat([mean[None], basis])
    if both.shape[-1] != raw.shape[-1]:
        both = functional.interpolate(both, size, mode="bilinear", align_corners=False)
    maps = both[:, 0, ::step, ::step].flatten(1)  # (1 + K, D)
    weight = known[:, ::step, ::step].flatten(1).float() / _BESIDE**2
    wrong = (raw[:, ::step, ::step].flatten(1) - maps[0]) * weight
    matrix = torch.einsum("kd,gd,ld->gkl", maps[1:], weight, maps[1:]) + torch.eye(len(basis), device=raw.device)
    return torch.linalg.solve(matrix, wrong @ maps[1:].t())


def filled_depth(truth: Tensor) -> Tensor:
    """Inpaint canonical depth (N, S, S) smoothly where there is no head."""
    return push_pull(truth[:, None], (truth > 0)[:, None])[:, 0]


def filled_albedo(albedo: Tensor, seen: Tensor) -> Tensor:
    """Inpaint albedo (N, 3, S, S) outside ``seen`` (N, S, S): from the mirrored side if seen, else smoothly."""
    mirrored = seen.flip(-1) & ~seen
    albedo = torch.where(mirrored[:, None], albedo.flip(-1), albedo)
    return push_pull(albedo, (seen | mirrored)[:, None])


@torch.no_grad()
def principal_maps(maps: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """PCA of maps (P, C, S, S) and their mirror images: mean (C, S, S) and components (M, C, S, S), each scaled to one
    standard deviation."""
    both = torch.cat([maps, maps.flip(-1)]).flatten(1).double()
    mean = both.mean(0)
    centred = both - mean
    count = min(components, len(both) - 1)
    if len(both) > _MOST_EXACT:
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            _, lengths, rows = torch.svd_lowrank(centred.float(), count + _MORE_DIRECTIONS, niter=6)
        basis = (rows[:, :count] * lengths[:count]).t() / len(both) ** 0.5
    else:
        _, vectors = torch.linalg.eigh(centred @ centred.t() / len(both))  # ascending
        directions = vectors.flip(1)[:, :count].t() @ centred  # (M, D), length sqrt(P value)
        basis = directions / len(both) ** 0.5
    shape = maps.shape[1:]
    return mean.view(shape).float(), basis.view(-1, *shape).float()


def bases_missing(network: LapNet) -> list[str]:
    """Names of the linear decoders, of ``depth`` and ``albedo``, without a basis from people's maps.

    With ``posterior`` fusion the depth basis comes with the landmarks' shapes and is not listed."""
    decoders = {"depth": network.depth_decoder, "albedo": network.albedo_decoder}
    if network.config.posterior:
        del decoders["depth"]
    return [name for name, decoder in decoders.items() if decoder.ready.item() < 0.5]


def initialise_bases(network: LapNet, truths: list[CanonicalTruth]) -> None:
    """Initialise the linear decoders without a basis by PCA of synthetic people's maps."""
    config, missing = network.config, bases_missing(network)
    if "depth" in missing:
        depth = torch.cat([network.raw_depth(filled_depth(truth.depth)) for truth in truths])[:, None]
        network.depth_decoder.set_basis(*principal_maps(depth, config.depth_components))
    if "albedo" in missing:
        albedo = torch.cat([filled_albedo(truth.albedo, truth.albedo_seen) for truth in truths])
        raw_albedo = torch.atanh((albedo * 2 - 1).clamp(-0.97, 0.97))
        network.albedo_decoder.set_basis(*principal_maps(raw_albedo, config.albedo_components))


def first_people(source: Source, count: int, device: torch.device) -> list[LapBatch]:
    """Batches of the first ``count`` people of a source; raises ``ValueError`` if they have no truth."""
    batches = []
    for start in range(0, count, _PEOPLE):
        batches.append(source.batch(range(start, min(start + _PEOPLE, count)), device))
        if batches[-1].truth is None:
            raise ValueError("a linear decoder's first basis needs people with truth in the source")
    return batches
