"""Eyes: their colours in photos, and their picture in UV map ``Eye``.

``assets/eye.png`` shows an eye whose iris and white are relative to their mean colours. A person's eyes are it times
the colours that photos show, in the shade of lids and lashes.

The picture of both eyes is twice as wide as high; the person's right eye is its left half, as a viewer sees it. In the
middle of each half the map is an orthographic view along the eye's axis, so that the iris stays round. Farther out it
is compressed and covers all that is visible when the eye turns as far as it can.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from backend.geometry.robust_statistics import weighted_median, weighted_quantile
from backend.geometry.vectors import smoothstep
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import LUMINANCE, linear_from_srgb, srgb_bytes
from backend.rendering.interpolate import sample_image
from backend.rig.eye_surfaces import IRIS_RADIUS
from backend.rig.measure import eye_angles
from backend.system.files import ASSETS, made_once
from backend.system.parallel import each
from backend.texture.unwrap import PhotoInView

PICTURE_PATH = ASSETS / "eye.png"
"""One eye in its half of map ``Eye``: half of the colour over its mean, sRGB; opaque on the iris."""
SCLERA = np.array([0.66, 0.61, 0.57])  # linear light; the sclera is darker than paper
IRIS_SHARE = 0.26
"""Radius of the iris (11.7 mm across) as a share of a half's width: with ``EYE_SIDE`` it is 532 px across."""
_FRONT = 0.007
"""Metres from the axis to which the map is an orthographic frontal view; the iris ends at 5.9 mm."""
_WIDEST = np.radians(105.0)
"""Angle from the axis to the image's edge: eyes turn by 40 degrees, and lids show 60 beside the axis."""


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


_BROWN, _PALE = np.log([0.07, 0.034, 0.014]), np.log([0.12, 0.15, 0.17])
"""(3,) log albedo of small irises: brown, as those that no photo shows are, and blue, grey or green."""
_DARKER, _BETWEEN, _UNSURE = 0.5, 0.83, 0.23
"""Log units: an iris is brown, and not pale, if its red over blue, and so much of its darkness beside what is around
it, is above; and how soft that is: logistic regression on 98 portraits in the public domain, labelled by eye, with
irises of 3 to 4 pixels (area under the curve 0.94 there, ten folds, 0.88 on 41 other people). JPEG stores one chroma
for four pixels, so that chroma alone cannot tell."""
_SMALL = (5.0, 9.0)
"""Pixels of an iris's radius from the likely colour alone to the measured one alone."""
_IRIS_LIGHT, _WHITE_LIGHT = 0.7, 0.87
"""Shares in [0, 1] of the light that reach the iris under lid and lashes, and the sclera where it is brightest."""
_LIDS = 0.35
"""Linear albedo of what is brighter than any iris: lids of eyes that are all but shut."""
_WHITES = (0.26, 0.50)
"""Linear albedo, mean over channels: limits of the sclera."""
_TINTED = 0.05
"""Log of red over blue of what is around an iris: less is seen through a tinted lens."""
_LEAST_SHADED = 0.75
"""Quantile over photos of the sclera's brightness; in darker photos lids shade it."""


@dataclass(frozen=True)
class EyeColours:
    """Linear colours ``iris`` (3,) and sclera ``white`` (3,) of a person's eyes."""

    iris: np.ndarray
    white: np.ndarray


@dataclass(frozen=True)
class EyeSample:
    """One eye in one photo: ``iris`` (3,) log albedo and ``around`` it (3,), ``radius`` in pixels, ``white`` the mean
    log albedo of the sclera, NaN where it is not visible; its ``weight``."""

    iris: np.ndarray
    around: np.ndarray
    radius: float
    white: float
    weight: float


def find_eyes(photos: Sequence[PhotoInView], tone: np.ndarray) -> EyeColours:
    """Estimate the eyes' colours from the colour photos, relative to skin of albedo ``tone`` (3,), so that exposure and
    light cancel."""
    samples: list[EyeSample] = []
    for photo in photos:
        used = photo.samples.weight > 0.3
        if not photo.samples.colourless and used.sum() >= 20:
            light = np.median(photo.samples.linear[used], axis=0) / tone
            samples += eye_samples(photo.face, light, photo.samples.trust)
    return eye_colours(samples)


