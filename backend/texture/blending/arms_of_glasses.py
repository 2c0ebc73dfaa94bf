"""Detect hinges and arms of glasses in the blended bands; parsing labels only lenses and rims as glasses."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from backend.geometry.smoothstep import smoothstep
from backend.photos.collection import FaceClass
from backend.photos.regions.masks import connected
from backend.texture.blending.settings import BLENDING
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.head_surface import HeadSurface
from backend.texture.unwrapping.photo_selection import TexturePhoto, labelled_share, trusted_share
from backend.texture.unwrapping.unwrap import SEEN
from backend.texture.unwrapping.uv_filters import channel_mean, grown


def arms_of_glasses(
    surface: HeadSurface,
    atlas: SurfaceAtlas,
    photos: Sequence[TexturePhoto],
    blended: np.ndarray,
    hairline: np.ndarray,
    positions: np.ndarray,
    density: float,
) -> np.ndarray:
    """(S, S) mask in [0, 1] of hinges and arms of glasses at the temples, outside hair and brows.

    Zero unless the person wears glasses in many photos.

    blended : (S, S, 3) log detail. hairline : (S, S) in [0, 1], 1 on hair. positions : (V, 3) neutral, metres.
    density : texels per metre.
    """
    least = BLENDING.glasses_area * density**2
    worn = [((p.unwrap.labels == FaceClass.GLASSES) & (p.unwrap.seen > SEEN)).sum() > least for p in photos]
    often = float(smoothstep(*BLENDING.worn_share, trusted_share(photos, worn)))
    if often == 0.0:
        return np.zeros(blended.shape[:2], np.float32)
    lids = positions[np.maximum(surface.regions["lids_left"], surface.regions["lids_right"]) > 0.5]
    place = atlas.sample(positions)
    up, aside = place[:, 1] - float(np.median(lids[:, 1])), np.abs(place[:, 0]) - float(np.abs(lids[:, 0]).max())
    low, high = -BLENDING.below_eyes, BLENDING.above_eyes
    band = smoothstep(low - 0.002, low, up) * smoothstep(high + 0.002, high, up)
    band = band * smoothstep(0.0, BLENDING.beside_eyes, aside)
    band, dark = atlas.image(band.astype(np.float32)), -channel_mean(blended)
    arms = connected((band > 0) & (dark > BLENDING.part_of_arm), dark > BLENDING.arm_contrast)
    soft = cv2.GaussianBlur(cv2.dilate(arms.astype(np.float32), np.ones((5, 5), np.uint8)), (0, 0), 1.0)
    near_hair = smoothstep(0.02, 0.2, cv2.GaussianBlur(hairline, (0, 0), hairline.shape[0] / BLENDING.beside_hair))
    hairy = np.maximum(near_hair, labelled_share(atlas, photos, FaceClass.FACIAL_HAIR))
    brows = smoothstep(*BLENDING.brow_share, labelled_share(atlas, photos, FaceClass.BROWS))  # brows are dark as well
    bare = (1.0 - hairy) * (1.0 - grown(brows, round(BLENDING.beside_brows * density), 0))
    return often * band * soft * bare
