"""Reduce pictures and label maps by a factor of at most two."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.photos.collection import FaceClass


def _pairs(large: int, small: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(S,) first and last index of the one or two samples that overlap each pixel most."""
    if not small <= large <= 2 * small:
        raise ValueError(f"{large} samples cannot be averaged to {small} pixels")
    steps = torch.arange(small, device=device)
    first = torch.div(steps * large, small, rounding_mode="floor")
    last = torch.div((steps + 1) * large - 1, small, rounding_mode="floor")
    return first, last


def smaller(images: Tensor, size: int) -> Tensor:
    """Average pictures (N, S', S', C) down to (N, size, size, C); S' is between size and twice that."""
    if images.shape[1] == size:
        return images
    first, last = _pairs(images.shape[1], size, images.device)
    rows = (images.index_select(1, first) + images.index_select(1, last)) * 0.5
    return (rows.index_select(2, first) + rows.index_select(2, last)) * 0.5


def smaller_labels(labels: Tensor, size: int) -> Tensor:
    """Reduce labels (N, S', S') uint8 to (N, size, size): the most frequent class of the four samples in each pixel.

    Of two equal pairs the one with the upper left sample wins; of four different classes, that sample's. One sample of
    glasses is enough for GLASSES, because a wire frame is thinner than a pixel but clearly visible in the picture.
    """
    if labels.shape[-1] == size:
        return labels
    first, last = _pairs(labels.shape[-1], size, labels.device)
    upper, lower = labels.index_select(1, first), labels.index_select(1, last)
    a, b = upper.index_select(2, first), upper.index_select(2, last)
    c, d = lower.index_select(2, first), lower.index_select(2, last)
    paired = (a == b) | (a == c) | (a == d)
    result = torch.where(paired, a, torch.where((b == c) | (b == d), b, torch.where(c == d, c, a)))
    glasses = int(FaceClass.GLASSES)
    seen = (a == glasses) | (b == glasses) | (c == glasses) | (d == glasses)
    return result.masked_fill(seen, glasses)
