"""Parsing of a head crop without a trained net: landmarks, person segmentation, and a skin colour model per photo."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.models.parsing.glasses import glasses_mask, wears_glasses
from backend.models.parsing.skin_model import (
    SHADING_EASE,
    SkinModel,
    learn_skin,
    local_contrast,
    skin_features,
    without_colour,
)
from backend.photos.collection import FaceClass
from backend.photos.faces.landmarks import CHIN, FOREHEAD_TOP, landmark_window
from backend.photos.regions.hands import hand_mask
from backend.photos.regions.masks import connected, grown
from backend.photos.regions.person import person_probability
from backend.photos.regions.polygons import (
    BROW_RIGHT,
    EYE_RIGHT,
    FACE_OVAL,
    LIPS_INNER,
    LIPS_OUTER,
    MOUTH_SURROUNDINGS,
    NOSE,
    UPPER_LIP_SKIN,
    face_normals,
    mirrored,
    polygon_mask,
    skin_seeds,
)

_SKIN_LIMIT = 4.0  # standard deviations
_SHADOW_EASE = 2.5  # further divisor of darkness, compared with SHADING_EASE
_HAIR_COMPONENTS = 4
_HAIR_TO_SKIN = 1.0  # least distance of a hair colour from the skin's, in units of _SKIN_LIMIT
_PART_REACH = 0.03  # of the face's height: reach of a brow or an eye around its landmarks
_BEARD_SHARE = 0.35  # of the chin
_MOUSTACHE_TO_BEARD, _HANGING_TO_BEARD = 1.5, 1.5  # factors for a moustache alone, and for a beard under the chin
_DARK_PARTS = (BROW_RIGHT, mirrored(BROW_RIGHT), EYE_RIGHT, mirrored(EYE_RIGHT))
_SPECK = 0.0012  # of the face's area: smaller islands take the surrounding label


@dataclass(frozen=True)
class FaceFrame:
    """Upright coordinates of a face in a crop: u to the picture's right, v down, in units of the face's height.

    Attributes
    ----------
    u, v : (S, S) float64 per pixel; (0, 0) is the middle of the landmarks' box.
    size : the face's height in pixels.
    """

    u: np.ndarray
    v: np.ndarray
    size: float


def label_by_colour(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(S, S) uint8 of ``FaceClass`` for a head crop (S, S, 3) uint8 sRGB with landmarks (478, 3) in its pixels."""
    side = pixels.shape[0]
    frame = _face_frame(landmarks, side)
    oval = polygon_mask(landmarks, FACE_OVAL, side)
    person = person_probability(pixels) > 0.5
    features = skin_features(cv2.GaussianBlur(pixels, (0, 0), 0.8))
    monochrome = without_colour(features[oval])
    normals = face_normals(landmarks, side)
    skin = learn_skin(features, normals, skin_seeds(landmarks, side), oval, monochrome)
    residual = skin.residual(features, normals)
    distance = _skin_distance(residual)
    contrast = local_contrast(features, 0.008 * frame.size)
    hands = hand_mask(pixels, oval)
    around = person & ~hands & ~grown(oval, 0.02 * frame.size)
    hair_like = _hair_evidence(features, skin, distance, around, frame)

    labels = np.full((side, side), FaceClass.BACKGROUND, np.uint8)
    skin_like = (distance < 1.2 * _SKIN_LIMIT) & (hair_like < 1.0) & (contrast < 0.3)
    _label_around(labels, oval, person, skin_like, hair_like, frame, landmarks)
    _label_oval(labels, oval, distance, residual, contrast, hair_like, frame, landmarks)
    _label_parts(labels, distance, landmarks, frame)
    if wears_glasses(pixels, landmarks, distance, frame.size):
        labels[glasses_mask(landmarks, distance, contrast, frame.size)] = FaceClass.GLASSES
    labels[hands] = FaceClass.OCCLUDER
    return labels


def _face_frame(landmarks: np.ndarray, side: int) -> FaceFrame:
    window = landmark_window(landmarks, 1.0)
    rows, columns = np.mgrid[:side, :side] + 0.5
    x, y = columns - window.centre[0], rows - window.centre[1]
    cos, sin = np.cos(window.angle), np.sin(window.angle)
    return FaceFrame((x * cos + y * sin) / window.side, (y * cos - x * sin) / window.side, window.side)


def _skin_distance(residual: np.ndarray) -> np.ndarray:
    """(S, S) standard deviations from the skin's colour; brightness has less weight than colour, darkness least."""
    level = residual[..., 0] / np.where(residual[..., 0] < 0, _SHADOW_EASE, SHADING_EASE)
    total = np.sqrt(level**2 + residual[..., 1] ** 2 + residual[..., 2] ** 2)
    return cv2.GaussianBlur(total.astype(np.float32), (0, 0), 0.7)


