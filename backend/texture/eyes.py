"""Eyes: the colour of the iris from photos, and a painted eyeball without catchlights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.smoothstep import smoothstep
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import LUMINANCE, linear_from_srgb
from backend.texture.noise import fractal_noise, gradient_noise

IRIS_RADIUS = 0.00585  # metres: the visible iris is 11.7 mm across
PUPIL_RADIUS = 0.0021  # as wide as in portraits taken indoors
SCLERA = np.array([0.66, 0.61, 0.57])  # linear light; the eye's white is not paper
_VEIN = np.array([0.55, 0.20, 0.16])
_UNDER_LIDS = 0.8  # of the light reaches the middle of the open eye
_UPPER_SHADE, _UPPER_REACH = 0.80, 0.0027  # what upper lid and lashes take at their edge; metres to a third of it
_LOWER_SHADE, _LOWER_REACH = 0.45, 0.0012  # the same of the lower lid
_CAUSTIC = 0.35  # by which the cornea gathers light from above on the iris's lower half
_IN_SOCKET = 0.7  # of the light reaches the iris under lid and lashes
_WHITE_IN_SOCKET = 0.87  # the same for the white where it is brightest, beside the iris
_TOUCHING = 0.0006  # metres: lids' skin that is nearer to the eyeball is their rim
_LASH_ROOTS = 0.0022  # metres from there to where lashes grow
_UPPER_LASHES, _LOWER_LASHES = 0.55, 0.15  # share of the light that they take
_WHITE_RANGE = (0.26, 0.50)  # the eyes' white, mean over channels
_LEAST_SHADED = 0.75  # quantile over photos
_EYE_REACH = 3.5  # iris radii
_BRIGHTEST_IRIS = 0.15
_PUPIL = np.array([0.004, 0.004, 0.004])
_IRIS_FAMILY = np.array(  # linear light: very dark brown, brown, hazel, green, grey, blue
    [
        [0.020, 0.010, 0.006],
        [0.075, 0.034, 0.014],
        [0.130, 0.088, 0.035],
        [0.120, 0.120, 0.060],
        [0.150, 0.165, 0.165],
        [0.110, 0.160, 0.210],
    ]
)
DEFAULT_IRIS = _IRIS_FAMILY[1]


def _eyes_of(face: PhotoFace) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Per eye that is large enough and inside the picture: linear light (N, 3) of pixels around the iris, places (N, 2)
    in units of its radius (y down), labels (N,)."""
    eyes = []
    height, width = face.pixels.shape[:2]
    for centre_row in (468, 473):
        centre = face.landmarks[centre_row, :2]
        radius = float(np.linalg.norm(face.landmarks[centre_row + 1 : centre_row + 5, :2] - centre, axis=1).mean())
        if radius < 2.0 or (centre < radius).any() or (centre > (width - radius, height - radius)).any():
            continue
        x0, y0 = np.maximum(np.floor(centre - _EYE_REACH * radius), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(centre + _EYE_REACH * radius), (width - 1, height - 1)).astype(int)
        ys, xs = (grid.ravel() for grid in np.mgrid[y0 : y1 + 1, x0 : x1 + 1])
        place = (np.stack([xs, ys], 1) + 0.5 - centre) / radius
        eyes.append((linear_from_srgb(face.pixels[ys, xs]), place, face.labels[ys, xs]))
    return eyes


