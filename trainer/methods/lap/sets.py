"""What stage ``lap`` does with a batch of photo sets (a set: photos of one person) before its networks see it: split
each into sets of random size, so that the nets learn from one photo and from many; change photos together with their
truth. And, once: the linear decoders' first bases, by PCA of people's true maps.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from backend.models.lap.network import LapNet
from backend.rendering.camera import CanonicalCamera, rotation_from_euler
from trainer.engine.contracts import Source, SourceConfig
from trainer.methods.lap.data import CanonicalTruth, LapBatch

LARGEST_TRUE_DEPTH = 1.095
"""Largest canonical depth with usable truth; beyond it the truth was clipped at the end of the range."""

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


def push_pull(values: Tensor, known: Tensor) -> Tensor:
    """Fill the unknown parts of maps (N, C, H, W) smoothly from the ``known`` ones (N, 1, H, W); square powers of
    two."""
    known = known.float()
    if values.shape[-1] == 1:
        return values * known
    share = functional.avg_pool2d(known, 2)
    small = functional.avg_pool2d(values * known, 2) / share.clamp(min=1e-6)
    filled = push_pull(small, (share > 0).float())
    coarse = functional.interpolate(filled, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.where(known > 0, values, coarse)


def filled_depth(truth: Tensor) -> Tensor:
    """Inpaint canonical depth (N, S, S) smoothly where there is no head."""
    return push_pull(truth[:, None], (truth > 0)[:, None])[:, 0]


def filled_albedo(albedo: Tensor, visible: Tensor) -> Tensor:
    """Inpaint albedo (N, 3, S, S) outside ``visible`` (N, S, S): from the mirrored side if seen, else smoothly."""
    mirrored = visible.flip(-1) & ~visible
    albedo = torch.where(mirrored[:, None], albedo.flip(-1), albedo)
    return push_pull(albedo, (visible | mirrored)[:, None])


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
    """Names of the linear decoders, of ``depth`` and ``albedo``, without a basis from people's maps."""
    decoders = {"depth": network.depth_decoder, "albedo": network.albedo_decoder}
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


def initialise_from_people(network: LapNet, source: SourceConfig, people: int, device: torch.device) -> None:
    """Initialise the linear decoders' bases from the first ``people`` of a source with truth, unless loaded weights
    already have them."""
    if bases_missing(network):
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            initialise_bases(network, [one.truth for one in first_people(source.build(), people, device)])


def first_people(source: Source, count: int, device: torch.device) -> list[LapBatch]:
    """Batches of the first ``count`` people of a source; raises ``ValueError`` if they have no truth."""
    batches = []
    for start in range(0, count, _PEOPLE):
        batches.append(source.batch(range(start, min(start + _PEOPLE, count)), device))
        if batches[-1].truth is None:
            raise ValueError("a linear decoder's first basis needs people with truth in the source")
    return batches


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Strengths of the augmentation; the defaults switch it off, as in the paper."""

    mirror: float = 0.0
    """Probability of mirroring a person: all photos and the truth."""
    rotate_degrees: float = 0.0
    """Standard deviation of the in-plane rotation."""
    zoom: float = 0.0
    """Standard deviation of the logarithm of the scale."""
    shift: float = 0.0
    """Standard deviation of the translation, in sides of the picture."""
    exposure: float = 0.0
    """Standard deviation of the logarithm of a gain on all channels; each channel gets a gain of half of it too."""
    gamma: float = 0.0
    """Standard deviation of the logarithm of the gamma exponent."""


def augment_sets(batch: LapBatch, config: AugmentConfig) -> LapBatch:
    """Augment a batch; draws from torch's global generators."""
    device, sets = batch.images.device, int(batch.set_of[-1]) + 1
    if config.mirror:
        batch = _mirrored(batch, torch.rand(sets, device=device) < config.mirror)
    if config.rotate_degrees or config.zoom or config.shift:
        batch = _moved(batch, config)
    return replace(batch, images=exposed(batch.images, config))


