"""sRGB's transfer function (IEC 61966-2-1), for torch tensors and numpy arrays."""

from typing import TypeVar

import numpy as np
import torch

Array = TypeVar("Array", np.ndarray, torch.Tensor)

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Rec. 709 weights of linear red, green and blue."""
_PIECE = 1 << 18  # values: a piece and its four temporary arrays have 5 MB


def linear_from_srgb(encoded: Array) -> Array:
    """Linear light in [0, 1] of sRGB values in [0, 1], any shape; uint8 arrays are taken as 0-255 (float32 out)."""
    if isinstance(encoded, torch.Tensor):
        if encoded.dtype == torch.uint8:
            return torch.from_numpy(LINEAR_OF_BYTES).to(encoded.device)[encoded.long()]
        low = encoded / 12.92
        return torch.where(encoded <= 0.04045, low, ((encoded.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)
    if encoded.dtype == np.uint8:
        return LINEAR_OF_BYTES[encoded]
    return _decode(encoded)


def srgb_from_linear(linear: Array) -> Array:
    """sRGB values in [0, 1] of linear light, clipped to [0, 1]; any shape, differentiable (zero outside)."""
    if isinstance(linear, torch.Tensor):
        clipped = linear.clamp(0, 1)
        high = 1.055 * clipped.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
        return torch.where(clipped <= 0.0031308, 12.92 * clipped, high)
    clipped = np.clip(linear, 0, 1)
    return np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * np.maximum(clipped, 0.0031308) ** (1 / 2.4) - 0.055)


def srgb_bytes(linear: np.ndarray) -> np.ndarray:
    """uint8 sRGB of linear light, rounded; any shape. Computed in pieces to bound temporary memory."""
    flat, out = np.ravel(linear), np.empty(np.size(linear), np.uint8)
    for first in range(0, len(flat), _PIECE):
        piece = slice(first, first + _PIECE)
        out[piece] = np.round(srgb_from_linear(np.asarray(flat[piece], np.float32)) * 255)
    return out.reshape(np.shape(linear))


def _decode(encoded: np.ndarray) -> np.ndarray:
    high = ((np.maximum(encoded, 0.04045) + 0.055) / 1.055) ** 2.4
    return np.where(encoded <= 0.04045, encoded / 12.92, high)


LINEAR_OF_BYTES = _decode(np.arange(256) / 255.0).astype(np.float32)
"""(256,) linear light of sRGB's bytes."""
