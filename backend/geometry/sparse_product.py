"""Product of a sparse matrix and a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def spread(matrix: Tensor, features: Tensor) -> Tensor:
    """(B, M, F) product of a sparse matrix (M, N) and features (B, N, F)."""
    batch, count, width = features.shape
    flat = features.permute(1, 0, 2).reshape(count, batch * width)
    with torch.autocast(features.device.type, enabled=False):  # sparse products do not support half precision
        found = torch.sparse.mm(matrix, flat.float())
    return found.view(matrix.shape[0], batch, width).permute(1, 0, 2)