def eye_samples(face: PhotoFace, light: np.ndarray, trust: float = 1.0) -> list[EyeSample]:
    """The eyes that a photo shows under ``light`` (3,), linear. Landmarks 468-472 and 473-477 are the irises' centres
    and four rims each."""
    found = []
    height, width = face.pixels.shape[:2]
    for row in (468, 473):
        centre = face.landmarks[row, :2]
        radius = float(np.linalg.norm(face.landmarks[row + 1 : row + 5, :2] - centre, axis=1).mean())
        if radius < 2.0 or (centre < radius).any() or (centre > (width - radius, height - radius)).any():
            continue
        low = np.maximum(np.floor(centre - 3.5 * radius), 0).astype(int)
        high = np.minimum(np.ceil(centre + 3.5 * radius), (width - 1, height - 1)).astype(int)
        ys, xs = (grid.ravel() for grid in np.mgrid[low[1] : high[1] + 1, low[0] : high[0] + 1])
        across, down = (np.stack([xs, ys], 1) + 0.5 - centre).T / radius
        distance, eye = np.hypot(across, down), face.labels[ys, xs] == FaceClass.EYES
        logs = np.log(np.maximum(linear_from_srgb(face.pixels[ys, xs]), 2e-3) / np.maximum(light, 1e-3))
        iris = logs[eye & (distance > 0.42) & (distance < 0.85) & (down > -0.35)]  # the upper lid shades the top
        if len(iris) < 8:
            continue
        dark, bright = np.quantile(iris.mean(1), (0.25, 0.7))  # no lash, no catchlight
        colour = np.median(iris[(iris.mean(1) >= dark) & (iris.mean(1) <= bright)], axis=0) - np.log(_IRIS_LIGHT)
        if np.exp(colour) @ LUMINANCE > _LIDS:
            continue
        white = np.sort(logs[eye & (distance > 1.15)].mean(1))
        white = white[len(white) * 6 // 10 : len(white) * 9 // 10]  # lids' rims are dark, tear lines bright
        around = logs[(distance > 1.0) & (distance < 2.2)].mean(0)
        if around[0] - around[2] < _TINTED:
            continue
        level = white.mean() - np.log(_WHITE_LIGHT) if len(white) >= 3 else np.nan
        found.append(EyeSample(colour, around, radius, float(level), trust * min(len(iris) / 125.0, 1.0)))
    return found


def eye_colours(samples: Sequence[EyeSample]) -> EyeColours:
    """Combine samples of both eyes of all photos: large irises have their median colour, small ones the likely one; the
    white's level is a high quantile, because brows may shade eyes, but nothing brightens them."""
    iris = _iris(samples) if samples else _BROWN
    whites = [(own.white, own.weight) for own in samples if np.isfinite(own.white)]
    level, hue = np.log(SCLERA).mean(), np.log(SCLERA) - np.log(SCLERA).mean()
    if whites:
        values, weights = np.array(whites).T
        level = np.clip(weighted_quantile(values[:, None], weights, _LEAST_SHADED)[0], *np.log(_WHITES))
    return EyeColours(np.exp(iris), np.exp(level + hue))


def _iris(samples: Sequence[EyeSample]) -> np.ndarray:
    """(3,) log albedo of the irises."""
    weights = np.array([own.weight for own in samples])
    iris, around, radius = (
        np.average([getattr(own, name) for own in samples], axis=0, weights=weights)
        for name in ("iris", "around", "radius")
    )
    darker = _DARKER * (around - iris).mean()
    brown = 1.0 / (1.0 + np.exp((_BETWEEN - iris[0] + iris[2] - darker) / _UNSURE))
    likely = _PALE + brown * (_BROWN - _PALE)
    measured = weighted_median(np.array([own.iris for own in samples]), weights)
    shown = smoothstep(*_SMALL, radius)
    return shown * measured + (1.0 - shown) * likely


EYE_SIDE = 1024
"""Pixels of one eye's half of the image."""
_LID_SHADES = ((1.0, 0.45, 0.0030), (-1.0, 0.22, 0.0012))
"""Up and down: the share of the light that a lid with its lashes blocks at its edge, and metres in which the shade
falls to a third. A render's lids shade the eye, too, but no viewport casts the lashes' shadow, and an eye without one
stares: this is about half of the full shade."""


@dataclass(frozen=True)
class LidEdges:
    """Edges of one eye's lids, metres from the eye's centre: ``upper`` (U, 3) and ``lower`` (L, 3)."""

    upper: np.ndarray
    lower: np.ndarray


@made_once
def _relative_eye() -> tuple[np.ndarray, np.ndarray]:
    """(S, S, 3) float32 colour of an eye over its mean, linear, and (S, S, 1) in [0, 1] of its iris."""
    with Image.open(PICTURE_PATH) as picture:
        pixels = np.asarray(picture)
    return 2.0 * linear_from_srgb(pixels[..., :3]), (pixels[..., 3:] / np.float32(255.0))


def eye_picture(
    colours: EyeColours, radii: tuple[float, float], lids: tuple[LidEdges, LidEdges], side: int = EYE_SIDE
) -> np.ndarray:
    """(side, 2 * side, 3) uint8 sRGB of both eyes; the person's right eye is the left half.

    radii : of the left and the right eyeball, metres. lids : edges of their lids. side : pixels of one half.
    """
    size = (side, side)
    relative, iris = (cv2.resize(one, size, interpolation=cv2.INTER_CUBIC) for one in _relative_eye())
    mixed = colours.white + np.clip(iris, 0.0, 1.0)[..., None] * (colours.iris - colours.white)
    bare = np.maximum(relative * mixed, 0.0).astype(np.float32)

    def half(eye: int) -> np.ndarray:
        own = bare[:, ::-1] if eye else bare
        return srgb_bytes(own * _lid_shade(eye_points(side, radii[eye]), lids[eye]).reshape(*size, 1))

    left, right = each(half, [0, 1])
    return np.concatenate([right, left], axis=1)


def painted_eye(picture: np.ndarray, offsets: np.ndarray, radius: float, left: bool) -> np.ndarray:
    """(N, 3) uint8 sRGB of an ``eye_picture`` at points (N, 3) metres from an eye's centre."""
    height, width = picture.shape[:2]
    u, v = eye_uv(offsets, radius, left).T
    return sample_image(picture, np.stack([u * width, (1.0 - v) * height], 1))


def _lid_shade(points: np.ndarray, lids: LidEdges) -> np.ndarray:
    """(N,) share of the light that lids and lashes let through to eyeball points (N, 3). Points behind the lids get the
    value at the lid's edge."""
    azimuth, elevation, radius = eye_angles(points, np.zeros(3))
    share = np.ones(len(points))
    for lid, (sign, shade, reach) in zip((lids.upper, lids.lower), _LID_SHADES, strict=True):
        edge_azimuth, edge_elevation, _ = eye_angles(lid, np.zeros(3))
        order = np.argsort(edge_azimuth)
        edge = np.interp(azimuth, edge_azimuth[order], edge_elevation[order])
        within = np.maximum(sign * (edge - elevation) * radius, 0.0)
        share *= 1.0 - shade * np.exp(-((within / reach) ** 1.5))
    return share.astype(np.float32)
