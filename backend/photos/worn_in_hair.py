"""What is worn in hair and leaves most of it free: bands, crowns, sunglasses that are pushed up, balls before it."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from backend.photos.collection import FaceClass
from backend.photos.hair_colours import colour_features, learn_colours
from backend.photos.landmarks import landmark_window
from backend.photos.regions import above_brows, connected, grown

_SEEN, _MEAN, _TOP = 0.35, 0.44, 0.52
"""Probability, by the second net, from which pixels above the brows may be such a thing; least mean and ninth decile of
what is connected. On 834 press photos, the sheet's hundred and 80 portraits 23 such parts are no hats by their labels;
half of them are braids, shine and shaved heads."""
_LEAST = 0.008  # of the face's area
_FROM_HAIR, _FROM_SKIN = 12.0, 16.0
"""Least distance (a and b of CIE Lab) of its colour from that of the photo's other hair, and of its skin. There braids
and shine have 1 to 6 and 15 to 21, bands and crowns 13 to 60 and 30 to 54. White caps have white hair's."""
_HAIR, _NO_THING = 0.6, 0.15  # probabilities of hair from which, and of a thing up to which, pixels show hair's colour
_FEWEST_HAIR, _FEWEST = 0.02, 40  # of the face's area; pixels
_GROWS, _OFF, _CLOSED = 0.7, 0.02, 0.015  # heights of the face
_PARTS, _HAIR_PARTS = 3, 4  # Gaussians
_STRANGE = 0.02  # share of either that looks like nothing that was learnt
_WEIGHT, _SMOOTH = 2.0, 0.012  # of colours against the probabilities' log odds; in heights of the face
_NEARLY_NONE = 0.02


def worn_in_hair(
    opinion: np.ndarray, odds: np.ndarray, labels: np.ndarray, pixels: np.ndarray, landmarks: np.ndarray
) -> np.ndarray:
    """(S, S) bool: what is hair by ``labels`` (S, S), but something worn in it by the second net and by its colours.

    opinion, odds (C, S, S) : class probabilities of the second net, and those that the labels come from. pixels
    (S, S, 3) uint8 sRGB; landmarks (478, 3) in them.

    A hat is known by how much of the head it covers (``settle_what_is_worn``). A band covers little, and what surrounds
    it outvotes it; but hair of one person has one tint, and so have the braids and the shine that the net takes for
    such things. What is found grows over all hair that is coloured like it and not like the rest.
    """
    size = landmark_window(landmarks, 1.0).side
    seen, is_hair, skin = opinion[FaceClass.OCCLUDER], labels == FaceClass.HAIR, labels == FaceClass.SKIN
    nothing = np.zeros(labels.shape, dtype=bool)
    place = above_brows(landmarks, labels.shape[0])
    large = max(_LEAST * size**2, _FEWEST)
    parts = [part for part in _parts((seen > _SEEN) & place) if part.sum() >= large and (part & is_hair).any()]
    hair = is_hair & (odds[FaceClass.HAIR] > _HAIR) & (seen < _NO_THING)
    if not parts or not skin.any() or hair.sum() < max(_FEWEST_HAIR * size**2, _FEWEST):
        return nothing
    tint = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32)[..., 1:]
    of_hair, of_skin = (np.median(tint[where], axis=0) for where in (hair, skin))
    worn = [part for part in parts if _is_worn(seen[part], np.median(tint[part], axis=0), of_hair, of_skin)]
    if not worn:
        return nothing
    things = np.logical_or.reduce(worn)
    hair &= np.linalg.norm(tint - of_hair, axis=-1) < np.linalg.norm(tint - np.median(tint[things], axis=0), axis=-1)
    hair &= ~grown(things, _OFF * size)
    if hair.sum() < _FEWEST:
        return things & is_hair
    near = grown(things, _GROWS * size) & place
    features = colour_features(pixels).reshape(*labels.shape, -1)
    of_things, of_rest = learn_colours(features[things], _PARTS), learn_colours(features[hair], _HAIR_PARTS)
    evidence = np.zeros(labels.shape, np.float32)
    evidence[near] = of_things.likelier_than(of_rest, features[near], (_STRANGE, _STRANGE))
    rest = odds[[FaceClass.HAIR, FaceClass.SKIN, FaceClass.BACKGROUND]].sum(axis=0)
    prior = np.log((seen + _NEARLY_NONE) / (rest + _NEARLY_NONE))
    likely = near & is_hair & (prior + _WEIGHT * cv2.GaussianBlur(evidence, (0, 0), _SMOOTH * size) > 0)
    closed = grown(grown(likely, _CLOSED * size), -_CLOSED * size) & is_hair
    return connected(closed, things)


def _is_worn(seen: np.ndarray, tint: np.ndarray, of_hair: np.ndarray, of_skin: np.ndarray) -> bool:
    """Whether a part with probabilities (P,) and a tint (2,) is neither hair nor skin by theirs (2,)."""
    sure = seen.mean() > _MEAN and np.quantile(seen, 0.9) > _TOP
    apart = np.linalg.norm(tint - of_hair) > _FROM_HAIR and np.linalg.norm(tint - of_skin) > _FROM_SKIN
    return bool(sure and apart)


def _parts(mask: np.ndarray) -> Iterator[np.ndarray]:
    """The connected parts of ``mask``, each a mask."""
    count, index = cv2.connectedComponents(mask.astype(np.uint8))
    return (index == part for part in range(1, count))
