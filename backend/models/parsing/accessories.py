"""Glasses, moustache, beard, hat: decided as a whole for a face, from all pixels of their place together.

Glasses and beards from the parsing net's features: linear classifiers on a lattice of the face.

Detection of a moustache and a beard by edges, tones and colours around the mouth.

Hats: how likely a photo shows one, and whether another photo of the person shows the same one for certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from backend.models.parsing.glasses import edge_strip, eye_line_angle, find_rims, glasses_score, load_classifier
from backend.photos.collection import FaceClass
from backend.photos.faces import CHIN, EYE_OUTER_LEFT, EYE_OUTER_RIGHT, face_square, landmark_window
from backend.photos.regions import (
    CHEEK_RIGHT,
    above_brows,
    eyes_mask,
    grown,
    mirrored,
    mouth_parts,
    near_eyes,
    polygon_mask,
)
from backend.rendering.color import linear_from_srgb
from backend.rendering.interpolate import sample_exactly
from backend.system.assets import ASSETS
from backend.system.files import read_table

_NOSE_BASE = 2
_PIXELS_PER_FEATURE = 4.0


@dataclass(frozen=True)
class Lattice:
    """Points on the face, along the line through the eyes and across it, in heights of the face."""

    across: tuple[float, float, int]
    down: tuple[float, float, int]

    def points(self, landmarks: np.ndarray, middle: np.ndarray) -> np.ndarray:
        """(rows, columns, 2) around ``middle`` (2,), for landmarks (478, 2 or 3) in the same pixels."""
        angle, size = eye_line_angle(landmarks), landmark_window(landmarks, 1.0).side
        axes = size * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        columns, rows = np.meshgrid(np.linspace(*self.across), np.linspace(*self.down))
        return middle + np.stack([columns, rows], axis=-1) @ axes


_EYES = Lattice((-0.44, 0.44, 11), (-0.1, 0.2, 5))
_MOUTH = Lattice((-0.32, 0.32, 9), (-0.2, 0.24, 7))


@dataclass(frozen=True)
class NetEvidence:
    """Log odds of glasses and of hair on the chin (a beard)."""

    glasses: float
    chin: float


@cache
def evidence_of_net() -> str:
    """Version of the parsing net that the classifiers belong to."""
    data = read_table(ASSETS / "parsing" / "glasses_by_net.npz")
    return str(data["net"])


def net_evidence(features: np.ndarray, mirrored: np.ndarray, landmarks: np.ndarray) -> NetEvidence:
    """Evidence of the face with ``landmarks`` (478, 2 or 3) in pixels of the face's square.

    features (C, H, W) : the net's for that square, at a quarter of its size. mirrored (C, H, W) : for its mirror image,
    mirrored back. The result is the mean of both; classifiers by ``trainer.methods.parsing.net_features``.
    """
    eyes = [eye_features(features, landmarks), eye_features(mirrored, landmarks, mirror=True)]
    mouths = [mouth_features(features, landmarks), mouth_features(mirrored, landmarks, mirror=True)]
    glasses, beard = load_classifier("glasses_by_net"), load_classifier("beard_by_net")
    return NetEvidence(
        sum(glasses.log_odds(row) for row in eyes) / 2,
        sum(beard.log_odds(row) for row in mouths) / 2,
    )


def eye_features(features: np.ndarray, landmarks: np.ndarray, mirror: bool = False) -> np.ndarray:
    """(55 C,) float32 samples of ``features`` (C, H, W) around the eyes; with ``mirror``, columns are reversed."""
    middle = (landmarks[EYE_OUTER_RIGHT, :2] + landmarks[EYE_OUTER_LEFT, :2]) / 2
    return _sampled(features, _EYES.points(landmarks, middle), mirror)


def mouth_features(features: np.ndarray, landmarks: np.ndarray, mirror: bool = False) -> np.ndarray:
    """(63 C,) float32 samples, the same between nose and chin."""
    return _sampled(features, _MOUTH.points(landmarks, (landmarks[_NOSE_BASE, :2] + landmarks[CHIN, :2]) / 2), mirror)


def _sampled(features: np.ndarray, points: np.ndarray, mirror: bool) -> np.ndarray:
    points = (points[:, ::-1] if mirror else points).reshape(-1, 2)
    smooth = [cv2.blur(channel, (3, 3), borderType=cv2.BORDER_CONSTANT) for channel in features]
    return sample_exactly(np.stack(smooth, axis=-1), points / _PIXELS_PER_FEATURE).astype(np.float32).ravel()


_SQUARE_PIXELS = 256  # pixels of the face's square, so that blurs have the same width on every face
_BEARD_NOSE_BASE, _UPPER_LIP, _LOWER_LIP = 2, 13, 17
_LIP_STRIP, _CHIN_STRIP = 0.5, 0.6  # heights of the face; narrow, so that a thin moustache has its own cells
_TONE_WEIGHT = 0.35
"""Weight of tones against edges. With 1, the penalty on weights would hardly act on tones with their larger spread."""
_NOSE_SIDE = (186, 92, 165, 98, 2, 327, 391, 322, 410)
_LIP_SIDE = (61, 185, 40, 37, 0, 267, 270, 409, 291)
_FACIAL_HAIR_ON_LIP = (0.2, 0.45, 0.7, 0.9)  # from nose to lip
_UNDER_LIP, _JAW = (84, 17, 314), (176, 152, 400)
_FACIAL_HAIR_ON_CHIN = (0.15, 0.4, 0.7)
_COLOUR_WEIGHT = 4.0
"""Weight of colours against brightness: skin and hair differ by about 0.2 in log R/G, but by 1 in log brightness."""
_BLUR = 0.01  # heights of the face
_DARK_OFFSET = 0.01  # linear; below it colours are noise


@dataclass(frozen=True)
class FacialHairScores:
    """Log odds of hair on the upper lip (a moustache) and on the chin (a beard)."""

    lip: float
    chin: float


@dataclass(frozen=True)
class FacialHairClassifier:
    """Two layers: log odds ``relu((x - mean) @ inner + inner_bias) @ outer + outer_bias`` of features x (F,).

    Attributes
    ----------
    mean : (F,). inner : (F, H); inner_bias : (H,). outer : (H, 2), to hair on lip and chin; outer_bias : (2,).
    """

    mean: np.ndarray
    inner: np.ndarray
    inner_bias: np.ndarray
    outer: np.ndarray
    outer_bias: np.ndarray

    def scores(self, features: np.ndarray) -> FacialHairScores:
        """Scores of one row of features (F,)."""
        hidden = np.maximum((features - self.mean) @ self.inner + self.inner_bias, 0)
        lip, chin = hidden @ self.outer + self.outer_bias
        return FacialHairScores(float(lip), float(chin))


@cache
def facial_hair_classifier() -> FacialHairClassifier:
    """The classifier that ``trainer.methods.parsing.facial_hair`` trained on hand-labelled portraits."""
    data = read_table(ASSETS / "parsing" / "facial_hair_classifier.npz")
    return FacialHairClassifier(**{name: data[name].astype(np.float32) for name in data})


def facial_hair_scores(pixels: np.ndarray, landmarks: np.ndarray) -> FacialHairScores:
    """Scores of the face with landmarks (478, 3) in (H, W, 3) sRGB pixels."""
    return facial_hair_classifier().scores(lower_face_features(pixels, landmarks))


def lower_face_features(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(2484,) float32: edges and tones of a strip over the upper lip and of one below the mouth, then colours."""
    square = face_square(landmarks)
    near = square.cut(pixels, _SQUARE_PIXELS)
    places = square.from_picture(landmarks[:, :2], _SQUARE_PIXELS)
    angle, size = eye_line_angle(places), landmark_window(places, 1.0).side
    lip = edge_strip(near, (places[_BEARD_NOSE_BASE] + places[_UPPER_LIP]) / 2, _LIP_STRIP * size, angle)
    chin = edge_strip(near, (places[_LOWER_LIP] + places[CHIN]) / 2, _CHIN_STRIP * size, angle)
    strips = [part for strip in (lip, chin) for part in (strip.edges, _TONE_WEIGHT * strip.tones)]
    return np.concatenate([*strips, _colours(near, places, size)]).astype(np.float32)


