"""Residual artefacts of blending: folds of ears, hinges and arms of glasses, narrow strips between gaps."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from backend.geometry.disc import disc
from backend.geometry.smoothstep import smoothstep
from backend.photos.collection import FaceClass
from backend.photos.regions.masks import connected
from backend.texture.blending.settings import BLENDING
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.head_surface import HeadSurface
from backend.texture.unwrapping.photo_selection import TexturePhoto, labelled_share, trusted_share
from backend.texture.unwrapping.unwrap import SEEN
from backend.texture.unwrapping.uv_filters import channel_mean, grown


def folds_of_ears(ears: np.ndarray, blended: np.ndarray, density: float) -> np.ndarray:
    """(S, S) in [0, 1] where photos show shade or shine of an ear's folds, which lie elsewhere than the mesh's, and
    what goes on from there over the skin before the ear.

    ears : (S, S) the mesh's. blended : (S, S, 3) log detail. density : texels per metre.
    """
    marks = smoothstep(*BLENDING.fold_contrast, np.abs(channel_mean(blended)))
    beside = smoothstep(0.05, 0.3, grown(ears, round(BLENDING.beside_ears * density), 0))
    reached = smoothstep(0.05, 0.3, grown(ears, round(BLENDING.from_ears * density), 0)) * marks > BLENDING.part_of_fold
    return np.maximum(beside * _widened(marks), _widened(connected(reached, beside > 0.5)))


def arms_of_glasses(
    surface: HeadSurface,
    atlas: SurfaceAtlas,
    photos: Sequence[TexturePhoto],
    blended: np.ndarray,
    positions: np.ndarray,
    density: float,
) -> np.ndarray:
    """(S, S) in [0, 1] where hinges and arms of glasses show at the temples of a head that wears some in many photos:
    labels of glasses end with the lenses' rims.

    blended : (S, S, 3) log detail. positions : (V, 3) neutral, metres. density : texels per metre.
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
    return often * band * _widened(connected((band > 0) & (dark > BLENDING.part_of_arm), dark > BLENDING.arm_contrast))


def without_slivers(cover: np.ndarray, density: float) -> np.ndarray:
    """Cover (S, S) in [0, 1] without strips narrower than twice ``BlendingSettings.sliver``: what is left between two
    places that photos do not show is their common rim, and stands out as a line. density : texels per metre."""
    radius = max(1, round(BLENDING.sliver * density))
    broad = cv2.GaussianBlur(cv2.morphologyEx(cover, cv2.MORPH_OPEN, disc(radius)), (0, 0), 1.0)
    return np.minimum(cover, broad)


def _widened(mask: np.ndarray) -> np.ndarray:
    """(S, S) two texels wider, with a soft edge."""
    return cv2.GaussianBlur(cv2.dilate(mask.astype(np.float32), np.ones((5, 5), np.uint8)), (0, 0), 1.0)


def residual_artefacts(
    surface: HeadSurface,
    atlas: SurfaceAtlas,
    photos: Sequence[TexturePhoto],
    blended: np.ndarray,
    hairline: np.ndarray,
    positions: np.ndarray,
    density: float,
) -> np.ndarray:
    """(S, S) in [0, 1] what is to be removed: ``folds_of_ears`` where there is neither hair nor beard;
    ``arms_of_glasses`` where there is neither hair nor brow.

    blended : (S, S, 3) log detail. hairline : (S, S) in [0, 1] where hair is. positions : (V, 3) neutral, metres.
    density : texels per metre.
    """
    near_hair = smoothstep(0.02, 0.2, cv2.GaussianBlur(hairline, (0, 0), hairline.shape[0] / BLENDING.beside_hair))
    hairy = np.maximum(near_hair, labelled_share(atlas, photos, FaceClass.FACIAL_HAIR))
    ears = atlas.image(atlas.sample(surface.regions["ears"][:, None])[:, 0])
    brows = smoothstep(*BLENDING.brow_share, labelled_share(atlas, photos, FaceClass.BROWS))  # dark themselves
    folds = (1.0 - hairy) * folds_of_ears(ears, blended, density)
    bare = (1.0 - hairy) * (1.0 - grown(brows, round(BLENDING.beside_brows * density), 0))
    arms = bare * arms_of_glasses(surface, atlas, photos, blended, positions, density)
    return 1.0 - (1.0 - folds) * (1.0 - arms)
