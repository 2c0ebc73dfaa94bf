"""Eyes: sclera and iris colours, iris pattern, picture of each eye.

Paint eyeballs without catchlights, and the shadows of lids and lashes.

Extract the irises' pattern from photos: darker and lighter places by angle and radius.

UV map ``Eye``: maps points of the eyeballs into the image of both eyes.

The image is twice as wide as high; the person's right eye is its left half, as a viewer sees it. In the middle of each
half the map is an orthographic view along the eye's axis, so that the iris stays round. Farther out it is compressed
and covers all that is visible when the eye turns as far as it can.

Estimate the colours of irises and sclera from photos, including photos too small to resolve them.

Paint the image of both eyes for UV map ``Eye``: irises of 532 px with the person's colour and pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

from backend.geometry.noise import fractal_noise, gradient_noise
from backend.geometry.robust_statistics import weighted_median, weighted_quantile
from backend.geometry.vectors import smoothstep
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import LUMINANCE, linear_from_srgb, srgb_bytes
from backend.rig.eye_surfaces import IRIS_RADIUS
from backend.rig.measure import eye_angles
from backend.system.parallel import each
from backend.texture.parts import PARTS
from backend.texture.surface import pieces
from backend.texture.unwrap import PhotoInView

PUPIL_RADIUS = 0.0021  # metres; typical of portraits taken indoors
SCLERA = np.array([0.66, 0.61, 0.57])  # linear light; the sclera is darker than paper
_VEIN = np.float32([0.55, 0.20, 0.16])
_LIT_SHARE = 0.8  # share of the light that reaches the middle of the open eye
_UPPER_SHADE, _UPPER_REACH = 0.80, 0.0027  # share blocked at the upper lid's edge; metres in which it falls to a third
_LOWER_SHADE, _LOWER_REACH = 0.45, 0.0012  # the same for the lower lid
_CAUSTIC = 0.35  # gradient by which a cornea brightens the iris's lower half; divided out where one is rendered
_LID_RIM_DISTANCE = 0.0006  # metres: lid skin nearer than this to the eyeball is the lid's rim
_LASH_ROOT_DISTANCE = 0.0022  # metres from the rim to the lash roots
_UPPER_LASHES, _LOWER_LASHES = 0.55, 0.15  # share of the light that lashes block
_PUPIL = np.array([0.004, 0.004, 0.004])


def paint_eyeball(points: np.ndarray, iris: np.ndarray, seed: int, white: np.ndarray = SCLERA) -> np.ndarray:
    """Albedo of an eyeball looking straight ahead.

    Parameters
    ----------
    points : (N, 3) metres relative to the eye's centre of rotation, z out of the face.
    iris : (3,) linear-light iris colour.
    seed : pattern of fibres and veins.
    white : (3,) linear-light colour of the sclera.

    Returns
    -------
    (N, 3) float32 linear light: pupil, iris with fibres, collarette and limbal ring, sclera with faint veins. Contains
    no highlights and no shadows.
    """
    radius = np.hypot(points[:, 0], points[:, 1])  # metres from the optical axis
    limbus = (1.0 - smoothstep(IRIS_RADIUS - 0.0008, IRIS_RADIUS + 0.0006, radius)) * (points[:, 2] > 0)
    colour = np.zeros((len(points), 3), np.float32)
    on_iris, on_sclera = np.flatnonzero(limbus > 0), np.flatnonzero(limbus < 1)  # noise is the slow part
    colour[on_iris] = _iris(points[on_iris], radius[on_iris], iris, seed) * limbus[on_iris, None]
    shown = 1.0 - limbus[on_sclera, None]
    colour[on_sclera] += _sclera(points[on_sclera], radius[on_sclera], white, seed) * shown
    return colour


def _iris(points: np.ndarray, radius: np.ndarray, iris: np.ndarray, seed: int) -> np.ndarray:
    """(N, 3) colour of pupil and iris at points (N, 3) with distances (N,) from the axis."""
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
    return iris_rgb * (1.0 - pupil[:, None]) + _PUPIL * pupil[:, None]


def _sclera(points: np.ndarray, radius: np.ndarray, white: np.ndarray, seed: int) -> np.ndarray:
    """(N, 3) colour of the sclera with veins at points (N, 3) with distances (N,) from the axis."""
    side = np.clip(np.abs(points[:, 0]) / 0.012, 0.0, 1.0)
    away = smoothstep(IRIS_RADIUS + 0.001, 0.011, radius)  # 0 beside the iris, 1 near the canthi
    warp = np.stack([gradient_noise(points, 0.006, seed + 3 + k) for k in range(3)], 1) * 0.0016
    stretched = (points + warp) * np.float32([0.35, 1.0, 0.6])  # veins run from the canthi inwards
    thin = np.exp(-((gradient_noise(stretched, 0.0021, seed + 8) / 0.10) ** 2))
    fine = np.exp(-((gradient_noise(stretched, 0.0011, seed + 9) / 0.12) ** 2))
    vein = np.clip((0.30 * thin + 0.14 * fine) * away * (0.3 + 0.7 * side), 0.0, 0.5)
    sclera = white.astype(np.float32) * (1.0 + 0.015 * fractal_noise(points, 0.004, 2, seed + 10))[:, None]
    sclera = sclera * (1.0 - np.outer(away * side, np.float32([0.05, 0.16, 0.20])))
    sclera = sclera * (1.0 - vein[:, None]) + _VEIN * vein[:, None]
    back = smoothstep(0.0, -0.006, points[:, 2])
    return sclera * (1.0 - 0.5 * back[:, None]) + _VEIN * 0.5 * back[:, None]


def lid_shadow(points: np.ndarray, lids: np.ndarray, centre_height: float) -> np.ndarray:
    """(N,) share of the light that reaches an eyeball's points (N, 3) past lids and lashes in the resting pose.

    It is baked into the eye's colour because neither a viewport nor a game engine casts the lashes' shadow, and an eye
    without it stares. lids : (L, 3) the lids' skin; centre_height : y of the eye's centre, metres.
    """
    upper = lids[:, 1] > centre_height
    share = np.full(len(points), _LIT_SHARE)
    for lid, shade, reach in ((lids[upper], _UPPER_SHADE, _UPPER_REACH), (lids[~upper], _LOWER_SHADE, _LOWER_REACH)):
        if len(lid) > 0:
            distance, _ = cKDTree(lid).query(points)
            share *= 1.0 - shade * np.exp(-((distance / reach) ** 1.5))
    return share.astype(np.float32)


def lash_line(points: np.ndarray, lids: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """(N,) share of the light that reaches skin at points (N, 3) past the lash roots in the resting pose.

    Projected photos can be a millimetre off at the lids and lose the dark line at their edge; without it eyes look cut
    out. lids : (L, 3) the lids' skin; centre (3,), radius : of the eyeball, metres.
    """
    offset = lids - centre
    touching = np.abs(np.linalg.norm(offset, axis=1) - radius) < _LID_RIM_DISTANCE
    rim = lids[touching & (offset[:, 2] > 0.35 * radius)]
    if len(rim) == 0:
        return np.ones(len(points), np.float32)
    distance, nearest = cKDTree(rim).query(points)
    edge = np.exp(-((distance / _LASH_ROOT_DISTANCE) ** 2))
    upper = smoothstep(-0.003, 0.001, rim[nearest, 1] - centre[1])
    corner = smoothstep(0.0135, 0.0105, np.abs(points[:, 0] - centre[0]))
    return (1.0 - (_LOWER_LASHES + (_UPPER_LASHES - _LOWER_LASHES) * upper) * corner * edge).astype(np.float32)


ANGLES, RADII = 96, 24
"""Samples of a pattern around the iris and from its middle to its rim; a quarter of a millimetre along the radius."""
IRIS_ROWS = (473, 468)
"""Landmarks of the iris centres, left and right; the next four of each lie on its rim."""
_BLURRED, _SHARP = 14.0, 30.0
"""Iris radii in px: up to the first a photo shows only lid, lashes and light, not the pattern; from the second on it
resolves a third of a millimetre."""
_CONTRAST_LIMIT = 0.6  # log units: limit of the pattern's contrast; more is a reflection or a lash
_SHADED_FROM = 0.25  # height above the middle, in radii, from which lid and lashes shade the iris
_GLINT = 0.8  # log units above the iris's median that mark a lamp's reflection


@dataclass(frozen=True)
class IrisPattern:
    """Pattern of one iris, measured from photos.

    Attributes
    ----------
    tone : (RADII, ANGLES, 3) float32 log colour relative to the iris's own, row 0 in the middle; angles counter-
        clockwise from the right as seen by a viewer.
    confidence : (RADII, ANGLES) float32 confidence in [0, 1]; 0 where no photo is sharp enough.
    """

    tone: np.ndarray
    confidence: np.ndarray

    def at(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3) tone and (N,) confidence at points of the iris, in units of its radius, y up."""
        angle = np.arctan2(y, x) / (2 * np.pi) * ANGLES - 0.5
        rows = np.clip(np.hypot(x, y) * RADII - 0.5, 0, RADII - 1)
        fields = np.concatenate([self.tone, self.confidence[..., None]], -1)
        fields = np.concatenate([fields[:, -2:], fields, fields[:, :2]], 1)  # angles are periodic
        where = np.stack([rows, np.mod(angle, ANGLES) + 2.0])
        found = np.stack([map_coordinates(fields[..., k], where, order=1, mode="nearest") for k in range(4)], -1)
        return found[:, :3], found[:, 3]


