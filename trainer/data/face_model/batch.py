"""Batches for training the learned face model."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class FaceTruth:
    """Ground truth of n photos of synthetic people. Head frame, metres; C vertices of the head's cage.

    Attributes
    ----------
    neutral, vertices : (n, C, 3) surface points at the cage's vertices (after one Catmull-Clark step), without and
        with the photo's expression.
    intrinsics : (n, 3, 3) and camera_from_head : (n, 4, 4) of the photo's crop, pixels.
    light : (n, 9, 3) as in ``PeopleBatch``. albedo : (n, 3, S, S) sRGB in [0, 1] at the photo's pixels.
    """

    neutral: Tensor
    vertices: Tensor
    intrinsics: Tensor
    camera_from_head: Tensor
    light: Tensor
    albedo: Tensor


@dataclass(frozen=True)
class FaceBatch:
    """N photos or frames in G sets. A set is one person; its photos are consecutive.

    Attributes
    ----------
    images : (N, 3, S, S) float32 in [0, 1], sRGB, the square of ``backend.photos.faces.crop.face_square``.
    labels : (N, S, S) uint8 of ``FaceClass``, 255 where unknown.
    landmarks : (N, 468, 2) pixels. landmark_weight : (N, 468), 0 for unreliable ones.
    slides : (N,) bool; the landmarks of the face's outline follow the silhouette, not fixed places of the face.
    is_grey : (N,) bool; the photo has no colour. neutral : (N,) bool, the face is measured as neutral.
    set_of : (N,) int64, ascending from 0.
    truth : of the first photos; None when no photo has ground truth.
    """

    images: Tensor
    labels: Tensor
    landmarks: Tensor
    landmark_weight: Tensor
    slides: Tensor
    is_grey: Tensor
    neutral: Tensor
    set_of: Tensor
    truth: FaceTruth | None


def join_faces(batches: list[FaceBatch]) -> FaceBatch:
    """Concatenate batches. Raises ``ValueError`` when one without ground truth precedes one with it."""
    known = [batch.truth is not None for batch in batches]
    if sorted(known, reverse=True) != known:
        raise ValueError("batches with truth come first")
    values, start = {}, 0
    sets = []
    for batch in batches:
        sets.append(batch.set_of + start)
        start += int(batch.set_of[-1]) + 1
    for field in fields(FaceBatch):
        if field.name not in ("set_of", "truth"):
            values[field.name] = torch.cat([getattr(batch, field.name) for batch in batches])
    truths = [batch.truth for batch in batches if batch.truth is not None]
    truth = None
    if truths:
        truth = FaceTruth(**{f.name: torch.cat([getattr(t, f.name) for t in truths]) for f in fields(FaceTruth)})
    return FaceBatch(**values, set_of=torch.cat(sets), truth=truth)
