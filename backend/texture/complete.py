"""What no photo shows: the mirrored side, then plausible skin, hair on the scalp, the insides of mouth and nose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from backend.photos.collection import FaceClass
from backend.rendering.color import LUMINANCE
from backend.texture.blend import masked_lowpass, push_pull
from backend.texture.noise import fractal_noise, gradient_noise
from backend.texture.tone import HAEMOGLOBIN_DENSITY
from backend.texture.unwrap import PhotoUnwrap, smoothstep

_SKIN_LABELS = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.NECK, FaceClass.EARS)
PORE_OCTAVES = (0.0016, 0.0008, 0.0004)  # metres
_DEFAULT_HAIR = np.log(np.array([0.030, 0.020, 0.014]))
MOUTH_FRONT = np.array([0.36, 0.13, 0.115])
MOUTH_BACK = np.array([0.10, 0.028, 0.026])


@dataclass(frozen=True)
class HairEvidence:
    """What the photos say of the hair.

    Attributes
    ----------
    cover : (S, S) float32 in [0, 1], 1 where the scalp carries hair.
    log_color : (3,) logarithm of its linear albedo.
    known : False when no photo showed any.
    """

    cover: np.ndarray
    log_color: np.ndarray
    known: bool


def pigment_prior(regions: Mapping[str, np.ndarray]) -> np.ndarray:
    """(V, 3) log offsets from plain skin where photos say nothing: redder lips, ears, nose and lid margins."""
    haemoglobin = 1.1 * regions["lips"] + 0.12 * regions["ears"] + 0.10 * regions["nose"]
    haemoglobin = haemoglobin + 0.15 * np.maximum(regions["lids_left"], regions["lids_right"])
    return -haemoglobin[:, None] * HAEMOGLOBIN_DENSITY - 0.12 * regions["lips"][:, None]


def fill_from_mirror(image: np.ndarray, cover: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the other side of the face where this one is unseen.

    image : (R, R, C) in a UV chart that is its own mirror image; cover : (R, R) in [0, 1].

    Returns
    -------
    The filled image, and the coverage that it now has.
    """
    other, other_cover = image[:, ::-1], cover[:, ::-1]
    take = (1.0 - cover) * other_cover
    total = cover + take
    filled = (image * cover[..., None] + other * take[..., None]) / np.maximum(total, 1e-6)[..., None]
    return filled.astype(np.float32), total.astype(np.float32)


def fill_gaps(image: np.ndarray, cover: np.ndarray, prior: np.ndarray, reach: float) -> np.ndarray:
    """Narrow gaps from their surroundings, wide ones from ``prior``.

    image, prior : (R, R, C); cover : (R, R) in [0, 1]; reach : texels over which surroundings have a say.
    """
    around = push_pull(image - prior, cover)  # what the surroundings add to the prior
    _, support = masked_lowpass(cover[..., None], cover, reach)
    near = smoothstep(0.03, 0.35, support)[..., None]
    return (
        prior + image * cover[..., None] - prior * cover[..., None] + around * near * (1 - cover)[..., None]
    ).astype(np.float32)