NO_PATTERN = IrisPattern(np.zeros((RADII, ANGLES, 3), np.float32), np.zeros((RADII, ANGLES), np.float32))


def iris_patterns(photos: Sequence[PhotoInView]) -> tuple[IrisPattern, IrisPattern]:
    """Patterns of the left and the right iris from the colour photos; ``NO_PATTERN`` where no iris is large enough."""
    found = []
    for row in IRIS_ROWS:
        tone, weight = np.zeros((RADII, ANGLES, 3)), np.zeros((RADII, ANGLES))
        for photo in photos:
            if photo.samples.colourless:
                continue
            own = one_pattern(photo.face, row)
            if own is not None:
                share = own.confidence * photo.samples.trust
                tone += share[..., None] * own.tone
                weight += share
        if weight.max() < 1e-3:
            found.append(NO_PATTERN)
            continue
        mean = tone / np.maximum(weight, 1e-3)[..., None]
        seen = np.clip(weight / max(0.5 * float(weight.max()), 0.15), 0.0, 1.0)
        found.append(IrisPattern(mean.astype(np.float32), gaussian_filter(seen, 1.0, mode=("nearest", "wrap"))))
    return found[0], found[1]


def one_pattern(face: PhotoFace, row: int) -> IrisPattern | None:
    """Pattern of the iris around landmark ``row`` in one photo; None if too small, outside the image, or hidden."""
    marks = face.landmarks[row : row + 5, :2].astype(np.float64)
    centre = marks[0]
    radius = np.linalg.norm(marks[1:] - centre, axis=1)
    sharp = float(smoothstep(_BLURRED, _SHARP, radius.mean()))
    height, width = face.pixels.shape[:2]
    if sharp <= 0.0 or (centre < radius.max()).any() or (centre > (width - radius.max(), height - radius.max())).any():
        return None
    across, up = radius[[0, 2]].mean(), radius[[1, 3]].mean()
    if abs(marks[1] - centre)[1] > abs(marks[1] - centre)[0]:  # the rim's landmarks may begin at the top
        across, up = up, across
    angle = (np.arange(ANGLES) + 0.5) / ANGLES * 2 * np.pi
    share = (np.arange(RADII) + 0.5) / RADII
    x, y = share[:, None] * np.cos(angle), share[:, None] * np.sin(angle)
    columns = (centre[0] + across * x - 0.5).astype(np.float32)
    rows = (centre[1] - up * y - 0.5).astype(np.float32)
    linear = cv2.remap(linear_from_srgb(face.pixels), columns, rows, cv2.INTER_LINEAR)
    labels = cv2.remap((face.labels == FaceClass.EYES).astype(np.float32), columns, rows, cv2.INTER_LINEAR)
    log = np.log(np.maximum(linear, 2e-3))
    ring = (labels > 0.9) & (share[:, None] > 0.45) & (share[:, None] < 0.9) & (y < _SHADED_FROM)
    if ring.sum() < 0.2 * ANGLES * RADII * 0.45:
        return None
    middle = np.median(log[ring], axis=0)
    light = np.log(np.maximum(linear @ np.array(LUMINANCE), 2e-3))
    glint = (light > np.log(np.exp(middle) @ np.array(LUMINANCE)) + _GLINT).astype(np.float32)
    glint = cv2.dilate(np.concatenate([glint[:, -4:], glint, glint[:, :4]], 1), np.ones((5, 5)))[:, 4:-4]
    clear = (labels > 0.9) * (1.0 - glint) * smoothstep(_SHADED_FROM + 0.35, _SHADED_FROM - 0.1, y)
    inside = smoothstep(0.30, 0.42, share) * smoothstep(0.97, 0.88, share)  # pupil and rim are painted
    tone = np.clip(log - middle, -_CONTRAST_LIMIT, _CONTRAST_LIMIT)
    seen = (sharp * clear * inside[:, None]).astype(np.float32)
    slope = (seen * y * tone.mean(-1)).sum() / max((seen * y * y).sum(), 1e-6)
    tone = tone - (slope * y)[..., None]  # removes the gradient of light from above
    return IrisPattern(tone.astype(np.float32), seen)