def _colours(pixels: np.ndarray, places: np.ndarray, size: float) -> np.ndarray:
    """(180,) log R/G and log G/B, which shadows do not change, log brightness and its absolute value, at 36 points over
    the upper lip and 9 below the lower, relative to the cheeks. ``places`` (478, 2) and ``size`` in pixels.

    Pale and grey moustaches are as bright as skin, but less red.
    """
    linear = (pixels.astype(np.float32) / 255) ** 2.2 + _DARK_OFFSET
    red, green, blue = np.moveaxis(np.log(cv2.GaussianBlur(linear, (0, 0), _BLUR * size)), -1, 0)
    maps = np.stack([red - green, green - blue, 0.3 * red + 0.6 * green + 0.1 * blue])
    cheeks = polygon_mask(places, CHEEK_RIGHT, _SQUARE_PIXELS) | polygon_mask(
        places, mirrored(CHEEK_RIGHT), _SQUARE_PIXELS
    )
    usual = np.median(maps[:, cheeks] if cheeks.any() else maps.reshape(3, -1), axis=1)
    points = [
        places[list(first)] * (1 - part) + places[list(last)] * part
        for first, last, parts in (
            (_NOSE_SIDE, _LIP_SIDE, _FACIAL_HAIR_ON_LIP),
            (_UNDER_LIP, _JAW, _FACIAL_HAIR_ON_CHIN),
        )
        for part in parts
    ]
    found = sample_exactly(np.moveaxis(maps, 0, -1), np.concatenate(points)) - usual
    weights = (_COLOUR_WEIGHT, _COLOUR_WEIGHT, 1.0)
    return np.concatenate([found * weights, np.abs(found[:, 2:])], axis=1).ravel()


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
_HAT_LIKELIER = 4.0
"""Factor on the odds of a hat above the brows, and divisor of the skin's there, where there is one."""
_ODDS_FACTORS, _LIKELY = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0), 0.6
"""Factors on the odds of a moustache or beard, or of a hat that another photo made certain (``vote_on_hats``),
ascending; grey beards that edges found need the last two."""
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


