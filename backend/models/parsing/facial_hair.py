"""Detection of a moustache and a beard by edges, tones and colours around the mouth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy.ndimage import map_coordinates

from backend.asset_file import read_table
from backend.assets import ASSETS
from backend.models.parsing.edge_strip import edge_strip, eye_line_angle
from backend.photos.faces.crop import face_square
from backend.photos.faces.landmarks import CHIN, landmark_window
from backend.photos.regions.polygons import CHEEK_RIGHT, mirrored, polygon_mask

_SQUARE_PIXELS = 256  # pixels of the face's square, so that blurs have the same width on every face
_NOSE_BASE, _UPPER_LIP, _LOWER_LIP = 2, 13, 17
_LIP_STRIP, _CHIN_STRIP = 0.5, 0.6  # heights of the face; narrow, so that a thin moustache has its own cells
_TONE_WEIGHT = 0.35
"""Weight of tones against edges. With 1, the penalty on weights would hardly act on tones with their larger spread."""
_NOSE_SIDE = (186, 92, 165, 98, 2, 327, 391, 322, 410)
_LIP_SIDE = (61, 185, 40, 37, 0, 267, 270, 409, 291)
_ON_LIP = (0.2, 0.45, 0.7, 0.9)  # from nose to lip
_UNDER_LIP, _JAW = (84, 17, 314), (176, 152, 400)
_ON_CHIN = (0.15, 0.4, 0.7)
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
    """The classifier that ``trainer.classifiers.facial_hair`` trained on hand-labelled portraits."""
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
    lip = edge_strip(near, (places[_NOSE_BASE] + places[_UPPER_LIP]) / 2, _LIP_STRIP * size, angle)
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
        for first, last, parts in ((_NOSE_SIDE, _LIP_SIDE, _ON_LIP), (_UNDER_LIP, _JAW, _ON_CHIN))
        for part in parts
    ]
    at = np.concatenate(points)[:, ::-1].T - 0.5
    found = np.stack([map_coordinates(channel, at, order=1, mode="nearest") for channel in maps], axis=1) - usual
    weights = (_COLOUR_WEIGHT, _COLOUR_WEIGHT, 1.0)
    return np.concatenate([found * weights, np.abs(found[:, 2:])], axis=1).ravel()
