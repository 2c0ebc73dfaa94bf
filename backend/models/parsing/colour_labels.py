"""Parsing of a head crop without a trained net: landmarks, person segmentation, and a skin colour model per photo.

Colour model of this face's skin in this light, learned from the photo itself, and each pixel's residual.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.models.parsing.glasses import glasses_mask, wears_glasses
from backend.photos.collection import FaceClass
from backend.photos.faces import CHIN, FOREHEAD_TOP, landmark_window
from backend.photos.regions import (
    BROW_RIGHT,
    EYE_RIGHT,
    FACE_OVAL,
    LIPS_INNER,
    LIPS_OUTER,
    MOUTH_SURROUNDINGS,
    NOSE,
    UPPER_LIP_SKIN,
    connected,
    face_normals,
    grown,
    hand_mask,
    mirrored,
    person_probability,
    polygon_mask,
    skin_seeds,
)
from backend.rendering.color import LUMINANCE, linear_from_srgb

_MONOCHROME = 0.02  # spread of log ratios of a face's colours below which a picture is black and white
_DARK_OFFSET = 0.02  # linear; bounds the logarithm of noisy dark pixels
_ROUNDS = 4
_INLIER_DISTANCE = 3.0
SHADING_EASE = 2.0  # divisor of brightness differences, because shading does not change the material
_TINT_LOW, _TINT_HIGH = np.array([-0.35, 0.0]), np.array([0.0, 0.3])
_TINT_PRIOR, _TINT_REACH = 0.005, 1.5
_MIN_SPREAD = np.array([0.12, 0.035, 0.05])  # log luminance, log R/G, log B/G
_MAX_SPREAD = np.array([0.35, 0.10, 0.14])
_RIDGE = np.array([0.0] + [0.02] * 2 + [0.1] * 3 + [0.01] * 2 + [0.03] * 3)  # per sample, per term of the design
_MAX_SAMPLES = 6000


@dataclass(frozen=True)
class SkinModel:
    """Skin colour as a smooth function of the place on the face and of the normal (which gives the light).

    Attributes
    ----------
    surface : (11, 3) coefficients over (1, u, v, u², v², uv, n_x, n_y, n_x², n_y², n_x n_y) of log luminance, log R/G
        and log B/G; n is the normal.
    tint : (2,) change of log R/G and log B/G per log luminance: skin is redder in the shade.
    level : log luminance at which the tint is zero.
    spread : (3,) robust standard deviations around the surface.
    centre, unit : u, v = (pixel - centre) / unit.
    """

    surface: np.ndarray
    tint: np.ndarray
    level: float
    spread: np.ndarray
    centre: np.ndarray
    unit: float

    def residual(self, features: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """(H, W, 3) residuals of ``skin_features`` (H, W, 3) from the surface, in standard deviations.

        ``normals`` (H, W, 2) are the x and y of the face's normals.
        """
        rows, columns = np.mgrid[: features.shape[0], : features.shape[1]].astype(np.float32) + np.float32(0.5)
        points = np.stack([columns, rows], axis=-1).reshape(-1, 2)
        design = _design(points, normals.reshape(-1, 2), self.centre.astype(np.float32), np.float32(self.unit))
        expected = (design @ self.surface.astype(np.float32)).reshape(features.shape)
        untinted = _without_tint(features, self.tint.astype(np.float32), self.level)
        return (untinted - expected) / self.spread.astype(np.float32)


def skin_features(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 log luminance, log R/G, log B/G of (H, W, 3) uint8 sRGB pixels, in linear light."""
    linear = linear_from_srgb(pixels)
    logs = np.log(linear + np.float32(_DARK_OFFSET))
    luminance = np.log(linear @ np.array(LUMINANCE, np.float32) + np.float32(_DARK_OFFSET))
    return np.stack([luminance, logs[..., 0] - logs[..., 1], logs[..., 2] - logs[..., 1]], axis=-1)


def without_colour(face: np.ndarray) -> bool:
    """Whether a picture is black and white, by the ``skin_features`` (P, 3) of its face."""
    return float(np.abs(face[:, 1:]).std(axis=0).max(initial=0.0)) < _MONOCHROME


