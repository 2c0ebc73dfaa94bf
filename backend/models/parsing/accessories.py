"""Glasses, moustache, beard, hat: decided as a whole for a face, from all pixels of their region together.

Rims of glasses are two equal outlines, one around each eye, fitted to a net's probabilities. Labels of frames
hide brows, which their colour shows. A person's photos vote together on glasses, moustache and beard.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from backend.photos import regions as places
from backend.photos.collection import FaceClass
from backend.photos.faces import EYE_OUTER_LEFT, EYE_OUTER_RIGHT, landmark_window
from backend.rendering.color import linear_from_srgb
from backend.rendering.interpolate import sample_exactly

_WIDTHS = (0.68, 0.76, 0.84, 0.92, 1.0, 1.1)  # half a lens's width in eye widths
_HEIGHTS = (0.5, 0.6, 0.7, 0.8, 0.92)  # of its width
_OUTWARDS = (-0.06, 0.03, 0.12)  # of its centre, in eye widths
_DOWN = (-0.08, 0.04, 0.16, 0.28)
_POWERS = (2.0, 2.8, 4.5)  # exponents of the superellipse
_POINTS = 40
_FRACTION_BITS = 4
_CONTROL_SIZES = (0.72, 1.28)  # sizes of the control curves inside and outside of the rim
_BLUR, _HALF_WIDTH = 0.008, 0.014  # heights of the face
_LEAST_CONTRAST = 0.06
"""Least difference of the mean probability on the rims and beside them."""
_LENS_SIZE = 0.84  # of a rim's size: surely inside, even with thick rims


@dataclass(frozen=True)
class Rims:
    """Masks of glasses.

    Attributes
    ----------
    band : (S, S) bool along both rims and the bridge. lenses : (S, S) bool within the rims, beside the band.
    """

    band: np.ndarray
    lenses: np.ndarray


def find_rims(probability: np.ndarray, landmarks: np.ndarray) -> Rims | None:
    """Both rims and the bridge of glasses, fitted to their ``probability`` (S, S).

    landmarks (478, 2 or 3) in its pixels. Both lenses have one shape, scaled by the apparent width of their eye (which
    is narrower on the far side of a turned face), so that half a visible frame determines the other half. None where no
    outline stands out, as for specks or lenses that are dark all over.
    """
    size = landmark_window(landmarks, 1.0).side
    blurred = gaussian_filter(probability.astype(np.float32), max(0.6, _BLUR * size))
    right, left = landmarks[EYE_OUTER_RIGHT, :2], landmarks[EYE_OUTER_LEFT, :2]
    along = (left - right) / max(float(np.linalg.norm(left - right)), 1e-6)  # to the person's left
    down = np.array([-along[1], along[0]])
    outlines = [landmarks[list(part), :2] for part in (places.EYE_RIGHT, places.mirrored(places.EYE_RIGHT))]
    widths = [float(np.ptp(eye @ along)) for eye in outlines]
    lines = [(eye.mean(axis=0), way * wide) for eye, way, wide in zip(outlines, (-along, along), widths, strict=True)]
    unit = max(widths)
    curves = _curves()  # (K, 3, P, 2): rim, inside, outside; outwards in eye widths, down in the nearer eye's
    votes = np.zeros(curves.shape[:2])
    for middle, outwards in lines:
        points = middle + curves[..., :1] * outwards + curves[..., 1:] * (down * unit)
        sampled = sample_exactly(blurred, points)
        votes += sampled.mean(axis=-1) / 2
    score = votes[:, 0] - votes[:, 1:].mean(axis=1)
    best = int(score.argmax())
    if score[best] < _LEAST_CONTRAST:
        return None
    side = probability.shape[0]
    band, lenses = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8)
    thickness = max(1, round(2 * _HALF_WIDTH * size))
    for middle, outwards in lines:
        rim = middle + curves[best, 0, :, :1] * outwards + curves[best, 0, :, 1:] * (down * unit)
        cv2.polylines(band, [_subpixels(rim)], True, 1, thickness, shift=_FRACTION_BITS)
        lens = rim.mean(axis=0) + _LENS_SIZE * (rim - rim.mean(axis=0))
        cv2.fillPoly(lenses, [_subpixels(lens)], 1, shift=_FRACTION_BITS)
    inner = [
        middle + (curves[best, 0, :, 0].min() * outwards) + curves[best, 0, :, 1].mean() * 0.5 * down * unit
        for middle, outwards in lines
    ]
    cv2.polylines(band, [_subpixels(np.stack(inner))], False, 1, 2 * thickness, shift=_FRACTION_BITS)
    return Rims(band.astype(bool), lenses.astype(bool) & ~band.astype(bool))


def _subpixels(points: np.ndarray) -> np.ndarray:
    return np.round((points - 0.5) * (1 << _FRACTION_BITS)).astype(np.int32)


@cache
def _curves() -> np.ndarray:
    """(K, 3, P, 2) all candidate outlines, each with its two control curves."""
    angle = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
    curves = []
    for power, width, height, *offset in product(_POWERS, _WIDTHS, _HEIGHTS, _OUTWARDS, _DOWN):
        cos, sin = (np.sign(x) * np.abs(x) ** (2 / power) for x in (np.cos(angle), np.sin(angle)))
        shape = np.stack([cos * width, sin * width * height], -1)
        curves.append(np.stack([shape * factor + np.array(offset) for factor in (1.0, *_CONTROL_SIZES)]))
    return np.stack(curves)


_AROUND_BROWS = 0.2  # heights of the face
_BROW_DARKNESS, _BROW_HUE = 0.35, 0.35
"""Log units: least darkness of a brow behind a frame against skin; tolerance of its hue."""


def behind_frame(labels: np.ndarray, pixels: np.ndarray, landmarks: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Labels (S, S) in which brows and skin that show beside the parts of a frame are labelled so.

    The label of glasses is several times as thick as a rim, and often covers a brow. frame (S, S) uint8 : 1 on the
    frame, 2 within it, where lenses shine and skin keeps the label. pixels (S, S, 3) uint8 sRGB; landmarks (478, 2 or
    3) in them.
    """
    side = labels.shape[0]
    brows = places.both_sides(landmarks, places.BROW_RIGHT, side)
    around = places.grown(brows, _AROUND_BROWS * landmark_window(landmarks, 1.0).side) & (labels == FaceClass.SKIN)
    beside = (labels == FaceClass.GLASSES) & (frame != 1)
    if not around.any() or not beside.any():
        return labels
    log = np.log(np.maximum(linear_from_srgb(pixels), 1e-3))
    typical = np.median(log[around], axis=0)
    darker = typical.mean() - log.mean(-1)
    hue = typical - typical.mean()
    relative = log - log.mean(-1, keepdims=True)
    share = np.clip(relative @ hue / max(float(hue @ hue), 1e-6), 0.0, 1.0)  # position between grey and the skin's hue
    plain = beside & (np.linalg.norm(relative - share[..., None] * hue, axis=-1) < _BROW_HUE)
    result = np.where(plain & (frame == 0) & (np.abs(darker) < _BROW_DARKNESS), np.uint8(FaceClass.SKIN), labels)
    return np.where(plain & brows & (darker > _BROW_DARKNESS), np.uint8(FaceClass.BROWS), result)


