"""Labels of a head crop: two parsing nets, made consistent with each other and with the landmarks.

The nets see different features and make different errors, so their large classes are fused. Other people's heads
become background. White and grey hair that is labelled as skin is less red than the face, by a colour model of this
face's skin in this light, learned from the photo itself.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from backend.geometry.robust_statistics import robust_deviation
from backend.models.parsing.accessories import AccessoryScores, resolve_accessories, score_accessories
from backend.models.parsing.network import FaceParser, class_probabilities, wide_probabilities
from backend.models.registry import PARSING, PARSING_OPINION
from backend.photos import faces, networks, regions
from backend.photos.collection import FaceClass
from backend.rendering.color import LUMINANCE, linear_from_srgb

_LARGE_CLASSES = (FaceClass.BACKGROUND, FaceClass.SKIN, FaceClass.HAIR, FaceClass.OCCLUDER)
"""Large classes. For fine parts and accessories the first net's result stays, because classifiers and thresholds are
made for it. It is also better on ears and necks."""
_SECOND_WEIGHT = 0.7
"""Weight of the second net where it is sure of such a class. On held-out portraits 0.5 to 0.8 are nearly as good."""


def with_second_opinion(probabilities: np.ndarray, opinion: np.ndarray) -> np.ndarray:
    """(C, S, S) float32 class probabilities of one net, with those of large classes averaged with another's.

    Other classes than ``_LARGE_CLASSES`` do not change: the first net's sum over these classes stays, and the second
    net's weight is proportional to its own sum.
    """
    classes = list(_LARGE_CLASSES)
    ours, theirs = probabilities[classes], opinion[classes]
    own_sum, their_sum = ours.sum(axis=0), theirs.sum(axis=0)
    share = _SECOND_WEIGHT * their_sum
    result = probabilities.copy()
    result[classes] = (1 - share) * ours + share * own_sum * theirs / np.maximum(their_sum, 1e-6)
    return result


_OF_OTHERS = (
    FaceClass.SKIN, FaceClass.GLASSES, FaceClass.HAIR, FaceClass.FACIAL_HAIR, FaceClass.EARS, FaceClass.NECK,
    FaceClass.OCCLUDER,
)  # fmt: skip
_SAME_OVERLAP, _LARGEST = 0.5, 1.6
"""Overlap of boxes from which they are the same face; a box larger than this times the face holds both heads."""
_RAISED, _WIDTH = 0.15, 0.8
"""In sides of a face box: height of the head's centre above the face's; width of a head relative to its height."""
_OWN_DISTANCE, _LARGEST_DISTANCE = 0.95, 1.3
"""Distances from a head's centre, in sides of its face box: up to the first everything is the head's own, whoever is
behind it; at the second a head and its hair end. Viewed on 799 press photos: hair in front of another face is kept up
to 0.95; from 1.05 on the next head's fringe is kept too."""