IRIS_SHARE = 0.26
"""Radius of the iris (11.7 mm across) as a share of a half's width: with ``EYE_SIDE`` it is 532 px across."""
_FRONT = 0.007
"""Metres from the axis to which the map is an orthographic frontal view; the iris ends at 5.9 mm."""
_WIDEST = np.radians(105.0)
"""Angle from the axis to the image's edge: eyes turn by 40 degrees, and lids show 60 beside the axis."""
_BEYOND = np.radians(10.0)
"""Painted beyond it, 28 texels, for smaller copies of the picture; its corners, a seventh of it, are not."""


def eye_uv(offsets: np.ndarray, radius: float, left: bool) -> np.ndarray:
    """(N, 2) float32 UVs in map ``Eye``, v up, of points (N, 3) metres from the centre of an eye that looks along z."""
    theta = np.arctan2(np.hypot(offsets[:, 0], offsets[:, 1]), offsets[:, 2])
    across = np.maximum(np.hypot(offsets[:, 0], offsets[:, 1]), 1e-9)
    distance = _from_axis(theta, radius)
    place = 0.5 + distance[:, None] * offsets[:, :2] / across[:, None]
    return np.stack([0.5 * (place[:, 0] + left), place[:, 1]], 1).astype(np.float32)


def eye_points(side: int, radius: float) -> np.ndarray:
    """(side * side, 3) float32 points on the eyeball at one half's texels, metres from its centre; row 0 is the top."""
    ticks = (np.arange(side) + 0.5) / side - 0.5
    x, y = (grid.ravel() for grid in np.meshgrid(ticks, -ticks))
    distance = np.hypot(x, y)
    edge, slope = _corner(radius)
    start = _from_axis(edge, radius)
    inner = np.arcsin(np.clip(distance * IRIS_RADIUS / IRIS_SHARE / radius, 0.0, 1.0))
    theta = np.where(distance < start, inner, edge + (distance - start) / slope)
    theta = np.minimum(theta, np.pi)
    across = np.maximum(distance, 1e-9)
    sine = np.sin(theta)
    return (radius * np.stack([sine * x / across, sine * y / across, np.cos(theta)], 1)).astype(np.float32)


