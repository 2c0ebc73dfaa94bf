"""Hats: how likely a photo shows one, and whether another photo of the person shows the same one for certain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from backend.photos.collection import FaceClass
from backend.photos.faces.landmarks import landmark_window
from backend.photos.regions.polygons import above_brows
from backend.rendering.color import linear_from_srgb

_HEADWEAR, _RATHER_THAN_HAIR = 0.28, 0.4
"""Least share of occluder above the brows, of all and of what is not skin, for a hat; below it such patches are hair or
background. Chosen on 55 press photos with something on the head; bald heads and grey hair have less."""
_HAT_REACH = 0.3  # heights of the face
_LEAST_PIXELS = 20
"""Least number of pixels of hair or hat, and of skin, for a colour: the median is then within a tenth of its spread."""
_DARKEST = 1e-3
"""Linear light at the level of a photo's noise, lower bound before logarithms."""
SAME_COLOUR = 1.0
"""Distance in natural logarithms of linear R, G and B, relative to the face's skin, within which two photos show the
same colour above the brows: 0.37 of 114 pairs of photos of one person with a hat in both, and 0.08 of 138 pairs with a
hat in one alone (25 people of press photos)."""
SAME_HAT = 1.5
"""Log odds of a hat, added if another photo shows a hat by itself and both have the same colour: log(0.37 / 0.08). That
people with a hat in one photo often have one in others would add 1.8; it is not counted, because hats come off."""


@dataclass(frozen=True)
class Headwear:
    """``score`` : log odds of a hat, above 0 with one; nan if nothing is above the brows. ``colour`` : natural
    logarithms of linear R, G and B of the hair or hat, relative to the face's skin; nan where either is not seen."""

    score: float
    colour: tuple[float, float, float]


def look_for_headwear(probabilities: np.ndarray, landmarks: np.ndarray, pixels: np.ndarray) -> Headwear:
    """The evidence about a hat in class probabilities (C, S, S) of ``pixels`` (S, S, 3) uint8 sRGB with landmarks
    (478, 2 or 3) in their pixels."""
    above = above_brows(landmarks, probabilities.shape[1])
    top = above & over_face(landmarks, probabilities.shape[1])
    likeliest = probabilities.argmax(axis=0)
    worn = top & np.isin(likeliest, (FaceClass.HAIR, FaceClass.OCCLUDER))
    colour = _log_colour(pixels[worn]) - _log_colour(pixels[(likeliest == FaceClass.SKIN) & ~above])
    return Headwear(hat_score(probabilities[:, top]), tuple(map(float, colour)))


def hat_score(probabilities: np.ndarray) -> float:
    """Log odds of a hat from the probabilities (C, P) of the pixels above the brows; above 0 if the shares of occluder
    are above ``_HEADWEAR`` and ``_RATHER_THAN_HAIR``."""
    skin, hair, hat = probabilities[[FaceClass.SKIN, FaceClass.HAIR, FaceClass.OCCLUDER]].sum(axis=1)
    if skin + hair + hat <= 0:
        return float("nan")
    rests = ((skin + hair, _HEADWEAR), (hair, _RATHER_THAN_HAIR))
    return float(min(np.log((hat + 1e-6) / (rest + 1e-6)) - np.log(least / (1 - least)) for rest, least in rests))


def over_face(landmarks: np.ndarray, side: int) -> np.ndarray:
    """(side, side) bool: columns of the face, up to ``_HAT_REACH`` heights above it, without others' hats."""
    places = np.arange(side) + 0.5
    columns = (places > landmarks[:, 0].min()) & (places < landmarks[:, 0].max())
    return (places > landmarks[:, 1].min() - _HAT_REACH * landmark_window(landmarks, 1.0).side)[:, None] & columns


def vote_on_hats(seen: Sequence[Headwear | None]) -> tuple[Headwear | None, ...]:
    """Each photo's headwear, with ``SAME_HAT`` added to its score if another photo of the person shows a hat by itself
    and the same colour is above the brows in both. Photos without a hat have no vote, because hats come off."""

    def voted(own: Headwear | None) -> Headwear | None:
        if own is None or not own.score <= 0:
            return own
        hats = [other.colour for other in seen if other is not None and other.score > 0]
        alike = any(np.linalg.norm(np.subtract(own.colour, colour)) < SAME_COLOUR for colour in hats)
        return replace(own, score=own.score + SAME_HAT) if alike else own

    return tuple(voted(own) for own in seen)


def _log_colour(pixels: np.ndarray) -> np.ndarray:
    """(3,) median of the log linear light of pixels (P, 3) uint8 sRGB; nan of few."""
    if len(pixels) < _LEAST_PIXELS:
        return np.full(3, np.nan)
    return np.median(np.log(linear_from_srgb(pixels.astype(np.float32) / 255) + _DARKEST), axis=0)
