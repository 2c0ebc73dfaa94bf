"""The shade that a hat throws on the face below it: not the skin's, though all photos show it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.geometry.smoothstep import smoothstep
from backend.photos.collection import FaceClass
from backend.texture.atlas import SurfaceAtlas
from backend.texture.surface import HeadSurface
from backend.texture.surface_field import SurfaceOperators, smooth_field
from backend.texture.survey import SurveyedPhoto, trusted_share
from backend.texture.unwrap import SEEN

_SCALP, _HAT = 0.02, 0.1  # prior of hair where hats are; share of what is seen there that something covers
_MOST_PHOTOS = (0.4, 0.8)  # share of the photos with a hat from which shade below it is taken for it
_REACH, _NEAR = 0.03, (0.02, 0.12)
"""Metres over which the share of hats is smeared out downwards; of what is left of it, where their shade is."""
_FINE = 0.008  # metres: shade is no finer
_SHADE, _MOST = (0.05, 0.25), 1.2  # log units darker than usual from which it is shade; at most


def shade_below_hats(
    surface: HeadSurface,
    atlas: SurfaceAtlas,
    photos: Sequence[SurveyedPhoto],
    operators: SurfaceOperators,
    log_albedo: np.ndarray,
    log_tone: np.ndarray,
    weight: np.ndarray,
) -> np.ndarray:
    """(C, 3) log units by which the photos' skin is too dark, and of another colour, below the hats that most of them
    show; 0 elsewhere.

    log_albedo : (C, 3) what the photos agree on. log_tone : (3,) plain skin's.
    weight : (C,) in [0, 1], how well bare skin is seen.
    """
    covered = np.zeros(len(atlas.texel), np.float32)
    hatted = []
    on_scalp = atlas.sample(surface.regions["scalp"][:, None])[:, 0] > _SCALP
    for photo in photos:
        seen = on_scalp & (photo.unwrap.seen > SEEN)
        hat = seen & (photo.unwrap.labels == FaceClass.OCCLUDER)
        hatted.append(hat.sum() > _HAT * max(int(seen.sum()), 1))
        if hatted[-1]:
            covered = np.maximum(covered, hat)
    often = float(smoothstep(*_MOST_PHOTOS, trusted_share(photos, hatted)))
    if often == 0.0:
        return np.zeros_like(log_albedo)
    hats = surface.at_cage(atlas, covered[:, None], np.ones(len(covered), np.float32))[0]
    spread = smooth_field(operators, hats, np.ones(len(hats)), _REACH)[:, 0]
    skin = smooth_field(operators, log_albedo, weight, _FINE, None, 1e-3)
    darker = log_tone - skin
    shade = often * smoothstep(*_NEAR, spread) * smoothstep(*_SHADE, darker.mean(axis=1))
    return shade[:, None] * np.clip(darker, -_MOST, _MOST)