def learn_skin(
    features: np.ndarray, normals: np.ndarray, seeds: np.ndarray, oval: np.ndarray, monochrome: bool
) -> SkinModel:
    """Fit the skin's colour by trimmed least squares: on ``seeds`` (H, W) bool, then on all inliers of ``oval``.

    ``features`` (H, W, 3) are those of ``skin_features``, ``normals`` (H, W, 2) the face's. In a monochrome picture
    chroma is uninformative and its spread is widened.
    """
    points = _sample(oval)
    at_seed = seeds[points[:, 1], points[:, 0]]
    values = features[points[:, 1], points[:, 0]]
    centre, unit = points.mean(axis=0) + 0.5, max(1.0, float(np.ptp(points, axis=0).max()) / 2)
    design = _design(points + 0.5, normals[points[:, 1], points[:, 0]], centre, unit)
    inliers = at_seed if at_seed.sum() >= 30 else np.ones(len(points), dtype=bool)
    seed_values = values[inliers]
    median = np.median(seed_values, axis=0)
    inliers = inliers & (np.abs(values - median) < 3 * np.maximum(_mad(seed_values), _MIN_SPREAD)).all(axis=1)
    surface, tint, spread = np.zeros((len(_RIDGE), 3)), np.zeros(2), _MAX_SPREAD
    surface[0] = median
    for _ in range(_ROUNDS):
        if inliers.sum() < 20:
            break
        tint = _fit_tint(design[inliers], values[inliers])
        untinted = _without_tint(values, tint, median[0])
        surface = _fit_surface(design[inliers], untinted[inliers])
        error = untinted - design @ surface
        spread = np.clip(_mad(error[inliers]), _MIN_SPREAD, _MAX_SPREAD)
        inliers = (((error / spread) * [1 / SHADING_EASE, 1, 1]) ** 2).sum(axis=1) < _INLIER_DISTANCE**2
    if monochrome:
        spread = spread * [1.0, 50.0, 50.0]
    return SkinModel(surface, tint, float(median[0]), spread, centre, unit)


def _fit_surface(design: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(11, C) ridge regression of ``values`` (N, C) on ``design`` (N, 11), shrunk towards the median."""
    offset = np.median(values, axis=0)
    normal = design.T @ design + np.diag(_RIDGE * len(design))
    surface = np.linalg.solve(normal, design.T @ (values - offset))
    surface[0] += offset
    return surface


def _fit_tint(design: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(2,) slopes of log R/G and log B/G over log luminance at equal place and normal, within bounds."""
    rest = values - design @ _fit_surface(design, values)
    slope = (rest[:, :1] * rest[:, 1:]).sum(axis=0) / ((rest[:, 0] ** 2).sum() + _TINT_PRIOR * len(rest))
    return np.clip(slope, _TINT_LOW, _TINT_HIGH)


def _without_tint(features: np.ndarray, tint: np.ndarray, level: float) -> np.ndarray:
    """``features`` (..., 3) with the chroma normalised to the log luminance ``level``."""
    change = np.clip(features[..., :1] - level, -_TINT_REACH, _TINT_REACH) * tint
    return np.concatenate([features[..., :1], features[..., 1:] - change], axis=-1)


def local_contrast(features: np.ndarray, radius: float) -> np.ndarray:
    """(H, W) standard deviation of log luminance within about ``radius`` pixels: strands of hair, beards, frames."""
    level = features[..., 0].astype(np.float32)
    mean = cv2.GaussianBlur(level, (0, 0), radius)
    return np.sqrt(np.maximum(cv2.GaussianBlur(level * level, (0, 0), radius) - mean * mean, 0))


def _sample(mask: np.ndarray) -> np.ndarray:
    """(N, 2) x, y of at most ``_MAX_SAMPLES`` pixels, spread evenly."""
    rows, columns = np.nonzero(mask)
    step = max(1, int(np.sqrt(len(rows) / _MAX_SAMPLES)))
    kept = (rows % step == 0) & (columns % step == 0)
    return np.stack([columns[kept], rows[kept]], axis=1)


def _design(points: np.ndarray, normals: np.ndarray, centre: np.ndarray, unit: float) -> np.ndarray:
    """(N, 11) terms; the place is clamped beyond the face, so that the surface does not extrapolate."""
    u, v = np.clip((points - centre) / unit, -1.15, 1.15).T
    x, y = normals.T
    return np.stack([np.ones_like(u), u, v, u * u, v * v, u * v, x, y, x * x, y * y, x * y], axis=1)


def _mad(values: np.ndarray) -> np.ndarray:
    """Robust standard deviation per column."""
    return 1.4826 * np.median(np.abs(values - np.median(values, axis=0)), axis=0)


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