def _hair_evidence(
    features: np.ndarray, skin: SkinModel, distance: np.ndarray, around: np.ndarray, frame: FaceFrame
) -> np.ndarray:
    """(S, S) log likelihood ratio of hair to skin, from the colours found around the upper face; 0 without any."""
    seeds = around & (distance > 0.8 * _SKIN_LIMIT) & (frame.v < 0.1) & (np.hypot(frame.u, frame.v) < 1.0)
    if seeds.sum() < 0.02 * frame.size**2:
        return np.zeros(distance.shape, np.float32)
    step = max(1, int(seeds.sum()) // 4000)
    samples, strange = features[seeds][::step].astype(np.float32), distance[seeds][::step]
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 1e-3)
    cv2.setRNGSeed(0)
    _, member, centres = cv2.kmeans(samples, _HAIR_COMPONENTS, None, criteria, 1, cv2.KMEANS_PP_CENTERS)
    best = np.full(distance.shape, -np.inf, np.float32)
    for index, centre in enumerate(centres):
        own = samples[member[:, 0] == index]
        if len(own) < 10 or np.median(strange[member[:, 0] == index]) < _HAIR_TO_SKIN * _SKIN_LIMIT:
            continue  # hands, or a bald head
        spread = np.maximum(own.std(axis=0), [0.15, 0.04, 0.05])
        squared = (((features - centre) / spread) ** 2).sum(axis=-1)
        best = np.maximum(best, np.log(len(own) / len(samples)) - 0.5 * squared - np.log(spread).sum())
    if not np.isfinite(best).any():
        return np.zeros(distance.shape, np.float32)
    like_skin = -0.5 * distance.astype(np.float64) ** 2 - np.log(skin.spread * [_SHADOW_EASE, 1, 1]).sum()
    return np.clip(best - like_skin, -20, 20).astype(np.float32)


def _label_around(
    labels: np.ndarray,
    oval: np.ndarray,
    person: np.ndarray,
    skin_like: np.ndarray,
    hair_like: np.ndarray,
    frame: FaceFrame,
    landmarks: np.ndarray,
) -> None:
    """Write hair, ears, neck and forehead outside the landmarks' oval into ``labels``."""
    chin, top = _place(frame, landmarks[CHIN]), _place(frame, landmarks[FOREHEAD_TOP])
    low, high = frame.u[oval].min(), frame.u[oval].max()
    outside = person & ~oval
    near = grown(oval, 0.05 * frame.size)
    hair = outside & ~skin_like & ((frame.v < chin[1] - 0.25) | (hair_like > 0.0)) & (frame.v < chin[1] + 0.35)
    hair &= (frame.u > low - 0.7) & (frame.u < high + 0.7)
    hair = connected(hair, grown(oval, 0.25 * frame.size) & (frame.v < 0.1))
    for beside in ((frame.u > low - 0.3) & (frame.u < low - 0.12), (frame.u < high + 0.3) & (frame.u > high + 0.12)):
        if hair[beside & (np.abs(frame.v) < 0.15)].mean() < 0.3:  # short hair: none beside the lower face
            hair &= ~((frame.v > 0.15) & (np.sign(frame.u) == np.sign(frame.u[beside].mean())))
    labels[hair] = FaceClass.HAIR
    ears = outside & skin_like & (frame.u > low - 0.2) & (frame.u < high + 0.2) & (frame.v > -0.2) & (frame.v < 0.2)
    ears = _large(connected(ears, near), 0.002 * frame.size**2)
    labels[_small(ears, 0.05 * frame.size**2)] = FaceClass.EARS
    neck = outside & skin_like & (frame.v > chin[1] - 0.25) & (frame.v < chin[1] + 0.6)
    neck &= (frame.u > low - 0.1) & (frame.u < high + 0.1) & (labels != FaceClass.EARS)
    labels[connected(neck, near)] = FaceClass.NECK
    forehead = outside & skin_like & (frame.v < -0.22) & (frame.v > top[1] - 0.3)
    forehead &= (frame.u > low) & (frame.u < high)
    labels[connected(forehead, grown(oval, 0.03 * frame.size))] = FaceClass.SKIN


