"""The shade that a hat casts on the forehead: neither light that spherical harmonics express, nor pigment."""

from __future__ import annotations

import cv2
import numpy as np

from backend.geometry.disc import disc
from backend.geometry.robust_statistics import weighted_median
from backend.geometry.smoothstep import smoothstep
from backend.photos.collection import FaceClass
from backend.texture.delighting.settings import DELIGHTING
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.head_surface import HeadSurface
from backend.texture.unwrapping.photo_selection import TexturePhoto, bare_skin, plain_skin
from backend.texture.unwrapping.settings import UNWRAPPING
from backend.texture.unwrapping.uv_filters import masked_lowpass


def hat_shade(
    surface: HeadSurface, atlas: SurfaceAtlas, photo: TexturePhoto, log_delit: np.ndarray, density: float
) -> np.ndarray:
    """(V, 3) float32 log light, at most 0, that a hat keeps from the skin below it; 0 in photos without a hat.

    Bare skin above the eyes is compared with the same photo's bare skin below them. Where it is darker over
    ``light_length`` or more, that is the hat's shade. Brows are left out, so they stay as dark as they are.

    Parameters
    ----------
    log_delit : (P, 3) log of the photo's linear light over its spherical-harmonics light, at the atlas's texels.
    density : texels per metre.
    """
    none = np.zeros((len(photo.below_hat), 3), np.float32)
    if photo.below_hat.max() <= 0.0:
        return none
    below, plain = atlas.sample(np.stack([photo.below_hat, plain_skin(surface)], 1).astype(np.float32)).T
    lit = bare_skin(photo.unwrap, plain) * photo.unwrap.weight * (1.0 - below)
    brows = atlas.image((photo.unwrap.labels == FaceClass.BROWS).astype(np.uint8))
    near_brows = atlas.gather(cv2.dilate(brows, disc(max(1, round(UNWRAPPING.margin * density))))) > 0
    shaded = photo.unwrap.weight * (photo.unwrap.labels == FaceClass.SKIN) * (below > 0.0) * ~near_brows
    if min(lit.sum(), shaded.sum()) < DELIGHTING.hat_least_texels:
        return none
    darker = (log_delit - weighted_median(log_delit, lit)).astype(np.float32)
    smooth, support = masked_lowpass(
        atlas.image(darker), atlas.image(shaded.astype(np.float32)), DELIGHTING.light_length * density
    )
    shade = (
        np.minimum(atlas.gather(smooth), 0.0) * smoothstep(*DELIGHTING.hat_shade_known, atlas.gather(support))[:, None]
    )
    at_vertices, _ = atlas.splat(shade, np.ones(len(shade), np.float32), len(photo.below_hat))
    return (at_vertices * photo.below_hat[:, None]).astype(np.float32)