def exposed(images: Tensor, config: AugmentConfig) -> Tensor:
    """Pictures (N, 3, H, W) with random exposure, white balance and gamma; draws from torch's global generators."""
    if not config.exposure and not config.gamma:
        return images
    count, device = len(images), images.device
    gain = torch.randn(count, 1, 1, 1, device=device) + 0.5 * torch.randn(count, 3, 1, 1, device=device)
    if config.gamma:
        images = images.clamp(1e-4, 1) ** torch.exp(torch.randn(count, 1, 1, 1, device=device) * config.gamma)
    return (images * torch.exp(gain * config.exposure)).clamp(0, 1)


def _mirrored(batch: LapBatch, chosen: Tensor) -> LapBatch:
    """Mirror the sets ``chosen`` (G,) bool of a batch."""
    photos = chosen[batch.set_of]
    truth = batch.truth
    if truth is not None:
        side = truth.rotation.new_tensor([-1.0, 1.0, 1.0])
        truth = CanonicalTruth(
            depth=_flip_where(chosen, truth.depth),
            albedo=_flip_where(chosen, truth.albedo),
            albedo_seen=_flip_where(chosen, truth.albedo_seen),
            personal_depth=_flip_where(photos, truth.personal_depth),
            rotation=torch.where(photos[:, None, None], truth.rotation * side * side[:, None], truth.rotation),
            translation=torch.where(photos[:, None], truth.translation * side, truth.translation),
            view_depth=_flip_where(photos, truth.view_depth),
        )
    images, labels = _flip_where(photos, batch.images), _flip_where(photos, batch.labels)
    return replace(batch, images=images, labels=labels, truth=truth)


def _flip_where(chosen: Tensor, maps: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *[1] * (maps.dim() - 1)), maps.flip(-1), maps)


def _moved(batch: LapBatch, config: AugmentConfig) -> LapBatch:
    """Rotate, zoom and shift photos. Rotation is exact; zoom is modelled as a nearer camera, which a narrow field of
    view permits."""
    count, device, side = len(batch.images), batch.images.device, batch.images.shape[-1]
    angle = torch.randn(count, device=device) * math.radians(config.rotate_degrees)
    zoom = torch.exp(torch.randn(count, device=device) * config.zoom)
    shift = torch.randn(count, 2, device=device) * config.shift
    cosine, sine = torch.cos(angle), torch.sin(angle)
    # a pixel at p is taken from Rot(-angle) (p - shift) / zoom
    back = torch.stack([cosine, sine, -sine, cosine], 1).view(-1, 2, 2) / zoom[:, None, None]
    offset = -(back @ (2 * shift)[..., None])
    grid = functional.affine_grid(torch.cat([back, offset], 2), [count, 1, side, side], align_corners=False)

    def sample(maps: Tensor, mode: str, padding: str) -> Tensor:
        return functional.grid_sample(maps, grid, mode, padding, align_corners=False)

    images = sample(batch.images, "bilinear", "border")
    labels = sample(batch.labels[:, None].float(), "nearest", "border")[:, 0].to(batch.labels.dtype)
    truth = batch.truth
    if truth is not None:
        turn = rotation_from_euler(torch.stack([angle * 0, angle * 0, angle], 1))
        distance = 1 + truth.translation[:, 2]
        nearer = distance / zoom
        placed = (turn @ truth.translation[..., None])[..., 0]
        aside = shift * (side / CanonicalCamera((side, side)).focal) * nearer[:, None]
        translation = torch.cat([placed[:, :2] + aside, (nearer - 1)[:, None]], 1)
        whole = torch.stack([truth.view_depth, (truth.view_depth > 0).float()], 1)
        depth, share = sample(whole, "bilinear", "zeros").unbind(1)
        depth = torch.where(share > 0.999, depth + (nearer - distance)[:, None, None], 0.0)
        truth = replace(truth, rotation=turn @ truth.rotation, translation=translation, view_depth=depth)
    return replace(batch, images=images, labels=labels, truth=truth)
