"""Augmentation of photos of faces together with their truth: mirroring, in-plane rotation, zoom, shift, exposure."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from backend.geometry.template import load_template
from backend.models.learned_basis.encoder import LANDMARKS
from trainer.data.face_model import FaceBatch, FaceTruth
from trainer.data.landmark_mirror import landmark_mirror

_UNKNOWN = 255
_ODD_ACROSS = (1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0)
"""Signs of spherical harmonics under mirroring: those of x, xy and xz flip."""


@dataclass(frozen=True, kw_only=True)
class FaceAugmentConfig:
    """Strengths of the augmentation; the defaults switch it off, as in the paper."""

    rotate_degrees: float = 0.0
    """Standard deviation of the in-plane rotation."""
    zoom: float = 0.0
    """Standard deviation of the logarithm of the scale."""
    shift: float = 0.0
    """Standard deviation of the translation, in sides of the picture."""
    mirror: float = 0.0
    """Probability of mirroring a set, which is one person."""
    exposure: float = 0.0
    """Standard deviation of the logarithm of a gain on all channels of the sRGB picture; half as much on each channel
    in addition."""


def augment_faces(batch: FaceBatch, config: FaceAugmentConfig) -> FaceBatch:
    """Augment a batch; draws from torch's global generators. The true light is not adapted to a changed exposure."""
    if config.mirror:
        sets = torch.rand(int(batch.set_of[-1]) + 1, device=batch.images.device) < config.mirror
        batch = mirrored_faces(batch, sets[batch.set_of])
    if config.rotate_degrees or config.zoom or config.shift:
        batch = _moved(batch, config)
    if config.exposure:
        count, device = len(batch.images), batch.images.device
        gain = torch.randn(count, 1, 1, 1, device=device) + 0.5 * torch.randn(count, 3, 1, 1, device=device)
        images = (batch.images * torch.exp(gain * config.exposure)).clamp(0, 1)
        batch = dataclasses.replace(batch, images=images)
    return batch


def mirrored_faces(batch: FaceBatch, which: Tensor) -> FaceBatch:
    """Mirror the photos ``which`` (N,) bool with their landmarks, labels and truth; left and right landmarks swap."""
    size = batch.images.shape[-1]
    names = torch.from_numpy(landmark_mirror()[:LANDMARKS]).to(which.device)
    flipped = batch.landmarks[:, names]
    flipped = torch.stack([size - flipped[..., 0], flipped[..., 1]], -1)

    def chosen(changed: Tensor, value: Tensor) -> Tensor:
        return torch.where(which[: len(value)].view(-1, *[1] * (value.dim() - 1)), changed, value)

    truth = batch.truth
    if truth is not None:
        across = truth.vertices.new_tensor([-1.0, 1.0, 1.0])
        pairs = torch.from_numpy(load_template().mirror[: truth.vertices.shape[1]].astype(np.int64)).to(which.device)
        intrinsics = truth.intrinsics.clone()
        intrinsics[:, 0, 2] = size - intrinsics[:, 0, 2]
        plane = torch.diag(truth.camera_from_head.new_tensor([-1.0, 1.0, 1.0, 1.0]))
        odd = truth.light.new_tensor(_ODD_ACROSS)[:, None]
        truth = FaceTruth(
            neutral=chosen(truth.neutral[:, pairs] * across, truth.neutral),
            vertices=chosen(truth.vertices[:, pairs] * across, truth.vertices),
            intrinsics=chosen(intrinsics, truth.intrinsics),
            camera_from_head=chosen(plane @ truth.camera_from_head @ plane, truth.camera_from_head),
            light=chosen(truth.light * odd, truth.light),
            albedo=chosen(truth.albedo.flip(-1), truth.albedo),
        )
    return dataclasses.replace(
        batch,
        images=chosen(batch.images.flip(-1), batch.images),
        labels=chosen(batch.labels.flip(-1), batch.labels),
        landmarks=chosen(flipped, batch.landmarks),
        landmark_weight=chosen(batch.landmark_weight[:, names], batch.landmark_weight),
        truth=truth,
    )


def _moved(batch: FaceBatch, config: FaceAugmentConfig) -> FaceBatch:
    """Rotate, zoom and shift each photo by an affine map A in its pixels: pictures, labels, landmarks, and K' = A K."""
    count, size, device = len(batch.images), batch.images.shape[-1], batch.images.device
    angle = torch.randn(count, device=device) * math.radians(config.rotate_degrees)
    factor = torch.exp(torch.randn(count, device=device) * config.zoom)
    move = torch.randn(count, 2, device=device) * config.shift  # in sides
    cosine, sine = factor * angle.cos(), factor * angle.sin()
    turn = torch.stack([cosine, -sine, sine, cosine], 1).view(-1, 2, 2)
    back = torch.linalg.inv(turn)
    grid = affine_grid(
        torch.cat([back, -(back @ (2 * move[..., None]))], 2), [count, 1, size, size], align_corners=False
    )
    images = grid_sample(batch.images, grid, padding_mode="border", align_corners=False)
    labels = _labels(batch.labels, grid)
    middle = size / 2
    landmarks = (batch.landmarks - middle) @ turn.transpose(1, 2) + middle + size * move[:, None]
    inside = ((landmarks >= 0) & (landmarks < size)).all(-1)
    truth = batch.truth
    if truth is not None:
        known = len(truth.albedo)
        affine = torch.eye(3, device=device).repeat(known, 1, 1)
        affine[:, :2, :2] = turn[:known]
        affine[:, :2, 2] = middle + size * move[:known] - (turn[:known] @ turn.new_full((2, 1), middle))[..., 0]
        truth = dataclasses.replace(
            truth,
            intrinsics=affine @ truth.intrinsics,
            albedo=grid_sample(truth.albedo, grid[:known], padding_mode="border", align_corners=False),
        )
    return dataclasses.replace(
        batch,
        images=images,
        labels=labels,
        landmarks=landmarks,
        landmark_weight=batch.landmark_weight * inside,
        truth=truth,
    )


def _labels(labels: Tensor, grid: Tensor) -> Tensor:
    """Sample labels (N, S, S) at a grid (N, S, S, 2), nearest neighbour; unknown outside the picture."""
    values = labels[:, None].float() - _UNKNOWN
    found = grid_sample(values, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return (found[:, 0] + _UNKNOWN).round().to(labels.dtype)
