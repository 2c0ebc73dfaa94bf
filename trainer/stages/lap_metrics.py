"""Depth and normal errors of LAP's networks on sets with truth, computed on the training device.

``trainer.evaluate.metrics.depth`` defines the measures; these are batched versions in torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from backend.models.lap.network import CanonicalMaps, LapNet
from backend.models.lap.render import view_of
from backend.rendering.camera_models import CanonicalCamera, View
from backend.rendering.depth_surface import normals_from_depth
from trainer.data.lap.batch import FACE_CLASSES, LapBatch, class_mask
from trainer.stages.lap_sets import LARGEST_TRUE_DEPTH, filled_depth


def eroded(mask: Tensor) -> Tensor:
    """(N, H, W) bool, eroded by one pixel; the picture's border counts as outside."""
    outside = functional.pad((~mask).float(), (1, 1, 1, 1), value=1.0)
    return functional.max_pool2d(outside[:, None], 3, 1)[:, 0] < 0.5


def side_per_photo(predicted: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    """(N,) scale-invariant depth error; nan for an empty mask. (N, H, W) all."""
    weight = mask.float()
    count = weight.sum((1, 2))
    difference = torch.where(mask, predicted.clamp(min=1e-3).log() - true.clamp(min=1e-3).log(), 0.0)
    mean = difference.sum((1, 2)) / count
    return (((difference - mean[:, None, None]) ** 2 * weight).sum((1, 2)) / count).sqrt()


def mad_per_photo(predicted: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    """(N,) mean angle in degrees between normals (N, H, W, 3); nan for an empty mask."""
    angle = torch.rad2deg((predicted * true).sum(-1).clamp(-1, 1).acos())
    return torch.where(mask, angle, 0.0).sum((1, 2)) / mask.sum((1, 2))


@dataclass(frozen=True)
class Errors:
    """Errors of N photos, (N,) each."""

    side: Tensor
    mad: Tensor


def view_errors(face: CanonicalMaps, view: View, batch: LapBatch, rows: Tensor, network: LapNet) -> Errors:
    """Errors of faces in views against the photos ``rows`` of a batch with truth."""
    surface = view_of(face, view, network.config)
    size = surface.depth.shape[-1]
    true = batch.truth.view_depth[rows]
    shown = class_mask(batch.labels[rows], FACE_CLASSES) & (true > 0)
    if true.shape[-1] != size:
        raise ValueError(f"maps of {size} px cannot be compared with truth of {true.shape[-1]} px")
    mask = eroded(shown) & eroded(surface.mask)
    camera = CanonicalCamera((size, size))
    # neighbours of an eroded pixel are known, so filling does not matter
    normals = (normals_from_depth(torch.where(depth > 0, depth, 1.0), camera) for depth in (surface.depth, true))
    return Errors(side_per_photo(surface.depth, true, mask), mad_per_photo(*normals, mask))


def canonical_errors(depth: Tensor, true: Tensor) -> Errors:
    """Errors of canonical depths (N, S, S) where truth is known; they do not depend on views."""
    mask = eroded((true > 0) & (true < LARGEST_TRUE_DEPTH))
    camera = CanonicalCamera(tuple(true.shape[-2:]))
    normals = (normals_from_depth(maps, camera) for maps in (depth, filled_depth(true)))
    return Errors(side_per_photo(depth, true, mask), mad_per_photo(*normals, mask))


def first_photos(set_of: Tensor, count: int) -> Tensor:
    """(M,) rows of the first ``count`` photos of every set."""
    sizes = torch.bincount(set_of)
    start = torch.cumsum(sizes, 0) - sizes
    place = torch.arange(len(set_of), device=set_of.device) - start[set_of]
    return (place < count).nonzero()[:, 0]


def batch_errors(network: LapNet, batch: LapBatch, personal: bool, mean: Tensor | None = None) -> dict[str, Errors]:
    """Errors in the view of each person's first photo, by name.

    ``nK`` : the face from K photos, the first one included. ``canonical.nK`` : the canonical face, facing the camera.
    ``personal.nK`` : the personalised face, if ``personal``. ``mean_face``, ``mean_face_true_view``,
    ``mean_face_no_view`` : ``mean`` (S, S), by default the mean of the batch's true faces, in the predicted view, in
    the true view, and from the front. ``floor`` : the truth in its own view."""
    pictures = batch.images * 2 - 1
    codes = network.encode(pictures, batch.marks)
    targets = first_photos(batch.set_of, 1)
    largest = int(torch.bincount(batch.set_of).min())
    found, views = {}, []
    for count in range(1, largest + 1):
        rows = first_photos(batch.set_of, count)
        chosen = codes.of(rows)
        face, scene = network.face_and_scene(pictures[rows], chosen, batch.set_of[rows])
        place = torch.searchsorted(rows, targets)
        seen = View(scene.view.rotation[place], scene.view.translation[place])
        views.append(seen)
        found[f"n{count}"] = view_errors(face, seen, batch, targets, network)
        found[f"canonical.n{count}"] = canonical_errors(face.depth, batch.truth.depth)
        if personal:
            own = network.personalize(pictures[targets], face)
            found[f"personal.n{count}"] = view_errors(own, seen, batch, targets, network)
    truth = batch.truth
    true_view = View(truth.rotation[targets], truth.translation[targets])
    straight = View(torch.eye(3).to(true_view.rotation).expand_as(true_view.rotation), 0 * true_view.translation)
    mean = (filled_depth(truth.depth).mean(0) if mean is None else mean).expand(len(targets), -1, -1)
    own_depth = filled_depth(truth.personal_depth[targets])
    found["canonical.mean_face"] = canonical_errors(mean, truth.depth)
    for name, depth, seen in (
        ("mean_face", mean, views[0]),
        ("mean_face_true_view", mean, true_view),
        ("mean_face_no_view", mean, straight),
        ("floor", own_depth, true_view),
    ):
        blank = CanonicalMaps(depth, depth.new_zeros(len(depth), 3, *depth.shape[1:]))
        found[name] = view_errors(blank, seen, batch, targets, network)
    return found


def view_degrees(network: LapNet, batch: LapBatch) -> Tensor:
    """(N,) angle in degrees between the networks' view of each photo alone and the true one."""
    pictures = batch.images * 2 - 1
    rotation = network.scene(pictures, network.encode(pictures, batch.marks)).view.rotation
    trace = (rotation * batch.truth.rotation).sum((1, 2))
    return torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).acos())


