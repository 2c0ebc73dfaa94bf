"""Glasses, moustache, beard, hat: decided as a whole for a face, from all pixels of their place together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from backend.models.parsing.facial_hair import FacialHairScores, facial_hair_scores
from backend.models.parsing.glasses import glasses_score
from backend.models.parsing.headwear import Headwear, hat_score, over_face
from backend.models.parsing.net_evidence import NetEvidence
from backend.models.parsing.rims import find_rims
from backend.photos.collection import FaceClass
from backend.photos.faces.landmarks import landmark_window
from backend.photos.regions.masks import grown
from backend.photos.regions.polygons import (
    CHEEK_RIGHT,
    above_brows,
    eyes_mask,
    mirrored,
    mouth_parts,
    near_eyes,
    polygon_mask,
)

_ON_GLASSES, _ON_LIP, _ON_CHIN, _NET_ON_CHIN = 0.4, 0.4, 0.3, 0.5
"""Weights of the log odds of edges for glasses, lip and chin, and of the net's features for the chin, against those of
the net's mean probability; for glasses its features have weight 1."""
_GLASSES_BIAS, _LIP_BIAS, _CHIN_BIAS = 3.3, 0.3, 0.45
"""Bias of each: on 829 press photos, each of another person, 54 decisions are wrong with it instead of 72. Weights of
0.3 to 0.8 for the lip and 0.2 to 0.5 for the chin do as well."""
_WITHOUT_FEATURES = NetEvidence(-2.2, 0.0)
"""Used where there are no classifiers for the net's features."""
_SECOND_ON_GLASSES, _SECOND_ON_LIP, _SECOND_ON_CHIN = 1.0, 1.5, 0.5
"""Weight of the log odds of the second net's mean probability."""
_SECOND_BIAS = (1.8, 0.9, 1.35)
"""Further bias for glasses, lip and chin where the second net is used. Of the decisions on 834 press photos
(``evaluate parsing --press``) 3 on glasses, 20 on moustaches and 19 on beards are wrong then; chosen on them."""
_DOUBTFUL = 0.2
"""Mean probability of hair on the chin from which, under a moustache, some of it is kept: a goatee, or long ends."""
_HAT_LIKELIER = 4.0
"""Factor on the odds of a hat above the brows, and divisor of the skin's there, where there is one."""
_MAYBE_HAIR, _NO_HAT_DIVISOR = 0.1, 10.0
"""Without a hat: probability of hair from which an occluder above the face is not a hand, and divisor of its odds."""
_ODDS_FACTORS, _LIKELY = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0), 0.6
"""Factors on the odds of a moustache or beard, or of a hat that another photo made certain (``vote_on_hats``),
ascending; grey beards that edges found need the last two."""
_CHEEK_HAIR_FACTOR = 0.25  # on the odds of hair on the cheeks where there is neither a moustache nor a beard
_MOUSTACHE_REACH = 0.1  # heights of the face: a moustache reaches this far beyond the lips
_WORN_FACTOR = 2.0
_ON_RIMS, _OFF_RIMS, _IN_CLEAR_LENSES, _IN_DARK_LENSES = 2.0, 0.6, 0.1, 1.5
_LEAST_ON_RIMS = 1.0
"""Least odds of glasses on the best-fitting outline, because a wire is too thin to be visible all along."""
_CLEAR_LENS = 0.4  # of the cheeks' linear brightness: darker lenses are tinted and count as glasses everywhere


@dataclass(frozen=True)
class EdgeEvidence:
    """Log odds from edges alone."""

    glasses: float
    facial_hair: FacialHairScores


def look_at_edges(pixels: np.ndarray, landmarks: np.ndarray) -> EdgeEvidence:
    """Score the edges of the face with landmarks (478, 3) in (H, W, 3) uint8 sRGB pixels."""
    return EdgeEvidence(glasses_score(pixels, landmarks), facial_hair_scores(pixels, landmarks))


@dataclass(frozen=True)
class AccessoryScores:
    """Log odds that a face wears glasses, a moustache, a beard; worn above 0, nan where the crop lacks the place.
    ``headwear`` : the same of a hat, with its colour; None: decided from the class probabilities alone."""

    glasses: float
    moustache: float
    beard: float
    headwear: Headwear | None = None


def score_accessories(
    probabilities: np.ndarray,
    landmarks: np.ndarray,
    edges: EdgeEvidence,
    net: NetEvidence | None = None,
    second: np.ndarray | None = None,
) -> AccessoryScores:
    """Score a face with landmarks (478, 2 or 3) in the pixels of class probabilities (C, S, S).

    Pixel by pixel, a net finds only half a wire frame, or false specks of one in the bags under the eyes, or a
    moustache in the shadow of a nose. So the score combines the mean probability over the accessory's place, ``edges``,
    the features of ``net`` (None without classifiers for it), and a ``second`` net's probabilities (C, S, S).
    """
    side = probabilities.shape[1]
    _, lip, chin = mouth_parts(landmarks, side)
    by_net = _WITHOUT_FEATURES if net is None else net
    hair = probabilities[FaceClass.FACIAL_HAIR]
    around_eyes = near_eyes(landmarks, side)
    also_glasses, also_lip, also_chin = 0.0, 0.0, 0.0
    if second is not None:
        theirs = second[FaceClass.FACIAL_HAIR]
        also_glasses = _SECOND_ON_GLASSES * _mean_log_odds(second[FaceClass.GLASSES][around_eyes]) + _SECOND_BIAS[0]
        also_lip = _SECOND_ON_LIP * _mean_log_odds(theirs[lip]) + _SECOND_BIAS[1]
        also_chin = _SECOND_ON_CHIN * _mean_log_odds(theirs[chin]) + _SECOND_BIAS[2]
    return AccessoryScores(
        _mean_log_odds(probabilities[FaceClass.GLASSES][around_eyes])
        + _ON_GLASSES * edges.glasses
        + by_net.glasses
        + _GLASSES_BIAS
        + also_glasses,
        _mean_log_odds(hair[lip]) + _ON_LIP * edges.facial_hair.lip + _LIP_BIAS + also_lip,
        _mean_log_odds(hair[chin])
        + _ON_CHIN * edges.facial_hair.chin
        + _NET_ON_CHIN * by_net.chin
        + _CHIN_BIAS
        + also_chin,
    )