_HEADWEAR, _RATHER_THAN_HAIR = 0.28, 0.4
"""Least share of occluder above the brows, of all and of what is not skin, for a hat; below it such patches are hair or
background. Chosen on 55 press photos with something on the head; bald heads and grey hair have less."""
_HAT_REACH = 0.3  # heights of the face


def has_hat(probabilities: np.ndarray) -> bool:
    """Whether the probabilities (C, P) of the pixels above the brows show a hat."""
    skin, hair, hat = probabilities[[FaceClass.SKIN, FaceClass.HAIR, FaceClass.OCCLUDER]].sum(axis=1)
    return bool(hat > _HEADWEAR * (skin + hair + hat) and hat > _RATHER_THAN_HAIR * (hair + hat))


def over_face(landmarks: np.ndarray, side: int) -> np.ndarray:
    """(side, side) bool: columns of the face, up to ``_HAT_REACH`` heights above it, without others' hats."""
    centres = np.arange(side) + 0.5
    columns = (centres > landmarks[:, 0].min()) & (centres < landmarks[:, 0].max())
    return (centres > landmarks[:, 1].min() - _HAT_REACH * landmark_window(landmarks, 1.0).side)[:, None] & columns


_BIASES = (2.8, 1.7, 1.7)
"""Added to the sum of both nets' log odds of glasses, moustache and beard: with the votes of each person's
other photos 3, 5 and 17 decisions on 834 press photos are wrong (``evaluate parsing --press``); chosen on them."""
_LARGEST_VOTE = (2.0, 4.0, 4.0)
"""Largest log odds that a person's other photos add to those of one photo, for glasses, which come and go, moustache
and beard, which stay."""
_HAT_LIKELIER = 4.0
"""Factor on the odds of a hat above the brows, and divisor of the skin's there, where there is one."""
_ODDS_FACTORS, _LIKELY = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0), 0.6
"""Factors on the odds of a moustache or beard, ascending."""
_MOUSTACHE_REACH = 0.1  # heights of the face: a moustache reaches this far beyond the lips
_WORN_FACTOR = 2.0
_ON_RIMS, _OFF_RIMS, _IN_CLEAR_LENSES, _IN_DARK_LENSES = 2.0, 0.6, 0.1, 1.5
_LEAST_ON_RIMS = 1.0
"""Least odds of glasses on the best-fitting outline, because a wire is too thin to be visible all along."""
_CLEAR_LENS = 0.4  # of the cheeks' linear brightness: darker lenses are tinted and count as glasses everywhere