def mean_face(batches: Iterable[LapBatch]) -> Tensor:
    """(S, S) mean of the true canonical depths of sets with truth."""
    faces = [filled_depth(batch.truth.depth) for batch in batches]
    return torch.cat(faces).mean(0)


def depth_errors(
    network: LapNet, batches: Iterable[LapBatch], personal: bool, mean: Tensor | None = None
) -> dict[str, Tensor]:
    """``side.NAME`` (times 100) and ``mad.NAME`` (degrees), one figure per person, and ``view.degrees``, per photo.

    Raises ``ValueError`` for sets without truth.
    """
    found: dict[str, list[Tensor]] = {}
    for batch in batches:
        if batch.truth is None:
            raise ValueError("depth can only be measured on sets with truth")
        for name, errors in batch_errors(network, batch, personal, mean).items():
            found.setdefault(f"side.{name}", []).append(100 * errors.side)
            found.setdefault(f"mad.{name}", []).append(errors.mad)
        found.setdefault("view.degrees", []).append(view_degrees(network, batch))
    return {name: torch.cat(parts) for name, parts in found.items()}


def depth_figures(network: LapNet, batches: Iterable[LapBatch], personal: bool) -> dict[str, float]:
    """Means of ``depth_errors``; people whose first photo shows too little of the face are left out."""
    return {name: values.nanmean().item() for name, values in depth_errors(network, batches, personal).items()}


def spread_figures(network: LapNet, batches: Iterable[LapBatch], size: int = 3, subsets: int = 4) -> dict[str, float]:
    """How much a person's canonical depth depends on the choice of photos, compared with the spread over people.

    ``spread.subsets`` : standard deviation over random subsets of ``size`` photos. ``spread.people`` : over people.
    Both times 100, mean over pixels."""
    within, faces = [], []
    generator = torch.Generator().manual_seed(0)
    for batch in batches:
        codes = network.encode(batch.images * 2 - 1, batch.marks)
        for number in range(int(batch.set_of[-1]) + 1):
            rows = (batch.set_of == number).nonzero()[:, 0]
            picks = torch.cat([rows[torch.randperm(len(rows), generator=generator)[:size]] for _ in range(subsets)])
            chosen = codes.of(picks)
            taken = len(picks) // subsets
            depth = network.aggregate(chosen, torch.arange(len(picks), device=picks.device) // taken).depth
            within.append(depth.std(0).mean())
            faces.append(depth.mean(0))
    return {
        "spread.subsets": 100 * torch.stack(within).mean().item(),
        "spread.people": 100 * torch.stack(faces).std(0).mean().item(),
    }
