"""Unit vectors of torch tensors."""

from __future__ import annotations

from torch import Tensor


def unit(vectors: Tensor) -> Tensor:
    """Vectors (..., 2 or 3) divided by their length (faster than ``normalize`` on so short an axis)."""
    square = sum(part * part for part in vectors.unbind(-1))
    return vectors * square.clamp(min=1e-20).rsqrt()[..., None]