def without_other_heads(labels: np.ndarray, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Labels (S, S) uint8 in which hair, ears, glasses, hats and so on that are nearer to another head are BACKGROUND.

    pixels (S, S, 3) uint8 sRGB; landmarks (478, 2 or 3) in them. Distances are relative to the size of each head.
    """
    points = landmarks[: faces.MESH_COUNT, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2)
    across = landmarks[faces.EYE_OUTER_LEFT, :2] - landmarks[faces.EYE_OUTER_RIGHT, :2]
    wanted = faces.DetectedFace(middle, float((high - low).mean()), float(np.arctan2(across[1], across[0])), 1.0)
    others = [
        face
        for face in faces.faces_in_view(pixels)
        if faces.overlap(face, wanted) < _SAME_OVERLAP and face.side < _LARGEST * wanted.side
    ]
    if not others:
        return labels
    side = labels.shape[0]
    here = _from_head(wanted, side)
    there = np.min([_from_head(face, side) for face in others], axis=0)
    theirs = (
        (there < here)
        & (there < _LARGEST_DISTANCE)
        & (here > _OWN_DISTANCE)
        & ~regions.polygon_mask(landmarks, regions.FACE_OVAL, side)
    )
    result = labels.copy()
    result[theirs & np.isin(labels, _OF_OTHERS)] = FaceClass.BACKGROUND
    return result


def _from_head(face: faces.DetectedFace, side: int) -> np.ndarray:
    """(side, side) distance from the centre of a head, in sides of its face box."""
    across, down = regions.along_face(face.centre, face.angle, face.side, side)
    return np.hypot(across / _WIDTH, down + _RAISED)


_MONOCHROME = 0.02  # spread of log ratios of a face's colours below which a picture is black and white
_DARK_OFFSET = 0.02  # linear; bounds the logarithm of noisy dark pixels
_ROUNDS = 4
_INLIER_DISTANCE = 3.0
_SHADING_EASE = 2.0  # divisor of brightness differences, because shading does not change the material
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


def learn_skin(features: np.ndarray, normals: np.ndarray, seeds: np.ndarray, oval: np.ndarray) -> SkinModel:
    """Fit the skin's colour by trimmed least squares: on ``seeds`` (H, W) bool, then on all inliers of ``oval``.

    ``features`` (H, W, 3) are those of ``skin_features``, ``normals`` (H, W, 2) the face's.
    """
    points = _sample(oval)
    at_seed = seeds[points[:, 1], points[:, 0]]
    values = features[points[:, 1], points[:, 0]]
    centre, unit = points.mean(axis=0) + 0.5, max(1.0, float(np.ptp(points, axis=0).max()) / 2)
    design = _design(points + 0.5, normals[points[:, 1], points[:, 0]], centre, unit)
    inliers = at_seed if at_seed.sum() >= 30 else np.ones(len(points), dtype=bool)
    seed_values = values[inliers]
    median = np.median(seed_values, axis=0)
    near = 3 * np.maximum(robust_deviation(seed_values), _MIN_SPREAD)
    inliers = inliers & (np.abs(values - median) < near).all(axis=1)
    surface, tint, spread = np.zeros((len(_RIDGE), 3)), np.zeros(2), _MAX_SPREAD
    surface[0] = median
    for _ in range(_ROUNDS):
        if inliers.sum() < 20:
            break
        tint = _fit_tint(design[inliers], values[inliers])
        untinted = _without_tint(values, tint, median[0])
        surface = _fit_surface(design[inliers], untinted[inliers])
        error = untinted - design @ surface
        spread = np.clip(robust_deviation(error[inliers]), _MIN_SPREAD, _MAX_SPREAD)
        inliers = (((error / spread) * [1 / _SHADING_EASE, 1, 1]) ** 2).sum(axis=1) < _INLIER_DISTANCE**2
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


def _sample(mask: np.ndarray) -> np.ndarray:
    """(N, 2) x, y of at most ``_MAX_SAMPLES`` pixels, spread evenly."""
    rows, columns = np.nonzero(mask)
    step = max(1, int(np.sqrt(len(rows) / _MAX_SAMPLES)))
    sampled = (rows % step == 0) & (columns % step == 0)
    return np.stack([columns[sampled], rows[sampled]], axis=1)


def _design(points: np.ndarray, normals: np.ndarray, centre: np.ndarray, unit: float) -> np.ndarray:
    """(N, 11) terms; the place is clamped beyond the face, so that the surface does not extrapolate."""
    u, v = np.clip((points - centre) / unit, -1.15, 1.15).T
    x, y = normals.T
    return np.stack([np.ones_like(u), u, v, u * u, v * v, u * v, x, y, x * x, y * y, x * y], axis=1)


_SIDE = 192
"""Colours are compared in a crop of this size: four times as fast, and fine enough for hair."""
_PALE_RESIDUAL = -2.0
"""Residual of log R/G, in the skin's standard deviations, below which something above the brows is not skin."""
_LEAST_HAIR = 0.05
"""Least probability of hair: shine on a bald head has little red too, but there the net is confident."""
_OVERLAP = 0.02  # heights of the face: hair overlaps the face's outline, which ends at the middle of the forehead


def with_pale_hair(labels: np.ndarray, hair: np.ndarray, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Labels (S, S) uint8 in which skin above the brows that is much less red than the face is HAIR.

    hair (S, S) : its probability; pixels (S, S, 3) uint8 sRGB; landmarks (478, 3) in their pixels. Black-and-white
    pictures are not changed.
    """
    small, factor = faces.fit_inside(pixels, _SIDE)
    points, side = np.asarray(landmarks) * factor, small.shape[0]
    oval = regions.polygon_mask(points, regions.FACE_OVAL, side)
    features = skin_features(cv2.GaussianBlur(small, (0, 0), 0.5))
    if np.abs(features[oval, 1:]).std(axis=0).max(initial=0.0) < _MONOCHROME:
        return labels
    seeds, normals = regions.skin_seeds(points, side), regions.face_normals(points, side)
    redness = learn_skin(features, normals, seeds, oval).residual(features, normals)[..., 1]
    redness = cv2.resize(redness.astype(np.float32), labels.shape[::-1], interpolation=cv2.INTER_LINEAR)
    size = faces.landmark_window(landmarks, 1.0).side
    brows = np.flatnonzero(regions.above_brows(landmarks, labels.shape[0]).any(axis=1)).max(initial=-1)
    region = ~regions.grown(regions.polygon_mask(landmarks, regions.FACE_OVAL, labels.shape[0]), -_OVERLAP * size)
    region[brows + 1 :] = False
    result = labels.copy()
    result[(labels == FaceClass.SKIN) & region & (redness < _PALE_RESIDUAL) & (hair > _LEAST_HAIR)] = FaceClass.HAIR
    return result


_OF_THE_HEAD = (
    FaceClass.SKIN, FaceClass.BROWS, FaceClass.EYES, FaceClass.GLASSES, FaceClass.LIPS, FaceClass.MOUTH_INTERIOR,
    FaceClass.HAIR, FaceClass.FACIAL_HAIR, FaceClass.EARS, FaceClass.NECK,
)  # fmt: skip
_OUTLINES = {FaceClass.EYES: regions.EYE_RIGHT, FaceClass.BROWS: regions.BROW_RIGHT, FaceClass.LIPS: regions.LIPS_OUTER}
_SPECK = 0.0006  # of the face's area
_PERSON_CLASSES = (FaceClass.HAIR, FaceClass.NECK, FaceClass.EARS)
_MINORITY = 0.25
"""A connected region on top of a head takes one label when the other has less than this share of it."""
_ISLAND, _IN_HAIR, _IN_SKIN = 0.04, 0.5, 0.8
"""Largest island, of the face's area; shares of its border. A strand on the forehead is connected with the hair; shine
on a bald head is not."""
_LEAST_PERSON, _LEAST_PERSON_OCCLUDER, _REACH = 0.4, 0.2, 0.03
"""Least probability of a person for hair, neck and ears, and for possible hands; margin in heights of the face."""
_LEAST_PERSON_ON_FACE = 0.5
"""Least mean probability of a person over the face itself for using it. Of 1,170 portraits 26, coarse prints, are below
it (19 below 0.1); there 87 % of the net's hair, mostly right, became background. 1,134 are above 0.9."""


@dataclass(frozen=True)
class FaceLabels:
    """Parsing result of a head crop.

    Attributes
    ----------
    labels : (S, S) uint8 of ``FaceClass``. accessories : scores of the accessories used.
    """

    labels: np.ndarray
    accessories: AccessoryScores


def label_by_net(
    parser: FaceParser,
    pixels: np.ndarray,
    landmarks: np.ndarray,
    second: FaceParser | None = None,
    accessories: AccessoryScores | None = None,
) -> FaceLabels:
    """Label a head crop (S, S, 3) uint8 sRGB with landmarks (478, 3) in its pixels.

    second : a second net for large classes, if there is one. accessories : scores of the accessories; None: from this
    picture.
    """
    probabilities = opinion = class_probabilities(parser, pixels, landmarks)
    if second is not None:
        opinion = wide_probabilities(second, pixels, landmarks)
        probabilities = with_second_opinion(probabilities, opinion)
    if accessories is None:
        accessories = score_accessories(probabilities, landmarks, opinion)
    odds = resolve_accessories(probabilities, landmarks, pixels, accessories)
    return FaceLabels(resolve_labels(odds, networks.person(pixels), pixels, landmarks).labels, accessories)


@dataclass(frozen=True)
class ResolvedLabels:
    """Labels from class probabilities, see ``resolve_labels``.

    Attributes
    ----------
    labels : (S, S) uint8 of ``FaceClass``.
    pale : (S, S) bool where skin became white hair by its colour. hands : (S, S) bool where hands are.
    """

    labels: np.ndarray
    pale: np.ndarray
    hands: np.ndarray


def resolve_labels(odds: np.ndarray, somebody: np.ndarray, pixels: np.ndarray, landmarks: np.ndarray) -> ResolvedLabels:
    """Labels of a head crop (S, S, 3) uint8 sRGB with landmarks (478, 3), from class probabilities (C, S, S) with
    decided accessories; somebody (S, S) : probability of a person."""
    likeliest = odds.argmax(axis=0).astype(np.uint8)
    coloured = with_pale_hair(likeliest, odds[FaceClass.HAIR], pixels, landmarks)
    labels = agree_with_landmarks(without_other_heads(coloured, pixels, landmarks), somebody, landmarks)
    hands = regions.hand_mask(pixels, regions.polygon_mask(landmarks, regions.FACE_OVAL, pixels.shape[0]))
    labels[hands] = FaceClass.OCCLUDER
    return ResolvedLabels(labels, coloured != likeliest, hands)


def agree_with_landmarks(labels: np.ndarray, somebody: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A net's labels (S, S) uint8 of a head crop, corrected by landmarks (478, 2 or 3).

    somebody (S, S) : probability of a person, by ``networks.person``.

    Other people in the crop become BACKGROUND. So do hair and occluders where no person is found, unless it
    misses the face too. Skin within the landmarks' outlines becomes brows, eyes and lips. Small parts of
    OCCLUDER in the hair above the eyes become hair, small parts of hair over the forehead below a hat become hat. Skin
    islands in hair become hair, hair islands in skin become skin.
    """
    labels = labels.copy()
    side, size = labels.shape[0], faces.landmark_window(landmarks, 1.0).side
    for label, outline in _OUTLINES.items():
        labels[regions.both_sides(landmarks, outline, side) & (labels == FaceClass.SKIN)] = label
    oval = regions.polygon_mask(landmarks, regions.FACE_OVAL, side)
    if not oval.any() or float(somebody[oval].mean()) > _LEAST_PERSON_ON_FACE:
        for kinds, least in ((_PERSON_CLASSES, _LEAST_PERSON), ((FaceClass.OCCLUDER,), _LEAST_PERSON_OCCLUDER)):
            person = regions.grown(somebody > least, _REACH * size) | oval
            labels[np.isin(labels, kinds) & ~person] = FaceClass.BACKGROUND
    labels = _without_specks(labels, _SPECK * size**2)
    labels = _hair_or_hat(labels, landmarks)
    labels = _without_islands(labels, _ISLAND * size**2)
    head = np.isin(labels, _OF_THE_HEAD)
    labels[head & ~regions.connected(head | oval, oval)] = FaceClass.BACKGROUND
    return labels


def _hair_or_hat(labels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Unify connected hair and occluder above the eyes: all hair where most of it is. Where most is a hat, the part
    between the eyes' outer corners becomes hat (shadow below a brim); hair beside a hat stays hair."""
    result = labels.copy()
    eyes = np.flatnonzero((labels == FaceClass.EYES).any(axis=1))
    top = slice(labels.shape[0] if len(eyes) == 0 else int(eyes[0]))
    if top.stop == 0:
        return result  # nothing is above the eyes, and OpenCV crashes on pictures without rows
    corners = sorted(float(landmarks[corner, 0]) for corner in (faces.EYE_OUTER_RIGHT, faces.EYE_OUTER_LEFT))
    middle = (np.arange(labels.shape[1]) > corners[0]) & (np.arange(labels.shape[1]) < corners[1])
    both = np.isin(labels[top], (FaceClass.HAIR, FaceClass.OCCLUDER)).astype(np.uint8)
    count, index = cv2.connectedComponents(both, connectivity=4)
    for part in range(1, count):
        inside = index == part
        share = (labels[top][inside] == FaceClass.OCCLUDER).mean()
        if share < _MINORITY:
            result[top][inside] = FaceClass.HAIR
        elif share > 1 - _MINORITY:
            result[top][inside & middle] = FaceClass.OCCLUDER
    return result


def _without_islands(labels: np.ndarray, area: float) -> np.ndarray:
    """Labels in which islands of less than ``area`` pixels of skin in hair become hair, and vice versa."""
    result = labels.copy()
    for label, other, least in ((FaceClass.SKIN, FaceClass.HAIR, _IN_HAIR), (FaceClass.HAIR, FaceClass.SKIN, _IN_SKIN)):
        count, index, stats, _ = cv2.connectedComponentsWithStats((result == label).astype(np.uint8), connectivity=4)
        sizes = stats[:, cv2.CC_STAT_AREA]
        for part in range(1, count):
            if sizes[part] == sizes[1:].max() or sizes[part] >= area:
                continue
            inside = index == part
            if (result[regions.grown(inside, 1) & ~inside] == other).mean() > least:
                result[inside] = other
    return result


def _without_specks(labels: np.ndarray, area: float) -> np.ndarray:
    """Labels in which connected parts of less than ``area`` pixels take the surrounding label."""
    result = labels.copy()
    specks = np.zeros(labels.shape, dtype=bool)
    for label in np.unique(labels):
        _, index, stats, _ = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8), connectivity=4)
        small = stats[:, cv2.CC_STAT_AREA] < area
        small[0] = False
        specks |= small[index]
    if specks.any() and not specks.all():
        _, nearest = cv2.distanceTransformWithLabels(
            specks.astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
        )
        label_of = np.zeros(nearest.max() + 1, dtype=labels.dtype)
        label_of[nearest[~specks]] = labels[~specks]
        result[specks] = label_of[nearest[specks]]
    return result


WORK_SIDE = 384  # largest side in pixels at which a head crop is labelled


def label_face(
    pixels: np.ndarray, landmarks: np.ndarray, covered: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """(S, S) uint8 of ``FaceClass``; see ``look_at_face``."""
    return look_at_face(pixels, landmarks, covered).labels


def look_at_face(
    pixels: np.ndarray,
    landmarks: np.ndarray,
    covered: tuple[float, float, float, float] | None = None,
    accessories: AccessoryScores | None = None,
    device: str = "cpu",
) -> FaceLabels:
    """Label a head crop (S, S, 3) uint8 sRGB with landmarks (478, 3) in its pixels.

    SKIN is bare skin of the face, including the forehead up to the hairline. Clothes are BACKGROUND, and so is
    everything outside ``covered`` (left, top, right, bottom), the part of the crop inside the photo; the rest is
    padding. ``accessories`` decides about glasses, moustache and beard; None: decided from the picture. The nets run on
    ``device`` (``computing_device``). Raises ``LikenessError`` ("missing_part") without the first net.
    """
    small, factor = faces.fit_inside(pixels, WORK_SIDE)
    points = np.asarray(landmarks, dtype=np.float64) * factor
    outcome = label_by_net(PARSING.load(device), small, points, PARSING_OPINION.find(device), accessories)
    labels = outcome.labels if factor == 1.0 else enlarge_labels(outcome.labels, pixels)
    if covered is not None:
        labels[padding(covered, labels.shape)] = FaceClass.BACKGROUND
    return FaceLabels(labels, outcome.accessories)


def padding(covered: tuple[float, float, float, float], shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) bool of a crop of ``shape``: pixels outside ``covered`` (left, top, right, bottom), the photo's part."""
    left, top, right, bottom = (max(0, round(edge)) for edge in covered)
    outside = np.ones(shape, dtype=bool)
    outside[top:bottom, left:right] = False
    return outside


def enlarge_labels(labels: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Enlarge labels (S, S) of a reduced crop to the full crop ``pixels`` (T, T, 3)."""
    return cv2.resize(labels, pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST)
