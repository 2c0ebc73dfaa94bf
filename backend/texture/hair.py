"""Hair as a texture: whether there is any, where it grows, its colour, and a short-hair shade on the scalp.

Hair stands off the head, so its pixels hardly ever fall on the scalp's texels. Its colour and amount are therefore
measured in the photos; only the hair line is looked up on the surface.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import LUMINANCE, linear_from_srgb
from backend.rendering.spherical_harmonics import shade
from backend.texture.blend import masked_lowpass
from backend.texture.noise import fractal_noise, gradient_noise
from backend.texture.surface import HeadSurface
from backend.texture.unwrap import PhotoUnwrap, smoothstep

_SKIN_LABELS = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.NECK, FaceClass.EARS)
_SOME_HAIR = 0.04  # hair above the eyes over skin, in pixels: less is a shadow beside a bald head
_AMONG_STRANDS = 0.8  # of the light reaches the strands that are seen
_WORK_SIDE = 256
_BROWS = (105, 334)  # landmarks at the middle of the brows
_UP = np.array([0.0, 0.7, 0.714])


@dataclass(frozen=True)
class PhotoHair:
    """Hair in one photo: ``amount`` relative to the face's skin, ``log_color`` (3,) of its linear albedo or None."""

    amount: float
    log_color: np.ndarray | None


@dataclass(frozen=True)
class HairEvidence:
    """What the photos say of the hair.

    Attributes
    ----------
    cover : (S, S) float32 in [0, 1], 1 where the scalp carries hair; 0 everywhere for bald and unknown heads.
    log_color : (3,) logarithm of its linear albedo.
    """

    cover: np.ndarray
    log_color: np.ndarray


def hair_grows(surface: HeadSurface, positions: np.ndarray) -> np.ndarray:
    """(V,) in [0, 1] where a head may carry hair: on the scalp, high on the face and beside it; what hangs lower is not
    painted. positions : (V, 3) neutral, metres."""
    regions = surface.regions
    brow_height = float(positions[regions["brows"] > 0.5, 1].max())
    height = positions[:, 1] - brow_height
    high = smoothstep(0.022, 0.034, height)
    beside = smoothstep(0.054, 0.064, np.abs(positions[:, 0])) * smoothstep(-0.03, 0.005, height)
    allowed = np.maximum.reduce([regions["scalp"], regions["face"] * high, regions["face"] * beside])
    return allowed * (1.0 - regions["ears"]) * (1.0 - regions["neck"])


def photo_hair(face: PhotoFace, light: np.ndarray) -> PhotoHair:
    """Amount and colour of the hair above the brows in one photo under a light (9, 3)."""
    factor = min(1.0, _WORK_SIDE / max(face.pixels.shape[:2]))
    size = tuple(max(1, round(side * factor)) for side in face.pixels.shape[1::-1])
    labels = cv2.resize(face.labels, size, interpolation=cv2.INTER_NEAREST)
    pixels = cv2.resize(face.pixels, size, interpolation=cv2.INTER_AREA)
    skin = float((labels == FaceClass.SKIN).sum())
    right, left = (face.landmarks[row, :2] * factor for row in _BROWS)
    across = (left - right) / max(float(np.linalg.norm(left - right)), 1e-6)
    ys, xs = np.mgrid[0 : size[1], 0 : size[0]] + 0.5
    above = (xs - right[0]) * across[1] - (ys - right[1]) * across[0] > 0
    hair = (labels == FaceClass.HAIR) & above
    amount = float(hair.sum()) / max(skin, 1.0)
    inner = cv2.erode(hair.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0) > 0
    if inner.sum() < 40:
        return PhotoHair(amount, None)
    lit = np.maximum(shade(_UP[None], light)[0], 0.05)
    linear = np.maximum(linear_from_srgb(pixels[inner]), 2e-3)
    luminance = linear @ np.array(LUMINANCE)
    low, high = np.percentile(luminance, (45, 85))  # strands shade each other, and shine
    log_color = np.log(linear[(luminance >= low) & (luminance <= high)]).mean(0) - np.log(_AMONG_STRANDS * lit)
    if face.monochrome:
        log_color = np.full(3, log_color @ np.array(LUMINANCE))
    return PhotoHair(amount, log_color)


def natural_hair(log_color: np.ndarray) -> np.ndarray:
    """The nearest natural hair colour, log linear (3,): melanins only, from black over brown and red to white."""
    brightness = float(np.clip(log_color.mean(), np.log(0.010), np.log(0.50)))
    green_blue = float(np.clip(log_color[1] - log_color[2], 0.02, 0.75))
    red_green = float(np.clip(log_color[0] - log_color[1], 0.5 * green_blue, 0.65))  # never green
    chroma = np.array([red_green, 0.0, -green_blue])
    return brightness + chroma - chroma.mean()


