"""Occluders in photos of synthetic skin: hair strands and rims of glasses."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from trainer.data.detail.relief import Cause

DARK = 0.93
"""Share of the light that dark hair and dark frames of glasses absorb."""
_STRAND_WIDTH = (0.3, 0.6)
"""Millimetres, width of a strand: a few hairs side by side, each 0.05 to 0.1 mm thick."""


@dataclass(frozen=True)
class FaceOccluders:
    """Occluders in front of the face, and how far the parsing detects them.

    Attributes
    ----------
    opacity : (N, N) float32 in [0, 1]. weight : (N, N) float32 in [0, 1], how far the parsing labels a texel as skin.
    dark : share of the light that they absorb; negative where they are brighter than the skin behind them.
    """

    opacity: np.ndarray
    weight: np.ndarray
    dark: float = DARK


@dataclass(frozen=True)
class Rims:
    """A frame of glasses, in millimetres.

    Attributes
    ----------
    width : of the frame. half : half the size of a lens, across and down. shift : offset of the lenses from the centres
    of
        the lids, outwards and down. corner : 0 for ellipses, 1 for rectangles. lower : whether the frame has a lower
        rim.
    """

    width: float = 2.0
    half: tuple[float, float] = (24.0, 19.0)
    shift: tuple[float, float] = (0.0, 0.0)
    corner: float = 0.0
    lower: bool = True


@dataclass(frozen=True)
class PersonOccluders:
    """Occluders that one person has in all photos; the strands' positions differ from photo to photo.

    Attributes
    ----------
    strands : greatest number. rims : None for no glasses. dark : see ``FaceOccluders``.
    """

    strands: int
    rims: Rims | None
    dark: float


def draw_things(g: np.random.Generator) -> PersonOccluders:
    """Draw strands, glasses or both. Most are darker than skin; some are brighter, like grey hair and metal."""
    kind = g.random()
    rims = Rims(
        width=float(np.exp(g.uniform(np.log(0.8), np.log(4.5)))),
        half=(float(g.uniform(18, 29)), float(g.uniform(13, 24))),
        shift=(float(g.normal(0, 3)), float(g.normal(2, 4))),
        corner=float(g.random()),
        lower=bool(g.random() < 0.8),
    )
    dark = float(g.uniform(0.4, 0.97)) if g.random() < 0.85 else float(-g.uniform(0.2, 0.8))
    return PersonOccluders(0 if kind < 0.45 else int(g.integers(2, 25)), rims if kind < 0.6 else None, dark)


def missed(g: np.random.Generator, cause: Cause, things: PersonOccluders) -> FaceOccluders:
    """Draw one photo's occluders; the masks miss all of them."""
    size = cause.window.size
    opacity = np.zeros((size, size), np.float32)
    if things.strands:
        opacity = strands(g, cause, int(g.integers(1, things.strands + 1)), hanging=bool(g.random() < 0.6))
    if things.rims is not None:
        frame = rims(cause, things.rims)
        shade = cv2.GaussianBlur(
            _shifted(frame, g.uniform(-4, 4), g.uniform(1, 6), cause), (0, 0), 2 / cause.usual_texel
        )
        opacity = np.maximum.reduce([opacity, frame, np.float32(0.4 * g.random()) * shade])
    return FaceOccluders(opacity, np.ones_like(opacity), things.dark)


def strands(g: np.random.Generator, cause: Cause, count: int, hanging: bool = True) -> np.ndarray:
    """(N, N) in [0, 1]: curved lines, hanging from the upper edge or with random start and direction."""
    size = cause.window.size
    image = np.zeros((size, size), np.float32)
    steps = np.linspace(0, 1, 60)
    for _ in range(count):
        left, length = g.uniform(0.2, 0.8) * size, g.uniform(0.35, 0.7) * size
        bend, swing = g.normal(0, 0.08, 2) * size
        x, y = left + bend * steps + swing * steps**2, 0.05 * size + length * steps
        if not hanging:
            (left, top), angle = g.uniform(0.1, 0.9, 2) * size, g.uniform(0, 2 * np.pi)
            along, aside = length * steps, bend * steps + 3 * swing * steps**2
            x = left + along * np.cos(angle) - aside * np.sin(angle)
            y = top + along * np.sin(angle) + aside * np.cos(angle)
        line = np.zeros_like(image)
        points = (np.stack([x, y], 1) * 16).round().astype(np.int32)
        width = g.uniform(*_STRAND_WIDTH) / cause.usual_texel
        cv2.polylines(line, [points], False, 1.0, max(1, round(width)), cv2.LINE_AA, shift=4)
        image = np.maximum(image, min(width, 1.0) * line)
    return image


def rims(cause: Cause, shape: Rims) -> np.ndarray:
    """(N, N) in [0, 1]: two frames around the eyes and a bridge between them."""
    size = cause.window.size
    image = np.zeros((size, size), np.float32)
    thick = shape.width / cause.usual_texel
    across, down = (value / cause.usual_texel for value in shape.half)
    turn = np.linspace(0, 2 * np.pi, 121)[: 121 if shape.lower else 61] + (0.0 if shape.lower else np.pi)
    power = 1.0 / (1.0 + 3.0 * shape.corner)  # a superellipse of exponent 2 to 8
    ring = np.stack([_signed_power(np.cos(turn), power) * across, _signed_power(np.sin(turn), power) * down], 1)
    inner = []
    for side in ("lids_left", "lids_right"):
        x, y = _centroid(cause, side)
        outwards = 1.0 if x > size / 2 else -1.0
        middle = np.array([x + outwards * shape.shift[0] / cause.usual_texel, y + shape.shift[1] / cause.usual_texel])
        points = ((middle + ring) * 16).round().astype(np.int32)
        cv2.polylines(image, [points], shape.lower, 1.0, max(1, round(thick)), cv2.LINE_AA, shift=4)
        inner.append((round(middle[0] - outwards * across), round(middle[1])))
    cv2.line(image, inner[0], inner[1], 1.0, max(1, round(thick)), cv2.LINE_AA)
    return np.float32(min(thick, 1.0)) * image


def _signed_power(values: np.ndarray, power: float) -> np.ndarray:
    return np.sign(values) * np.abs(values) ** power


def _shifted(image: np.ndarray, right: float, down: float, cause: Cause) -> np.ndarray:
    """Shift the image by millimetres."""
    by = np.array([[1, 0, right / cause.usual_texel], [0, 1, down / cause.usual_texel]], np.float32)
    return cv2.warpAffine(image, by, image.shape[::-1])


def _centroid(cause: Cause, region: str) -> tuple[int, int]:
    """Column and row of a region's centroid in the window."""
    surface = cause.window.surface
    mask = cause.window.image(surface.regions[region][:, None])[..., 0]
    row, column = np.mgrid[: mask.shape[0], : mask.shape[1]]
    return round(float(np.average(column, weights=mask))), round(float(np.average(row, weights=mask)))
