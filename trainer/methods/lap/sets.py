"""Photo sets of random size, and initialisation of the linear decoders' bases by PCA.

Augmentation of photo sets together with their truth: mirroring, in-plane rotation, zoom, shift, exposure, gamma.

Landmark motion on LAP's canonical face, due to identity and expression.

Initialisation of LAP's networks from synthetic people, the loss on mean coefficients, and views solved from the
landmark net's points.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.geometry.template import load_template
from backend.models.lap.landmark_face import EXPRESSIONS, LandmarkFace, LandmarkShapes
from backend.models.lap.network import LapNet
from backend.photos.faces import mean_landmarks
from backend.rendering.camera import CanonicalCamera, View, rotation_from_euler
from trainer.engine.contracts import Source, SourceConfig
from trainer.methods.lap.data import CanonicalTruth, LapBatch, TruthMaker
from trainer.people.shape import IdentityShapes, PeopleSurface, draw_expression, draw_identity

LARGEST_TRUE_DEPTH = 1.095
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


@dataclass(frozen=True, kw_only=True)
class LapAugmentConfig:
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


def augment_sets(batch: LapBatch, config: LapAugmentConfig) -> LapBatch:
    """Augment a batch; draws from torch's global generators."""
    device, sets = batch.images.device, int(batch.set_of[-1]) + 1
    if config.mirror:
        batch = _mirrored(batch, torch.rand(sets, device=device) < config.mirror)
    if config.rotate_degrees or config.zoom or config.shift:
        batch = _moved(batch, config)
    if config.exposure or config.gamma:
        count = len(batch.images)
        gain = torch.randn(count, 1, 1, 1, device=device) + 0.5 * torch.randn(count, 3, 1, 1, device=device)
        power = torch.exp(torch.randn(count, 1, 1, 1, device=device) * config.gamma)
        images = (batch.images.clamp(1e-4, 1) ** power * torch.exp(gain * config.exposure)).clamp(0, 1)
        batch = dataclasses.replace(batch, images=images)
    return batch


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
    marks = batch.marks
    if marks is not None:
        mirror = torch.from_numpy(mean_landmarks().mirror).to(marks.device)
        other = marks[:, mirror] * marks.new_tensor([-1.0, 1.0, 1.0]) + marks.new_tensor([1.0, 0.0, 0.0])
        marks = torch.where(photos[:, None, None], other, marks)
    return dataclasses.replace(
        batch,
        images=_flip_where(photos, batch.images),
        labels=_flip_where(photos, batch.labels),
        truth=truth,
        marks=marks,
    )


def _flip_where(chosen: Tensor, maps: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *[1] * (maps.dim() - 1)), maps.flip(-1), maps)


def _moved(batch: LapBatch, config: LapAugmentConfig) -> LapBatch:
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

    marks = batch.marks
    if marks is not None:
        forth = torch.linalg.inv(back)  # rotation and zoom of the picture's contents
        places = (marks[..., :2] - 0.5) @ forth.transpose(1, 2) + 0.5 + shift[:, None]
        marks = torch.cat([places, marks[..., 2:] * zoom[:, None, None]], 2)
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
        truth = dataclasses.replace(truth, rotation=turn @ truth.rotation, translation=translation, view_depth=depth)
    return dataclasses.replace(batch, images=images, labels=labels, truth=truth, marks=marks)


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


VIEW_SHAPES = 48
"""Shape components that are solved with a view."""

_NEWEST = 0.02
"""Rate of the running mean: about fifty batches of a few people, so that it has little noise."""


def initialise_from_people(network: LapNet, source: SourceConfig, people: int, device: torch.device) -> None:
    """Initialise the linear decoders' bases and the landmarks' shapes from the first ``people`` of a source with truth,
    unless loaded weights already have them."""
    marked, config = network.landmarks, network.config
    bases = config.decoder == "linear" and bool(bases_missing(network))
    shapes = marked is not None and not marked.people.any()
    if not bases and not shapes:
        return
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        found = first_people(source.build(), people, device)
        if bases:
            initialise_bases(network, [own.truth for own in found])
        if not shapes:
            return
        marks = torch.cat([own.marks for own in found])
        given = config.size, config.depth_components, config.landmark_components
        known = depth_shapes(*given, network.raw_depth, device)
        network.depth_decoder.set_basis(known.mean, known.basis)
        marked.set_reference(known.landmarks, marks)


class AlikeCoefficients(nn.Module):
    """Pull the mean of coefficients to zero without pulling at single faces.

    The term is twice the product of the batch mean and the running mean over the last batches. Its gradient is that of
    the squared mean; its value is not a loss."""

    def __init__(self, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(components))

    def forward(self, coefficients: Tensor) -> Tensor:
        """coefficients : (N, K); returns a scalar."""
        own = coefficients.float().mean(0)
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(own, _NEWEST)
        return 2 * (self.mean.clone() * own).mean()


class MarkedViews:
    """Solve views from the landmark net's points alone, independent of the trained networks and the losses.

    The same source gives the same views, so a resumed training need not store them.
    """

    def __init__(self, size: int, source: SourceConfig, people: int, device: torch.device) -> None:
        """size : side of the pictures in pixels. people : people of the source whose points give the residual around
        the face shapes. Raises ``ValueError`` if the source's pictures have no points."""
        with torch.random.fork_rng([]):  # later random draws of networks and photos must not depend on this
            self._face = LandmarkFace(size, VIEW_SHAPES).to(device)
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            marks = [own.marks for own in first_people(source.build(), people, device)]
            if any(own is None for own in marks):
                raise ValueError("views by landmarks need a source with marks = true")
            self._face.set_reference(landmark_shapes(size, VIEW_SHAPES, device), torch.cat(marks))

    def __call__(self, marks: Tensor, set_of: Tensor) -> View:
        """Views of photos with points (N, 478, 3) in sides, without gradients. ``set_of`` : (N,) set of each photo,
        from 0; the photos of a set share a shape."""
        return self._face.faces(marks, set_of).view