def resolve_accessories(
    probabilities: np.ndarray, landmarks: np.ndarray, pixels: np.ndarray, scores: AccessoryScores
) -> np.ndarray:
    """(C, S, S) float32 class probabilities, changed to agree with the decisions; landmarks (478, 2 or 3) in pixels.

    Odds of glasses, moustache and beard are raised where they are worn, and zero or low elsewhere. Those of glasses are
    highest on the best-fitting rims, and low within the rims where ``pixels`` (S, S, 3) uint8 sRGB show clear lenses.
    Hair on the cheeks stays beside a moustache or a beard. A hat gets higher odds above the brows.
    """
    side, size = probabilities.shape[1], landmark_window(landmarks, 1.0).side
    odds = probabilities.copy()
    lips, lip, chin = mouth_parts(landmarks, side)
    seen = probabilities[FaceClass.GLASSES]
    if not np.isnan(scores.glasses):
        odds[FaceClass.GLASSES] = _odds_of_glasses(seen, landmarks, pixels) if scores.glasses > 0 else 0.0
    hair = odds[FaceClass.FACIAL_HAIR]
    moustache, beard = scores.moustache > 0, scores.beard > 0
    doubtful = moustache and not beard and bool(chin.any()) and float(hair[chin].mean()) > _DOUBTFUL
    if moustache and not beard and not doubtful:
        chin &= ~grown(lip | lips, _MOUSTACHE_REACH * size)
    for where, worn in ((lip, moustache), (chin, beard)):
        if where.any():
            there = hair[where]
            hair[where] *= least_factor(there, 1 - there, _ODDS_FACTORS, _LIKELY) if worn else _WORN_FACTOR * doubtful
    if not moustache and not beard:
        hair *= _CHEEK_HAIR_FACTOR
    above = above_brows(landmarks, side)
    on_top = odds[:, above & over_face(landmarks, side)]
    by_itself = hat_score(on_top) > 0
    if by_itself or (scores.headwear is not None and scores.headwear.score > 0):
        no_skin = on_top[:, on_top[FaceClass.SKIN] < 0.5]
        more = least_factor(no_skin[FaceClass.OCCLUDER], no_skin[FaceClass.HAIR], _ODDS_FACTORS, _LIKELY)
        odds[FaceClass.OCCLUDER][above] *= _HAT_LIKELIER if by_itself else max(_HAT_LIKELIER, more)
        odds[FaceClass.SKIN][above] /= _HAT_LIKELIER
    else:
        odds[FaceClass.OCCLUDER][above & (odds[FaceClass.HAIR] > _MAYBE_HAIR)] /= _NO_HAT_DIVISOR
    return odds / np.maximum(odds.sum(axis=0), 1e-6)


def _mean_log_odds(probability: np.ndarray) -> float:
    """Log odds of the mean of probabilities (P,); nan of none."""
    if not len(probability):
        return float("nan")
    mean = float(np.clip(probability.mean(), 1e-3, 1 - 1e-3))
    return float(np.log(mean / (1 - mean)))


def least_factor(own: np.ndarray, rest: np.ndarray, factors: Sequence[float], enough: float) -> float:
    """The first of ``factors``, in ascending order, with which the mean probability over an accessory's place exceeds
    ``enough``; else the last.

    own, rest : (P,) probabilities of the accessory and of all else there.
    """
    for factor in factors:
        if (factor * own / np.maximum(factor * own + rest, 1e-6)).mean() > enough:
            return factor
    return factors[-1]


def _odds_of_glasses(probability: np.ndarray, landmarks: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(S, S) odds of worn glasses from their ``probability`` (S, S)."""
    rims = find_rims(probability, landmarks)
    if rims is None:
        return _WORN_FACTOR * probability
    odds = np.where(rims.band, np.maximum(_ON_RIMS * probability, _LEAST_ON_RIMS), _OFF_RIMS * probability)
    clear = _lenses_are_clear(pixels, landmarks, rims.lenses)
    odds[rims.lenses] = (_IN_CLEAR_LENSES if clear else _IN_DARK_LENSES) * probability[rims.lenses]
    return odds


def _lenses_are_clear(pixels: np.ndarray, landmarks: np.ndarray, lenses: np.ndarray) -> bool:
    """Whether skin shows through ``lenses`` (S, S) bool, by their brightness relative to the cheeks."""
    side = pixels.shape[0]
    brightness = (cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255) ** 2.2
    cheeks = polygon_mask(landmarks, CHEEK_RIGHT, side) | polygon_mask(landmarks, mirrored(CHEEK_RIGHT), side)
    around_eyes = lenses & ~grown(eyes_mask(landmarks, side), 0.01 * landmark_window(landmarks, 1.0).side)
    if not cheeks.any() or not around_eyes.any():
        return False
    return float(np.median(brightness[around_eyes])) > _CLEAR_LENS * float(np.median(brightness[cheeks]))