def hair_evidence(
    hairs: Sequence[PhotoHair],
    unwraps: Sequence[PhotoUnwrap],
    trusts: Sequence[float],
    scalp: np.ndarray,
    allowed: np.ndarray,
    to_image: Callable[[np.ndarray], np.ndarray],
) -> HairEvidence:
    """Put together what the photos say.

    Parameters
    ----------
    hairs, unwraps, trusts : per photo.
    scalp : (P,) prior of hair. allowed : (P,) where a hair label may mean hair that grows there (not a strand over
        the cheek).
    to_image : maps texel values (P, C) to an image (S, S, C).
    """
    amount = _weighted_median(np.array([h.amount for h in hairs]), np.array(trusts))
    known = [(h.log_color, t) for h, t in zip(hairs, trusts, strict=True) if h.log_color is not None]
    hair_votes = np.zeros(len(scalp), np.float32)
    skin_votes = np.zeros(len(scalp), np.float32)
    for unwrap, trust in zip(unwraps, trusts, strict=True):
        hair_votes += np.float32(trust) * unwrap.seen * (unwrap.labels == FaceClass.HAIR)
        skin_votes += np.float32(trust) * unwrap.seen * np.isin(unwrap.labels, _SKIN_LABELS)
    total = hair_votes + skin_votes
    vote = np.where(total > 0.02, hair_votes / np.maximum(total, 1e-6), 0.0)
    voted = np.clip(total * 4.0, 0.0, 1.0)
    stacked = to_image(np.stack([vote, voted, scalp, allowed], 1).astype(np.float32))
    if amount < _SOME_HAIR or not known:
        return HairEvidence(np.zeros(stacked.shape[:2], np.float32), np.log(np.array([0.03, 0.02, 0.014])))
    colors, weights = np.stack([c for c, _ in known]), np.array([t for _, t in known])
    log_color = natural_hair(np.array([_weighted_median(channel, weights) for channel in colors.T]))
    size = stacked.shape[0]
    mean, support = masked_lowpass(stacked[..., :1], stacked[..., 1], size / 60.0)
    sure = np.clip(support * 2.0, 0.0, 1.0)
    cover = (sure * mean[..., 0] + (1.0 - sure) * stacked[..., 2]) * stacked[..., 3]
    cover = _one_piece(cover, stacked[..., 2])
    return HairEvidence(cv2.GaussianBlur(cover, (0, 0), size / 110.0), log_color)


def _one_piece(cover: np.ndarray, scalp: np.ndarray) -> np.ndarray:
    """(S, S) float32 0 or 1: hair without islands on the face and without holes between the hair line and the scalp."""
    size = cover.shape[0]
    hair = (cover > 0.45).astype(np.uint8)
    for operation, radius in (
        (cv2.MORPH_OPEN, size // 100),
        (cv2.MORPH_CLOSE, size // 24),
        (cv2.MORPH_OPEN, size // 60),
    ):
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        hair = cv2.morphologyEx(hair, operation, disc)
    _, pieces = cv2.connectedComponents(hair)
    kept = np.unique(pieces[(scalp > 0.9) & (hair > 0)])
    return (np.isin(pieces, kept) & (hair > 0)).astype(np.float32)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, 0.5 * cumulative[-1])])


def paint_hair(log_albedo: np.ndarray, positions: np.ndarray, cover: np.ndarray, log_color: np.ndarray) -> np.ndarray:
    """Short hair over skin: log albedo (P, 3) with ``cover`` (P,) in [0, 1] of it painted in ``log_color`` (P, 3)."""
    result = log_albedo.astype(np.float32)
    used = np.flatnonzero(cover > 0.05)
    if len(used) == 0:
        return result
    where = positions[used]
    strands = where * np.array([1.0, 0.22, 0.22], np.float32)  # hair falls down and back
    pattern = 0.6 * gradient_noise(strands, 0.0011, 71) + 0.4 * gradient_noise(strands, 0.0005, 72)
    patches = fractal_noise(where, 0.012, 2, 73)
    share = smoothstep(0.15, 0.70, cover[used] + 0.07 * pattern + 0.03 * patches)[:, None] * 0.95
    hair = log_color[used] + (0.16 * pattern + 0.05 * patches)[:, None]
    mixed = (1.0 - share) * np.exp(result[used]) + share * np.exp(hair)
    result[used] = np.log(np.maximum(mixed, 1e-3))
    return result
