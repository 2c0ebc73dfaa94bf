"""Find the skin below a hat: photos show it in the hat's shade."""

from __future__ import annotations

import numpy as np

from backend.geometry.smoothstep import smoothstep
from backend.photos.collection import FaceClass
from backend.texture.unwrapping.head_surface import HeadSurface
from backend.texture.unwrapping.settings import UNWRAPPING
from backend.texture.unwrapping.unwrap import PhotoUnwrap


def above_eyes(surface: HeadSurface, positions: np.ndarray) -> np.ndarray:
    """(V,) 1 on the forehead and the brows, 0 from the lids down; positions (V, 3) neutral, metres."""
    brows = positions[surface.regions["brows"] > 0.5, 1]
    low, middle = float(brows.min()), float(np.median(brows))
    return smoothstep(low, middle, positions[:, 1]) * smoothstep(0.3, 0.7, surface.regions["face"])


def wears_hat(unwrap: PhotoUnwrap, top: np.ndarray) -> float:
    """How surely, in [0, 1], a photo shows a hat: of what it shows on the head's top (P,), ``top`` in [0, 1], most is
    labelled occluder and little is hair or skin."""
    shown = unwrap.seen * top
    total = float(shown.sum())
    if total <= 0.0:
        return 0.0
    share = float((shown * (unwrap.labels == FaceClass.OCCLUDER)).sum()) / total
    return float(smoothstep(*UNWRAPPING.hat_share, share))


def clear_of_hat(unwrap: PhotoUnwrap, below: np.ndarray) -> np.ndarray:
    """(P,) factor in [0, 1] of a photo's weight: low on skin below a hat (``below`` (P,) in [0, 1]) within
    ``strand_reach`` of its edge, where the hat's contact shadow and hair that sticks out are. Brows stay."""
    reach = UNWRAPPING.strand_reach
    beside = smoothstep(reach, 0.5 * reach, unwrap.away) * (unwrap.labels == FaceClass.SKIN)
    return 1.0 - below * beside