class AccessoryScores(NamedTuple):
    """Log odds that a face wears glasses, a moustache, a beard; worn above 0, nan where the crop lacks the place."""

    glasses: float
    moustache: float
    beard: float

    @property
    def decisions(self) -> tuple[bool, ...]:
        """Whether each is worn."""
        return tuple(score > 0 for score in self)


def score_accessories(probabilities: np.ndarray, landmarks: np.ndarray, second: np.ndarray) -> AccessoryScores:
    """Score a face with landmarks (478, 2 or 3) in the pixels of two nets' class probabilities (C, S, S).

    Pixel by pixel, a net finds only half a wire frame, or false specks of one in the bags under the eyes, or a
    moustache in the shadow of a nose. So each accessory is scored by its mean probability over its region.
    """
    side = probabilities.shape[1]
    _, lip, chin = places.mouth_parts(landmarks, side)
    regions = (
        (FaceClass.GLASSES, places.near_eyes(landmarks, side)),
        (FaceClass.FACIAL_HAIR, lip),
        (FaceClass.FACIAL_HAIR, chin),
    )
    return AccessoryScores(
        *(
            bias + sum(_mean_log_odds(net[kind][region]) for net in (probabilities, second))
            for bias, (kind, region) in zip(_BIASES, regions, strict=True)
        )
    )


def vote_over_photos(scores: Sequence[AccessoryScores]) -> tuple[AccessoryScores, ...]:
    """Each photo's scores with the votes of the person's other photos added.

    A vote is the hyperbolic tangent of half the log odds: probability for minus probability against. The mean vote
    counts at most ``_LARGEST_VOTE``, so that a confident photo is not overruled, because people shave.
    """
    known = np.array(scores).reshape(-1, 3)
    votes = np.tanh(known / 2)
    others = np.nansum(votes, axis=0) - np.nan_to_num(votes)
    count = np.maximum((~np.isnan(votes)).sum(axis=0) - ~np.isnan(votes), 1)
    return tuple(AccessoryScores(*row) for row in (known + np.array(_LARGEST_VOTE) * others / count).tolist())


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
    lips, lip, chin = places.mouth_parts(landmarks, side)
    glasses = probabilities[FaceClass.GLASSES]
    if not np.isnan(scores.glasses):
        odds[FaceClass.GLASSES] = _odds_of_glasses(glasses, landmarks, pixels) if scores.glasses > 0 else 0.0
    hair = odds[FaceClass.FACIAL_HAIR]
    moustache, beard = scores.moustache > 0, scores.beard > 0
    if moustache and not beard:
        chin &= ~places.grown(lip | lips, _MOUSTACHE_REACH * size)
    for where, worn in ((lip, moustache), (chin, beard)):
        if where.any():
            there = hair[where]
            hair[where] *= least_factor(there, 1 - there, _ODDS_FACTORS, _LIKELY) if worn else 0.0
    above = places.above_brows(landmarks, side)
    on_top = odds[:, above & over_face(landmarks, side)]
    if has_hat(on_top):
        odds[FaceClass.OCCLUDER][above] *= _HAT_LIKELIER
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
    cheeks = places.both_sides(landmarks, places.CHEEK_RIGHT, side)
    eyes = places.both_sides(landmarks, places.EYE_RIGHT, side)
    around_eyes = lenses & ~places.grown(eyes, 0.01 * landmark_window(landmarks, 1.0).side)
    if not cheeks.any() or not around_eyes.any():
        return False
    return float(np.median(brightness[around_eyes])) > _CLEAR_LENS * float(np.median(brightness[cheeks]))