def _label_oval(
    labels: np.ndarray,
    oval: np.ndarray,
    distance: np.ndarray,
    residual: np.ndarray,
    contrast: np.ndarray,
    hair_like: np.ndarray,
    frame: FaceFrame,
    landmarks: np.ndarray,
) -> None:
    """Write skin, hair, beard and occluders inside the landmarks' oval into ``labels``."""
    side = labels.shape[0]
    lower = polygon_mask(landmarks, MOUTH_SURROUNDINGS, side) & ~polygon_mask(landmarks, LIPS_OUTER, side)
    features = np.logical_or.reduce(
        [grown(polygon_mask(landmarks, NOSE, side), 0.02 * frame.size)]
        + [grown(polygon_mask(landmarks, part, side), _PART_REACH * frame.size) for part in _DARK_PARTS]
    )
    edge = cv2.distanceTransform(oval.astype(np.uint8), cv2.DIST_L2, 5) / frame.size
    shine = (residual[..., 0] > 0) & (contrast < 0.2)
    hair_prior = 5.0 * np.exp(-edge / 0.05) - 3.0
    other = oval & (distance > _SKIN_LIMIT) & ~features
    hair = (
        oval
        & ~lower
        & ~features
        & ~shine
        & ((hair_like + hair_prior > 0) & ((distance > 2.0) | (contrast > 0.3)) | other)
    )
    hair = connected(hair, (labels == FaceClass.HAIR) | ((edge < 0.03) & (frame.v < 0.1) & oval))
    hair = grown(_large(hair, _SPECK * frame.size**2), 0.008 * frame.size) & oval & ~features
    greyer = residual[..., 1] < -1.0
    whiskers = ((distance > 0.7 * _SKIN_LIMIT) & (greyer | (contrast > 0.25))) | (contrast > 0.4)
    moustache = polygon_mask(landmarks, UPPER_LIP_SKIN, side)
    beard = np.zeros_like(oval)
    chin = lower & ~moustache
    bearded = (whiskers & chin).sum() > _BEARD_SHARE * chin.sum()
    if bearded:
        beard |= whiskers & chin
    if (whiskers & moustache).sum() > (1.0 if bearded else _MOUSTACHE_TO_BEARD) * _BEARD_SHARE * moustache.sum():
        beard |= whiskers & moustache
    labels[oval] = FaceClass.SKIN
    strange = other & ~hair & ~lower & (distance > 1.4 * _SKIN_LIMIT)
    labels[_large(strange, 0.006 * frame.size**2)] = FaceClass.OCCLUDER
    labels[lower & (distance > 1.5 * _SKIN_LIMIT)] = FaceClass.OCCLUDER
    labels[grown(_large(beard, 0.003 * frame.size**2), 0.01 * frame.size) & lower] = FaceClass.FACIAL_HAIR
    if (whiskers & chin).sum() > _HANGING_TO_BEARD * _BEARD_SHARE * chin.sum():
        below = (frame.v > _place(frame, landmarks[LIPS_OUTER[0]])[1]) & (np.abs(frame.u) < 0.4)
        hanging = below & (labels == FaceClass.HAIR) & ~oval & grown(oval, 0.2 * frame.size)
        labels[connected(hanging, grown(labels == FaceClass.FACIAL_HAIR, 3))] = FaceClass.FACIAL_HAIR
    labels[hair & (labels != FaceClass.FACIAL_HAIR)] = FaceClass.HAIR


def _label_parts(labels: np.ndarray, distance: np.ndarray, landmarks: np.ndarray, frame: FaceFrame) -> None:
    """Write brows, eyes, lips and the mouth's inside from their landmarks over skin and beard.

    Brows and eyes include close pixels that are not skin-coloured, such as lashes and make-up.
    """
    side = labels.shape[0]
    free = (labels != FaceClass.HAIR) & (labels != FaceClass.GLASSES)
    for part, label in zip(
        _DARK_PARTS, (FaceClass.BROWS, FaceClass.BROWS, FaceClass.EYES, FaceClass.EYES), strict=True
    ):
        inside = polygon_mask(landmarks, part, side)
        around = grown(inside, _PART_REACH * frame.size) & (distance > 0.7 * _SKIN_LIMIT)
        labels[(grown(inside, 0.012 * frame.size) | around) & free] = label
    labels[polygon_mask(landmarks, LIPS_OUTER, side) & free] = FaceClass.LIPS
    labels[polygon_mask(landmarks, LIPS_INNER, side) & free] = FaceClass.MOUTH_INTERIOR


def _place(frame: FaceFrame, point: np.ndarray) -> tuple[float, float]:
    """(u, v) of a point in crop pixels."""
    row = int(np.clip(point[1], 0, frame.u.shape[0] - 1))
    column = int(np.clip(point[0], 0, frame.u.shape[1] - 1))
    return float(frame.u[row, column]), float(frame.v[row, column])


def _large(mask: np.ndarray, area: float) -> np.ndarray:
    """The connected parts of ``mask`` with at least ``area`` pixels."""
    _, index, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    kept = stats[:, cv2.CC_STAT_AREA] >= area
    kept[0] = False
    return kept[index]


def _small(mask: np.ndarray, area: float) -> np.ndarray:
    """The connected parts of ``mask`` with less than ``area`` pixels."""
    return mask & ~_large(mask, area)