def edge_scores(pixels: np.ndarray, landmarks: np.ndarray) -> EdgeEvidence:
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
    A hat gets higher odds above the brows.
    """
    side, size = probabilities.shape[1], landmark_window(landmarks, 1.0).side
    odds = probabilities.copy()
    lips, lip, chin = mouth_parts(landmarks, side)
    seen = probabilities[FaceClass.GLASSES]
    if not np.isnan(scores.glasses):
        odds[FaceClass.GLASSES] = _odds_of_glasses(seen, landmarks, pixels) if scores.glasses > 0 else 0.0
    hair = odds[FaceClass.FACIAL_HAIR]
    moustache, beard = scores.moustache > 0, scores.beard > 0
    if moustache and not beard:
        chin &= ~grown(lip | lips, _MOUSTACHE_REACH * size)
    for where, worn in ((lip, moustache), (chin, beard)):
        if where.any():
            there = hair[where]
            hair[where] *= least_factor(there, 1 - there, _ODDS_FACTORS, _LIKELY) if worn else 0.0
    above = above_brows(landmarks, side)
    on_top = odds[:, above & over_face(landmarks, side)]
    by_itself = hat_score(on_top) > 0
    if by_itself or (scores.headwear is not None and scores.headwear.score > 0):
        no_skin = on_top[:, on_top[FaceClass.SKIN] < 0.5]
        more = least_factor(no_skin[FaceClass.OCCLUDER], no_skin[FaceClass.HAIR], _ODDS_FACTORS, _LIKELY)
        odds[FaceClass.OCCLUDER][above] *= _HAT_LIKELIER if by_itself else max(_HAT_LIKELIER, more)
        odds[FaceClass.SKIN][above] /= _HAT_LIKELIER
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