def pore_noise(positions: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    """(P, 3) float32 log detail of skin at positions (P, 3) metres with a given standard deviation of brightness."""
    noise = sum(gradient_noise(positions, wave, seed + k) for k, wave in enumerate(PORE_OCTAVES))
    noise = noise * np.float32(deviation / np.sqrt(len(PORE_OCTAVES)))
    return noise[:, None] * np.array([0.85, 1.05, 1.10], np.float32)


def pore_deviation(high: np.ndarray, mask: np.ndarray) -> float:
    """Robust standard deviation of fine detail's brightness (R, R, 3) where ``mask`` (R, R); bounded."""
    values = high[mask].mean(1)
    if len(values) < 500:
        return 0.03
    return float(np.clip(1.4826 * np.median(np.abs(values - np.median(values))), 0.012, 0.06))


def hair_evidence(
    unwraps: Sequence[PhotoUnwrap],
    log_fields: Sequence[np.ndarray],
    monochrome: Sequence[bool],
    scalp: np.ndarray,
    allowed: np.ndarray,
    log_skin: np.ndarray,
    to_image,
) -> HairEvidence:
    """Vote on where there is hair, and what colour it has.

    Parameters
    ----------
    log_fields : per photo (P, 3) logarithm of what to divide its linear light by.
    monochrome : per photo.
    scalp : (P,) prior of hair. allowed : (P,) where a hair label may mean hair that grows there (not a strand over
        the cheek). log_skin : (3,).
    to_image : maps (P, C) texel values to an image (S, S, C).
    """
    hair_votes = np.zeros(len(scalp), np.float32)
    skin_votes = np.zeros(len(scalp), np.float32)
    labelled = any((u.labels == FaceClass.HAIR).any() for u in unwraps)
    colours, weights = [], []
    for unwrap, field, grey in zip(unwraps, log_fields, monochrome, strict=True):
        hair = unwrap.labels == FaceClass.HAIR
        if not labelled:  # no parsing net: whatever of the person is on the scalp
            hair = (unwrap.labels == FaceClass.OCCLUDER) & (scalp > 0.5)
        hair_votes += unwrap.seen * hair
        skin_votes += unwrap.seen * np.isin(unwrap.labels, _SKIN_LABELS)
        sure = hair & (unwrap.seen > 0.5) & (allowed > 0.5)
        if sure.sum() > 200:
            log_color = np.median(np.log(np.maximum(unwrap.linear[sure], 2e-3)) - field[sure], axis=0)
            if grey:
                log_color = np.full(3, log_color @ np.array(LUMINANCE)) + np.array([0.12, 0.0, -0.12])
            colours.append(log_color)
            weights.append(float(sure.sum()))
    known = bool(colours)
    log_color = np.average(colours, axis=0, weights=weights) if known else _DEFAULT_HAIR
    bald = known and float(np.abs(log_color - log_skin).max()) < 0.35 and not labelled
    log_color = np.clip(log_color, np.log(0.006), np.log(0.55))
    total = hair_votes + skin_votes
    vote = np.where(total > 0.05, hair_votes / np.maximum(total, 1e-6), 0.0)
    voted = np.clip(total, 0.0, 1.0)
    stacked = to_image(np.stack([vote, voted, scalp, allowed, np.ones_like(scalp)], 1).astype(np.float32))
    size = stacked.shape[0]
    mean, support = masked_lowpass(stacked[..., :1], stacked[..., 1] * stacked[..., 4], size / 120.0)
    prior = stacked[..., 2]
    sure = np.clip(support * 4.0, 0.0, 1.0)
    cover = sure * mean[..., 0] + (1.0 - sure) * prior
    cover = cv2.GaussianBlur(cover, (0, 0), size / 200.0) * stacked[..., 3]
    on_scalp = total * scalp
    share = float((hair_votes * scalp).sum() / max(float(on_scalp.sum()), 1e-6))
    bald = bald or share < 0.3 or not known
    return HairEvidence(cover * (0.0 if bald else 1.0), log_color, known)


def paint_hair(log_albedo: np.ndarray, positions: np.ndarray, cover: np.ndarray, log_color: np.ndarray) -> np.ndarray:
    """Short hair over skin: log albedo (P, 3) with ``cover`` (P,) in [0, 1] of it painted in ``log_color`` (3,)."""
    strands = positions * np.array([1.0, 0.22, 0.22], np.float32)  # hair falls down and back
    pattern = 0.6 * gradient_noise(strands, 0.0011, 71) + 0.4 * gradient_noise(strands, 0.0005, 72)
    patches = fractal_noise(positions, 0.012, 2, 73)
    ragged = smoothstep(0.25, 0.75, cover + 0.12 * pattern + 0.04 * patches)[:, None] * 0.93
    hair = log_color + (0.28 * pattern + 0.06 * patches)[:, None]
    mixed = (1.0 - ragged) * np.exp(log_albedo) + ragged * np.exp(hair)
    return np.log(np.maximum(mixed, 1e-3)).astype(np.float32)


def paint_cavities(log_albedo: np.ndarray, openness: np.ndarray, nose: np.ndarray, log_skin: np.ndarray) -> np.ndarray:
    """Nostrils (closed places of the nose) in dark red: log albedo (P, 3), openness (P,), nose mask (P,)."""
    inside = smoothstep(0.30, 0.08, openness) * smoothstep(0.3, 0.7, nose)
    dark = log_skin - 0.8 * HAEMOGLOBIN_DENSITY - 0.55
    return (log_albedo * (1 - inside[:, None]) + dark * inside[:, None]).astype(np.float32)


def paint_inner(
    positions: np.ndarray, mouth: np.ndarray, lip_depth: np.ndarray, log_skin: np.ndarray, log_lips: np.ndarray
) -> np.ndarray:
    """Linear albedo (P, 3) of the head's small charts: the mouth's inside, eye sockets, nostrils, front of the neck.

    Parameters
    ----------
    positions : (P, 3) neutral, metres. mouth : (P,) mask of the mouth's inside.
    lip_depth : (P,) metres behind the lips. log_skin : (P, 3) base there; log_lips : (3,).
    """
    mottle = 1.0 + 0.05 * fractal_noise(positions, 0.004, 3, 91)[:, None]
    depth = smoothstep(0.002, 0.030, lip_depth)[:, None]
    front = 0.5 * np.exp(log_lips) + 0.5 * MOUTH_FRONT
    inside = (front * (1 - depth) + MOUTH_BACK * depth) * mottle
    skin = np.exp(log_skin + 0.02 * fractal_noise(positions, 0.002, 3, 92)[:, None])
    return (inside * mouth[:, None] + skin * (1.0 - mouth[:, None])).astype(np.float32)
