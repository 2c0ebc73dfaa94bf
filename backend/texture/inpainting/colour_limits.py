"""Limits on how far the colour of skin may differ from the typical colour around it."""

from __future__ import annotations

import numpy as np

from backend.texture.inpainting.settings import INPAINTING


def limited_difference(difference: np.ndarray) -> np.ndarray:
    """(C, 3) the difference (C, 3) of seen from inpainted skin, limited to exclude odd chroma, rim light and hair
    shadow."""
    level = difference.mean(1, keepdims=True)
    chroma = difference - level
    size = np.linalg.norm(chroma, axis=1, keepdims=True)
    chroma = chroma * INPAINTING.chroma_range * np.tanh(size / INPAINTING.chroma_range) / np.maximum(size, 1e-9)
    most = np.where(level > 0, INPAINTING.brighter, INPAINTING.darker)
    return most * np.tanh(level / most) + chroma
