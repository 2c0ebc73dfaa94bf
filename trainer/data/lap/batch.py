"""Batches for training LAP's stage."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from backend.photos.collection import FaceClass

FACE_CLASSES = (
    FaceClass.SKIN,
    FaceClass.BROWS,
    FaceClass.EYES,
    FaceClass.GLASSES,
    FaceClass.LIPS,
    FaceClass.MOUTH_INTERIOR,
    FaceClass.FACIAL_HAIR,
)
"""Classes that the canonical surface represents in a photo."""
CHANGING_CLASSES = (FaceClass.BROWS, FaceClass.EYES, FaceClass.LIPS, FaceClass.MOUTH_INTERIOR)
"""Classes that differ most between photos of one person: the paper's mouth, eyes and brow."""


@dataclass(frozen=True)
class CanonicalTruth:
    """Ground truth of synthetic people in LAP's units: n photos of g sets, canonical and view pictures of S x S.

    Canonical frame: that of ``CanonicalCamera``, x right, y down, z forward; one unit is about a metre.

    Attributes
    ----------
    depth : (g, S, S) canonical depth of the neutral face, 0 where there is none. albedo : (g, 3, S, S) sRGB in [0, 1],
        mean over the photos. albedo_seen : (g, S, S) bool, visible in at least one photo.
    personal_depth : (n, S, S) canonical depth with the photo's expression.
    rotation : (n, 3, 3), translation : (n, 3) of the ``View`` closest to the photo's camera.
    view_depth : (n, S, S) depth of the face in the photo, in the view's frame; 0 where there is none.
    """

    depth: Tensor
    albedo: Tensor
    albedo_seen: Tensor
    personal_depth: Tensor
    rotation: Tensor
    translation: Tensor
    view_depth: Tensor


@dataclass(frozen=True)
class LapBatch:
    """N photos in G sets. A set is one person; its photos are consecutive.

    Attributes
    ----------
    images : (N, 3, S, S) float32 in [0, 1], sRGB, the square of ``backend.photos.faces.crop.face_square``.
    labels : (N, S, S) uint8 of ``FaceClass``, 255 where unknown.
    is_grey : (N,) bool; the photo has no colour.
    set_of : (N,) int64, ascending from 0.
    truth : of all sets, or None.
    marks : (N, 478, 3) landmarks found by the landmark net: x, y and standard deviation in sides of the picture;
        None where the net was not run.
    """

    images: Tensor
    labels: Tensor
    is_grey: Tensor
    set_of: Tensor
    truth: CanonicalTruth | None
    marks: Tensor | None = None


def class_mask(labels: Tensor, classes: tuple[FaceClass, ...]) -> Tensor:
    """(...) bool: label is one of ``classes``."""
    wanted = torch.zeros(256, dtype=torch.bool, device=labels.device)
    wanted[[int(c) for c in classes]] = True
    return wanted[labels.long()]
