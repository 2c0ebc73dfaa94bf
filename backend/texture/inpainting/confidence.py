"""Compute the confidence of each texel of the photos.

Photos are least reliable at their borders: skin is specular at grazing angles, hair and background bleed in, and the
last millimetres of every mask are wrong. So confidence fades over 7 to 10 mm *inside* the photos' border.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from backend.geometry.smoothstep import smoothstep
from backend.texture.inpainting.settings import INPAINTING
from backend.texture.unwrapping.atlas import SurfaceAtlas


def confidence(
    shown: Sequence[np.ndarray],
    cosines: Sequence[np.ndarray],
    behind: np.ndarray,
    atlas: SurfaceAtlas,
    density: float,
    fade: float,
) -> np.ndarray:
    """(S, S) float32 confidence in [0, 1]: 1 well inside the visible area, falling to 0 at its border over ``fade``
    metres.

    Parameters
    ----------
    shown, cosines : (P,) per photo at the atlas's texels; a mirrored side counts as shown.
    behind : (P,) in [0, 1], 1 on rims of glasses; skin continues behind them, so they are not a border.
    density : texels per metre.
    """
    evidence = np.maximum.reduce(
        [weight * smoothstep(*INPAINTING.grazing, cosine) for weight, cosine in zip(shown, cosines, strict=True)]
    )
    known = atlas.image((evidence > INPAINTING.known) | (behind > INPAINTING.known))
    known |= known[:, ::-1]
    chart = atlas.image(np.ones(len(atlas.texel), bool))
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats((chart & ~known).astype(np.uint8), connectivity=4)
    small = statistics[:, cv2.CC_STAT_AREA] < INPAINTING.hole * density**2
    small[0] = False
    if count > 1:
        known |= small[pieces]
    distance = cv2.distanceTransform((known | ~chart).astype(np.uint8), cv2.DIST_L2, 5) / np.float32(density)
    return (smoothstep(0.001, fade, distance) * (known | ~chart)).astype(np.float32)
