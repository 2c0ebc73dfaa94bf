"""Synthesise pores and fine lines below the photos' resolution. The pattern is the same for everyone, its depth varies
by region."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from backend.detail.window import contact_free_mask
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.head_surface import HeadSurface

PORE_DISTANCE = 0.0009
"""Metres between pores on cheeks and nose."""
_SEED = 20261124
_DEPTH = {"nose": 0.030, "cheeks": 0.024, "chin": 0.022, "forehead": 0.018, "neck": 0.010, "ears": 0.004}
"""Millimetres, standard deviation of the relief by region; profilometry of facial skin finds 10 to 30 micrometres
(Ra)."""
_DEFAULT_DEPTH = 0.012
_MIN_TEXELS = 3.0
"""Least texels per pore; coarser maps get larger, fainter pores."""


def pores(surface: HeadSurface, atlas: SurfaceAtlas, texels_per_metre: float) -> np.ndarray:
    """(R, R) float32 heights in millimetres on an atlas of the face's own chart."""
    distance = max(PORE_DISTANCE * texels_per_metre, _MIN_TEXELS)
    faint = PORE_DISTANCE * texels_per_metre / distance
    depth = np.full(surface.lift.shape[0], _DEFAULT_DEPTH)
    for name, value in _DEPTH.items():
        mask = np.clip(surface.regions[name], 0, 1)
        depth += mask * (value - depth)
    depth *= contact_free_mask(surface)
    depths = atlas.image(atlas.sample(depth[:, None]))[..., 0]
    return _pore_pattern(atlas.resolution, round(float(distance), 2)) * depths * np.float32(faint)


@lru_cache(maxsize=2)
def _pore_pattern(size: int, distance: float) -> np.ndarray:
    """(S, S) float32 of standard deviation 1: pits about ``distance`` texels apart in a net of fine lines."""
    generator = np.random.Generator(np.random.Philox(key=_SEED))
    noise = generator.standard_normal((size, size), np.float32)
    sigma = distance / 4.5
    pits = cv2.GaussianBlur(noise, (0, 0), sigma) - cv2.GaussianBlur(noise, (0, 0), 1.7 * sigma)
    pits /= pits.std()
    pits = -np.maximum(pits - 0.4, 0.0)  # pores go in, the skin between them is flat
    lines = cv2.GaussianBlur(generator.standard_normal((size, size), np.float32), (0, 0), 0.6 * sigma)
    lines = np.abs(lines / lines.std())  # its zero crossings form a net
    relief = pits + 0.25 * np.minimum(lines, 1.0)
    relief -= cv2.GaussianBlur(relief, (0, 0), 4.0 * sigma)
    return relief / relief.std()
