"""Pictures and label maps made smaller."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from backend.photos.collection import FaceClass


def smaller(images: Tensor, size: int) -> Tensor:
    """Pictures (N, C, S', S') averaged down to ``size``."""
    if images.shape[-1] == size:
        return images
    return functional.interpolate(images, (size, size), mode="area")


def smaller_labels(labels: Tensor, size: int) -> Tensor:
    """(N, size, size) uint8 the class that covers most of each pixel; among equals the lowest."""
    if labels.shape[-1] == size:
        return labels
    best = torch.zeros(len(labels), size, size, device=labels.device)
    result = torch.zeros(len(labels), size, size, dtype=torch.uint8, device=labels.device)
    for one in FaceClass:
        share = smaller((labels == int(one))[:, None].float(), size)[:, 0]
        result.masked_fill_(share > best, int(one))
        best = torch.maximum(best, share)
    return result
