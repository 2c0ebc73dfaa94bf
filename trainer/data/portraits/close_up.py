"""Crop the square around the face from head crops, on the training device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from trainer.data.people.view import FACE_CROP

_MESH_COUNT = 468  # without the irises


def close_up(images: Tensor, labels: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Crop pictures (N, 3, S, S), labels (N, S, S) and landmarks (N, 478, 2) to the face's square, again S x S pixels.

    Outside the picture its edge is repeated, and labels there are 255.
    """
    size = images.shape[-1]
    low, high = landmarks[:, :_MESH_COUNT].amin(1), landmarks[:, :_MESH_COUNT].amax(1)
    middle, side = (low + high) / 2, FACE_CROP * (high - low).mean(1)  # (N, 2), (N,)
    zoom = side / size
    rows = torch.zeros(len(images), 2, 3, device=images.device)
    rows[:, 0, 0] = rows[:, 1, 1] = zoom
    rows[:, :, 2] = 2 * middle / size - 1
    grid = functional.affine_grid(rows, list(images.shape), align_corners=False)
    cut = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    classes = functional.grid_sample(
        labels[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False
    )
    outside = (grid.abs() > 1).any(-1)
    corner = (middle - side[:, None] / 2)[:, None]
    return cut, classes[:, 0].to(labels.dtype).masked_fill(outside, 255), (landmarks - corner) / zoom[:, None, None]