def iris_sample(face: PhotoFace, shading: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The iris colour that one photo shows.

    Parameters
    ----------
    face : the photo; landmarks 468-472 and 473-477 are the irises' centres and four rims each.
    shading : (3,) linear light that falls on the skin around; divides the colour.

    Returns
    -------
    ((3,) linear-light albedo, confidence 0-1), or None when no iris is large and clear enough.
    """
    samples, areas = [], []
    for linear, place, labels in _eyes_of(face):
        distance = np.hypot(place[:, 0], place[:, 1])
        ring = (distance > 0.42) & (distance < 0.85) & (labels == FaceClass.EYES)
        ring &= place[:, 1] > -0.35  # the upper lid shades the top
        if ring.sum() < 8:
            continue
        linear = linear[ring]  # (n, 3)
        order = np.argsort(linear @ LUMINANCE)
        middle = order[len(order) // 4 : max(len(order) * 7 // 10, len(order) // 4 + 1)]  # no catchlight, no lash
        samples.append(np.median(linear[middle], axis=0))
        areas.append(ring.sum())
    if not samples:
        return None
    colour = np.average(samples, axis=0, weights=areas) / np.maximum(_IN_SOCKET * shading, 1e-3)
    return colour, float(np.clip(sum(areas) / 250.0, 0.05, 1.0))


def white_sample(face: PhotoFace, shading: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The colour of the eyes' white in one photo, as ``iris_sample`` gives the iris's."""
    found, areas = [], []
    for linear, place, labels in _eyes_of(face):
        distance = np.hypot(place[:, 0], place[:, 1])
        white = linear[(distance > 1.15) & (labels == FaceClass.EYES)]
        if len(white) < 20:
            continue
        order = np.argsort(white @ LUMINANCE)  # lids' rims and corners are dark, wet lines bright
        found.append(white[order[len(order) * 6 // 10 : len(order) * 9 // 10]].mean(0))
        areas.append(len(white))
    if not found:
        return None
    colour = np.average(found, axis=0, weights=areas) / np.maximum(_WHITE_IN_SOCKET * shading, 1e-3)
    return colour, float(np.clip(sum(areas) / 500.0, 0.05, 1.0))


def white_colour(samples: Sequence[tuple[np.ndarray, float]]) -> np.ndarray:
    """One colour (3,) in linear light of the eyes' white out of per-photo ``(colour, confidence)``.

    A high quantile of brightness, bounded: brows shade eyes in some light, nothing brightens them. The hue is a white's
    own, drawn a third of the way to the photos'. ``SCLERA`` without samples."""
    if not samples:
        return SCLERA.copy()
    colours = np.log(np.clip(np.array([colour for colour, _ in samples]), 0.02, 1.0))  # (n, 3)
    weights = np.array([confidence for _, confidence in samples])
    order = np.argsort(colours.mean(1), kind="stable")
    cumulative = np.cumsum(weights[order])
    level = float(colours[order, :].mean(1)[np.searchsorted(cumulative, _LEAST_SHADED * cumulative[-1])])
    hue = np.average(colours - colours.mean(1, keepdims=True), axis=0, weights=weights)
    own = np.log(SCLERA)
    level = float(np.clip(level, *np.log(_WHITE_RANGE)))
    return np.exp(level + 0.33 * hue + 0.67 * (own - own.mean()))


def iris_colour(samples: Sequence[tuple[np.ndarray, float]]) -> np.ndarray:
    """One iris colour (3,) in linear light out of per-photo ``(colour, confidence)``: a weighted median, drawn a
    third of the way to the nearest natural iris colour; brown without samples."""
    if not samples:
        return DEFAULT_IRIS.copy()
    colours = np.log(np.clip(np.array([colour for colour, _ in samples]), 2e-3, 1.0))  # (n, 3)
    too_bright = np.clip(colours.mean(1) - np.log(_BRIGHTEST_IRIS), 0.0, None)  # lids or white were sampled instead
    weights = np.array([confidence for _, confidence in samples]) * np.exp(-3.0 * too_bright)
    if weights.max() < 0.03:
        return DEFAULT_IRIS.copy()
    median = np.empty(3)
    for channel in range(3):
        order = np.argsort(colours[:, channel], kind="stable")
        cumulative = np.cumsum(weights[order])
        median[channel] = colours[order, channel][np.searchsorted(cumulative, cumulative[-1] / 2)]
    family = np.log(_IRIS_FAMILY)
    fine = np.concatenate([a + np.linspace(0, 1, 17)[:, None] * (b - a) for a, b in pairwise(family)])
    chroma = np.array([[1.0, -1.0, 0.0], [0.5, 0.5, -1.0]])
    cost = 0.3 * (fine.mean(1) - median.mean()) ** 2 + (((fine - median) @ chroma.T) ** 2).sum(1)
    nearest = fine[np.argmin(cost)]
    blended = 0.65 * median + 0.35 * nearest
    brightness = np.clip(blended.mean(), np.log(0.010), np.log(_BRIGHTEST_IRIS))
    return np.exp(blended - blended.mean() + brightness)


def paint_eyeball(points: np.ndarray, iris: np.ndarray, seed: int, white: np.ndarray = SCLERA) -> np.ndarray:
    """Albedo of an eyeball that looks straight ahead.

    Parameters
    ----------
    points : (N, 3) metres relative to the eye's centre of rotation, z out of the face.
    iris : (3,) linear-light iris colour.
    seed : pattern of fibres and veins.
    white : (3,) linear-light colour of the sclera.

    Returns
    -------
    (N, 3) float32 linear light: pupil, iris with fibres, collarette and limbal ring, sclera with faint veins. There is
    no highlight and no shadow in it.
    """
    radius = np.hypot(points[:, 0], points[:, 1])  # metres from the optical axis
    front = points[:, 2] > 0
    angle = np.arctan2(points[:, 1], points[:, 0])
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)

    relative = np.clip((radius - PUPIL_RADIUS) / (IRIS_RADIUS - PUPIL_RADIUS), 0.0, 1.0)
    fibre_space = np.concatenate([ring, relative[:, None] * 0.35], 1)  # long along the radius, thin around it
    fibres = 0.6 * gradient_noise(fibre_space, 0.09, seed) + 0.4 * gradient_noise(fibre_space, 0.04, seed + 1)
    blotches = gradient_noise(points, 0.004, seed + 2)
    tone = 1.0 + 0.26 * fibres + 0.10 * blotches
    collarette = np.exp(-(((relative - 0.28) / 0.13) ** 2))
    rim = smoothstep(0.66, 0.96, relative)
    gathered = 1.0 - _CAUSTIC * points[:, 1] / IRIS_RADIUS
    warm = np.array([1.12, 1.0, 0.82])
    iris_rgb = iris * tone[:, None] * (1.0 + 0.30 * collarette[:, None] * warm)
    iris_rgb *= (gathered * (0.98 - 0.6 * rim))[:, None]
    pupil = 1.0 - smoothstep(PUPIL_RADIUS - 0.00018, PUPIL_RADIUS + 0.00022, radius)
    iris_rgb = iris_rgb * (1.0 - pupil[:, None]) + _PUPIL * pupil[:, None]

    side = np.clip(np.abs(points[:, 0]) / 0.012, 0.0, 1.0)
    away = smoothstep(IRIS_RADIUS + 0.001, 0.011, radius)  # 0 beside the iris, 1 near the canthi
    warp = np.stack([gradient_noise(points, 0.006, seed + 3 + k) for k in range(3)], 1) * 0.0016
    stretched = (points + warp) * np.array([0.35, 1.0, 0.6])  # veins run from the canthi inwards
    thin = np.exp(-((gradient_noise(stretched, 0.0021, seed + 8) / 0.10) ** 2))
    fine = np.exp(-((gradient_noise(stretched, 0.0011, seed + 9) / 0.12) ** 2))
    vein = np.clip((0.30 * thin + 0.14 * fine) * away * (0.3 + 0.7 * side), 0.0, 0.5)
    sclera = white * (1.0 + 0.015 * fractal_noise(points, 0.004, 2, seed + 10))[:, None]
    sclera = sclera * (1.0 - np.outer(away * side, [0.05, 0.16, 0.20]))
    sclera = sclera * (1.0 - vein[:, None]) + _VEIN * vein[:, None]
    back = smoothstep(0.0, -0.006, points[:, 2])
    sclera = sclera * (1.0 - 0.5 * back[:, None]) + _VEIN * 0.5 * back[:, None]

    limbus = (1.0 - smoothstep(IRIS_RADIUS - 0.0008, IRIS_RADIUS + 0.0006, radius)) * front
    return (iris_rgb * limbus[:, None] + sclera * (1.0 - limbus[:, None])).astype(np.float32)


def lid_shadow(points: np.ndarray, lids: np.ndarray, centre_height: float) -> np.ndarray:
    """(N,) share of the light that lids and lashes let reach an eyeball's points (N, 3) in the resting pose.

    It is part of the eye's colour because neither a viewport nor a game engine casts the lashes' shadow, and an eye
    without it stares. lids : (L, 3) the lids' skin; centre_height : y of the eye's centre, metres.
    """
    upper = lids[:, 1] > centre_height
    share = np.full(len(points), _UNDER_LIDS)
    for lid, shade, reach in ((lids[upper], _UPPER_SHADE, _UPPER_REACH), (lids[~upper], _LOWER_SHADE, _LOWER_REACH)):
        if len(lid) > 0:
            distance, _ = cKDTree(lid).query(points)
            share *= 1.0 - shade * np.exp(-((distance / reach) ** 1.5))
    return share.astype(np.float32)


def lash_line(points: np.ndarray, lids: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """(N,) share of the light that the roots of the lashes leave to skin at points (N, 3) in the resting pose.

    Photos that are laid onto the lids are a millimetre off now and then, and lose the dark line that a lid ends in;
    without it eyes look cut out. lids : (L, 3) the lids' skin; centre (3,), radius : of the eyeball, metres.
    """
    offset = lids - centre
    touching = np.abs(np.linalg.norm(offset, axis=1) - radius) < _TOUCHING
    rim = lids[touching & (offset[:, 2] > 0.35 * radius)]
    if len(rim) == 0:
        return np.ones(len(points), np.float32)
    distance, nearest = cKDTree(rim).query(points)
    edge = np.exp(-((distance / _LASH_ROOTS) ** 2))
    upper = smoothstep(-0.003, 0.001, rim[nearest, 1] - centre[1])
    corner = smoothstep(0.0135, 0.0105, np.abs(points[:, 0] - centre[0]))
    return (1.0 - (_LOWER_LASHES + (_UPPER_LASHES - _LOWER_LASHES) * upper) * corner * edge).astype(np.float32)
