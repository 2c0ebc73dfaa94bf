"""Augmentation of photo sets together with their truth: mirroring, in-plane rotation, zoom, shift, exposure, gamma."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from backend.photos.faces.landmarks import mean_landmarks
from backend.rendering.camera_models import CanonicalCamera, rotation_from_euler
from trainer.data.lap.batch import CanonicalTruth, LapBatch


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