def _from_axis(theta: np.ndarray | float, radius: float) -> np.ndarray:
    """Distance from a half's middle, as a share of its width, at an angle from the axis (radians)."""
    edge, slope = _corner(radius)
    start = IRIS_SHARE * _FRONT / IRIS_RADIUS
    front = IRIS_SHARE * radius * np.sin(np.minimum(theta, edge)) / IRIS_RADIUS
    return np.where(theta < edge, front, np.minimum(start + slope * (theta - edge), 0.5))


def _corner(radius: float) -> tuple[float, float]:
    """The angle (radians) where the frontal view ends, and the map's slope beyond it."""
    edge = float(np.arcsin(_FRONT / radius))
    return edge, (0.5 - IRIS_SHARE * _FRONT / IRIS_RADIUS) / (_WIDEST - edge)


_IRIS_FAMILY = np.array(  # linear: very dark brown, brown, hazel, green, grey, blue
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
_BLUE_GREY, _GREEN_GREY = np.array([0.115, 0.150, 0.180]), np.array([0.125, 0.130, 0.085])


@dataclass(frozen=True)
class EyeColours:
    """Linear colours ``iris`` (3,) and sclera ``white`` (3,) of a person's eyes."""

    iris: np.ndarray
    white: np.ndarray


@dataclass(frozen=True)
class WhiteSample:
    """One photo's estimate of the sclera: linear albedo ``colour`` (3,), ``confidence`` 0-1."""

    colour: np.ndarray
    confidence: float


@dataclass(frozen=True)
class IrisSample:
    """One photo's estimate of the irises.

    colour : (3,) linear-light albedo. confidence : 0-1. radius : of the iris, px.
    against_white : log ratio of the iris's luminance to the sclera's; None where the sclera is not visible.
    warmth : log of red over blue, minus that of the iris's surroundings.
    """

    colour: np.ndarray
    confidence: float
    radius: float
    against_white: float | None
    warmth: float


@dataclass(frozen=True)
class _Eye:
    """Pixels around one iris: ``linear`` light (N, 3), ``position`` (N, 2) in units of its ``radius`` (px), y down, and
    ``labels`` (N,)."""

    linear: np.ndarray
    position: np.ndarray
    labels: np.ndarray
    radius: float

    @property
    def distance(self) -> np.ndarray:
        """(N,) from the iris's centre, in radii."""
        return np.hypot(self.position[:, 0], self.position[:, 1])

    def white(self, fewest: int) -> tuple[np.ndarray, int] | None:
        """(3,) mean linear colour of the sclera and its pixel count; None with fewer than ``fewest`` pixels."""
        white = self.linear[(self.distance > 1.15) & (self.labels == FaceClass.EYES)]
        count = len(white)
        if count < fewest:
            return None
        rising = white[np.argsort(white @ LUMINANCE)]  # trimmed: lid rims and corners are dark, tear lines bright
        return rising[count * 6 // 10 : count * 9 // 10].mean(axis=0), count


def find_eyes(photos: Sequence[PhotoInView], tone: np.ndarray) -> EyeColours:
    """Estimate the eyes' colours from the colour photos, relative to skin of albedo ``tone`` (3,), so that exposure and
    light cancel."""
    irises: list[IrisSample] = []
    whites: list[WhiteSample] = []
    for photo in photos:
        used = photo.samples.weight > 0.3
        if photo.samples.colourless or used.sum() < 20:
            continue
        falling = np.median(photo.samples.linear[used], axis=0) / tone
        iris, white = iris_sample(photo.face, falling), white_sample(photo.face, falling)
        if iris is not None:
            irises.append(replace(iris, confidence=iris.confidence * photo.samples.trust))
        if white is not None:
            whites.append(replace(white, confidence=white.confidence * photo.samples.trust))
    return EyeColours(iris_colour(irises), white_colour(whites))


def _eyes_of(face: PhotoFace) -> list[_Eye]:
    """Pixels of the eyes that are large enough and inside the image."""
    eyes = []
    height, width = face.pixels.shape[:2]
    for centre_row in (468, 473):
        centre = face.landmarks[centre_row, :2]
        radius = float(np.linalg.norm(face.landmarks[centre_row + 1 : centre_row + 5, :2] - centre, axis=1).mean())
        if radius < 2.0 or (centre < radius).any() or (centre > (width - radius, height - radius)).any():
            continue
        x0, y0 = np.maximum(np.floor(centre - PARTS.eye_reach * radius), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(centre + PARTS.eye_reach * radius), (width - 1, height - 1)).astype(int)
        ys, xs = (grid.ravel() for grid in np.mgrid[y0 : y1 + 1, x0 : x1 + 1])
        place = (np.stack([xs, ys], 1) + 0.5 - centre) / radius
        eyes.append(_Eye(linear_from_srgb(face.pixels[ys, xs]), place, face.labels[ys, xs], radius))
    return eyes


def iris_sample(face: PhotoFace, shading: np.ndarray) -> IrisSample | None:
    """Estimate the iris albedo from one photo; None without a large and clear iris.

    face : the photo; landmarks 468-472 and 473-477 are the irises' centres and four rims each.
    shading : (3,) linear light on the surrounding skin; divides the colour.
    """
    found, areas, radii, against, warmth = [], [], [], [], []
    for eye in _eyes_of(face):
        ring = (eye.distance > 0.42) & (eye.distance < 0.85) & (eye.labels == FaceClass.EYES)
        ring &= eye.position[:, 1] > -0.35  # the upper lid shades the top
        if ring.sum() < 8:
            continue
        linear = eye.linear[ring]  # (n, 3)
        order = np.argsort(linear @ LUMINANCE)
        middle = order[len(order) // 4 : max(len(order) * 7 // 10, len(order) // 4 + 1)]  # no catchlight, no lash
        colour = np.median(linear[middle], axis=0)
        around = eye.linear[(eye.distance > PARTS.around_iris[0]) & (eye.distance < PARTS.around_iris[1])].mean(axis=0)
        if _warmth(around / np.maximum(shading, 1e-3)) < PARTS.tinted:
            continue
        if (white := eye.white(PARTS.fewest_beside)) is not None:
            ratio = np.log(max(colour @ LUMINANCE, 1e-3) / max(white[0] @ LUMINANCE, 1e-3))
            if ratio > PARTS.lids_against_white:
                continue
            against.append(ratio)
        found.append(colour)
        areas.append(ring.sum())
        radii.append(eye.radius)
        warmth.append(_warmth(colour) - _warmth(around))
    if not found:
        return None
    albedo = np.average(found, axis=0, weights=areas) / np.maximum(PARTS.iris_light * shading, 1e-3)
    if albedo @ LUMINANCE > PARTS.no_iris:
        return None
    return IrisSample(
        colour=albedo,
        confidence=float(np.clip(sum(areas) / 250.0, 0.05, 1.0)),
        radius=float(np.mean(radii)),
        against_white=float(np.mean(against)) if against else None,
        warmth=float(np.mean(warmth)),
    )


def _warmth(colour: np.ndarray) -> float:
    """Log of red over blue of (3,) linear light."""
    return float(np.log(max(colour[0], 1e-3) / max(colour[2], 1e-3)))


def white_sample(face: PhotoFace, shading: np.ndarray) -> WhiteSample | None:
    """Estimate the sclera's albedo from one photo; parameters as for ``iris_sample``."""
    found, areas = [], []
    for eye in _eyes_of(face):
        if (white := eye.white(PARTS.fewest_white)) is not None:
            found.append(white[0])
            areas.append(white[1])
    if not found:
        return None
    colour = np.average(found, axis=0, weights=areas) / np.maximum(PARTS.white_light * shading, 1e-3)
    return WhiteSample(colour, float(np.clip(sum(areas) / 500.0, 0.05, 1.0)))


def white_colour(samples: Sequence[WhiteSample]) -> np.ndarray:
    """Combine the photos' samples into one sclera colour (3,), linear light; ``SCLERA`` without samples.

    Brightness is a high quantile, bounded: brows may shade eyes, but nothing brightens them. The hue is that of
    ``SCLERA``, drawn a third of the way to the photos'."""
    if not samples:
        return SCLERA.copy()
    colours = np.log(np.clip(np.array([sample.colour for sample in samples]), 0.02, 1.0))  # (n, 3)
    weights = np.array([sample.confidence for sample in samples])
    level = float(weighted_quantile(colours.mean(1, keepdims=True), weights, PARTS.least_shaded)[0])
    hue = np.average(colours - colours.mean(1, keepdims=True), axis=0, weights=weights)
    own = np.log(SCLERA)
    level = float(np.clip(level, *np.log(PARTS.white_range)))
    return np.exp(level + 0.33 * hue + 0.67 * (own - own.mean()))


def iris_colour(samples: Sequence[IrisSample]) -> np.ndarray:
    """Combine the photos' samples into one iris colour (3,), linear light; brown without samples.

    Large irises give their measured colour. For small ones the colour is the most likely one given brightness and
    warmth. In between the two are blended.
    """
    if not samples:
        return DEFAULT_IRIS.copy()
    weights = np.array([sample.confidence for sample in samples])
    radius = np.average([sample.radius for sample in samples], weights=weights)
    shown = float(smoothstep(PARTS.iris_too_small, PARTS.iris_large_enough, radius))
    return np.exp(shown * _log_measured(samples) + (1 - shown) * _log_likely(samples))


def _log_measured(samples: Sequence[IrisSample]) -> np.ndarray:
    """(3,) log colour: weighted median, drawn a third of the way to the nearest natural iris colour."""
    colours = np.log(np.clip(np.array([sample.colour for sample in samples]), 2e-3, 1.0))  # (n, 3)
    # brighter samples are lids or sclera
    too_bright = np.clip(colours.mean(1) - np.log(PARTS.brightest_iris), 0.0, None)
    weights = np.array([sample.confidence for sample in samples]) * np.exp(-3.0 * too_bright)
    if weights.max() < 0.03:
        return np.log(DEFAULT_IRIS)
    median = weighted_median(colours, weights)
    family = np.log(_IRIS_FAMILY)
    fine = np.concatenate([a + np.linspace(0, 1, 17)[:, None] * (b - a) for a, b in pairwise(family)])
    chroma = np.array([[1.0, -1.0, 0.0], [0.5, 0.5, -1.0]])
    cost = 0.3 * (fine.mean(1) - median.mean()) ** 2 + (((fine - median) @ chroma.T) ** 2).sum(1)
    nearest = fine[np.argmin(cost)]
    blended = 0.65 * median + 0.35 * nearest
    return blended - blended.mean() + np.clip(blended.mean(), np.log(0.010), np.log(PARTS.brightest_iris))


def _log_likely(samples: Sequence[IrisSample]) -> np.ndarray:
    """(3,) log colour of irises too small to resolve: a logistic mix of brown and light, from their luminance, their
    ratio to the sclera, and their warmth relative to the surroundings."""
    weights = np.array([sample.confidence for sample in samples])
    luminance, white, warmth = np.average(
        [
            [
                np.log(max(sample.colour @ LUMINANCE, 1e-3)),
                PARTS.usual_against_white if sample.against_white is None else sample.against_white,
                sample.warmth,
            ]
            for sample in samples
        ],
        axis=0,
        weights=weights,
    )
    odds = (
        PARTS.light_offset
        + PARTS.light_by_luminance * luminance
        + PARTS.light_by_white * white
        + PARTS.light_by_warmth * warmth
    )
    photos = float(weights.sum() ** 2 / (weights**2).sum())
    light = 1.0 / (1.0 + np.exp(-odds * PARTS.most_sure * photos / (photos + PARTS.few_photos)))
    green = np.clip((warmth - PARTS.cool) / (PARTS.warm - PARTS.cool), 0.0, 1.0)
    hues = (np.log(_IRIS_FAMILY[1]), green * np.log(_GREEN_GREY) + (1 - green) * np.log(_BLUE_GREY))
    brown, pale = (
        hue - np.log(np.exp(hue) @ LUMINANCE) + np.clip(luminance, *np.log(bounds))
        for hue, bounds in zip(hues, (PARTS.brown_luminance, PARTS.light_luminance), strict=True)
    )
    return (1 - light) * brown + light * pale


EYE_SIDE = 1024
"""Pixels of one eye's half of the image."""
_EYE_PICTURE_UPPER_SHADE, _EYE_PICTURE_UPPER_REACH = 0.45, 0.0030
"""Share of the light that upper lid and lashes block at the lid's edge, and metres in which the shadow falls to a
third. A render's lids shade the eye too, but no viewport casts the lashes' shadow, and an eye without one stares. This
is about half of the full shadow."""
_EYE_PICTURE_LOWER_SHADE, _EYE_PICTURE_LOWER_REACH = 0.22, 0.0012  # the same for the lower lid
_FIBRES = ((0.035, 0.20, 31), (0.016, 0.16, 32))
"""Iris fibres that only the eyes' own image resolves: width around the iris in radii, log units, seed."""
_CRYPTS = 0.22  # log units by which the gaps between fibres are darker
_RING = 0.75  # log units by which the limbal ring is darker than the iris


@dataclass(frozen=True)
class LidEdges:
    """Edges of one eye's lids, metres from the eye's centre: ``upper`` (U, 3) and ``lower`` (L, 3)."""

    upper: np.ndarray
    lower: np.ndarray


def eye_picture(
    colours: EyeColours,
    patterns: tuple[IrisPattern, IrisPattern],
    radii: tuple[float, float],
    lids: tuple[LidEdges, LidEdges],
    side: int = EYE_SIDE,
) -> np.ndarray:
    """Paint both eyes.

    Parameters
    ----------
    colours : of irises and sclera. patterns : of the left and the right iris. radii : of the two eyeballs, metres.
    lids : edges of the left and the right eye's lids.
    side : pixels of one half.

    Returns
    -------
    (side, 2 * side, 3) uint8 sRGB; the person's right eye is the left half.
    """

    def half(eye: int) -> np.ndarray:
        points = eye_points(side, radii[eye])
        picture = np.full((len(points), 3), srgb_bytes(colours.white))
        mapped = np.flatnonzero(points[:, 2] > radii[eye] * np.cos(_WIDEST + _BEYOND))
        for piece in pieces(len(mapped)):
            texels = mapped[piece]
            picture[texels] = _painted_eye(points[texels], eye, colours, patterns[eye], lids[eye])
        return picture.reshape(side, side, 3)

    left, right = each(half, [0, 1])
    return np.concatenate([right, left], axis=1)


def _painted_eye(points: np.ndarray, eye: int, colours: EyeColours, pattern: IrisPattern, lids: LidEdges) -> np.ndarray:
    """(N, 3) uint8 sRGB of one eye's points (N, 3), metres from its centre."""
    linear = paint_eyeball(points, colours.iris, 5 + eye, colours.white)
    near = np.flatnonzero((points[:, 2] > 0) & (np.hypot(points[:, 0], points[:, 1]) < 1.15 * IRIS_RADIUS))
    linear[near] *= np.exp(_close_up(points[near], pattern, 40 + 10 * eye))
    return srgb_bytes(linear * _lid_shade(points, lids)[:, None])


def _lid_shade(points: np.ndarray, lids: LidEdges) -> np.ndarray:
    """(N,) share of the light that lids and lashes let through to eyeball points (N, 3). Points behind the lids get the
    value at the lid's edge."""
    azimuth, elevation, radius = eye_angles(points, np.zeros(3))
    share = np.ones(len(points))
    for lid, sign, shade, reach in (
        (lids.upper, 1.0, _EYE_PICTURE_UPPER_SHADE, _EYE_PICTURE_UPPER_REACH),
        (lids.lower, -1.0, _EYE_PICTURE_LOWER_SHADE, _EYE_PICTURE_LOWER_REACH),
    ):
        edge_azimuth, edge_elevation, _ = eye_angles(lid, np.zeros(3))
        order = np.argsort(edge_azimuth)
        smooth = CubicSpline(*_without_near_duplicates(edge_azimuth[order], edge_elevation[order]))
        edge = smooth(np.clip(azimuth, edge_azimuth.min(), edge_azimuth.max()))
        within = np.maximum(sign * (edge - elevation) * radius, 0.0)
        share *= 1.0 - shade * np.exp(-((within / reach) ** 1.5))
    return share


def _without_near_duplicates(places: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop entries closer than 1e-4 to the one before, from ascending places (N,) and their values."""
    kept = np.concatenate([[True], np.diff(places) > 1e-4])
    return places[kept], values[kept]


def _close_up(points: np.ndarray, pattern: IrisPattern, seed: int) -> np.ndarray:
    """(N, 3) log units added to the painted iris at points (N, 3): fibres, crypts, limbal ring, and the pattern from
    photos."""
    across = np.hypot(points[:, 0], points[:, 1])
    angle = np.arctan2(points[:, 1], points[:, 0])
    relative = np.clip((across - PUPIL_RADIUS) / (IRIS_RADIUS - PUPIL_RADIUS), 0.0, 1.0)
    place = np.stack([np.cos(angle), np.sin(angle), 0.22 * relative], 1)
    fibres = sum(size * gradient_noise(place, width, seed + number) for width, size, number in _FIBRES)
    wavy = np.stack([np.cos(angle), np.sin(angle), 0.9 * relative], 1)
    crypts = -_CRYPTS * smoothstep(0.25, 0.6, gradient_noise(wavy, 0.17, seed + 33)) * smoothstep(0.7, 0.3, relative)
    inside = smoothstep(0.02, 0.10, relative) * smoothstep(1.0, 0.90, across / IRIS_RADIUS)
    ring = -_RING * np.exp(-(((across / IRIS_RADIUS - 0.97) / 0.07) ** 2))
    even = -np.log(1.0 - _CAUSTIC * points[:, 1] / IRIS_RADIUS) * smoothstep(1.05, 0.95, across / IRIS_RADIUS)
    tone, seen = pattern.at(points[:, 0] / IRIS_RADIUS, points[:, 1] / IRIS_RADIUS)
    made = (fibres + crypts) * inside + ring + even
    return made[:, None] + tone * seen[:, None]
